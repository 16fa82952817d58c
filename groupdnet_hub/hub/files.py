"""The files of a saved model: finding them in a folder or on the Hub, and reading them only after checks."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import torch
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError
from torch import Tensor

from groupdnet_hub.io.atomic import saved_file
from groupdnet_hub.io.strict_json import read_json
from groupdnet_hub.io.symlinks import check_link
from groupdnet_hub.io.tensors import TensorFile, header_length, header_limit, open_tensors

if TYPE_CHECKING:
    from typing_extensions import Unpack  # of typing only from Python 3.11 on

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
FACTS_FILE = "training.json"
CARD_FILE = "README.md"

_FLOATS = {"F32", "F16", "BF16", "F64"}
_COUNTERS = {"I64"}  # counters of batch normalisation, the only integers of a model
_PICKLES = (".bin", ".pth", ".pt", ".pkl", ".ckpt")
_SHOWN_PROBLEMS = 3
_SHORTEST_HEADER_ENTRY = 50  # lower bound of the bytes per tensor in the header of a weights file


def config_digest(config_text: str) -> str:
    """Return the SHA-256 that ties a weights file to the configuration that it was saved with.

    It is computed from the values in the file: whitespace has no effect, and keys that a later version adds with a
    default do not change it.
    """
    canonical = json.dumps(json.loads(config_text), indent=2) + "\n"
    return hashlib.sha256(canonical.encode()).hexdigest()


class HubOptions(TypedDict, total=False):
    """Options of ``hf_hub_download`` for a model of the Hub."""

    revision: str | None
    cache_dir: str | Path | None
    token: str | bool | None
    local_files_only: bool
    force_download: bool


def check_options(options: HubOptions) -> None:
    """Refuse options that the Hub does not have.

    Raises:
        TypeError: for an unknown option, naming it.
    """
    unknown = set(options) - set(HubOptions.__annotations__)
    if unknown:
        raise TypeError(
            f"unknown options: {', '.join(sorted(unknown))}; there are {', '.join(HubOptions.__annotations__)}"
        )


def find_files(name: str | os.PathLike[str], **options: Unpack[HubOptions]) -> dict[str, Path]:
    """Return the paths of a model's files by file name; they are downloaded if ``name`` is a Hub id.

    Args:
        name: a folder or a Hub id; a path object is never a Hub id.
        options: options of ``hf_hub_download``.

    Raises:
        FileNotFoundError, ValueError: see ``StrictHubMixin.from_pretrained``.
        TypeError: for an unknown option.
    """
    check_options(options)
    source = os.fspath(name)
    folder = model_folder(name)
    if folder is not None:
        return _files_in_folder(folder, source)
    files = {}
    for file_name in (CONFIG_FILE, WEIGHTS_FILE, FACTS_FILE):
        path = _downloaded(source, file_name, options, required=file_name != FACTS_FILE)
        if path is not None:
            files[file_name] = path
    for path in files.values():
        check_link(path, path.parent, source)
    return files


def find_config(name: str | os.PathLike[str], **options: Unpack[HubOptions]) -> Path:
    """Return the path of a model's configuration; it is downloaded if ``name`` is a Hub id.

    Args:
        name: a folder or a Hub id, as :func:`find_files` takes it.
        options: options of ``hf_hub_download``.

    Raises:
        FileNotFoundError: if there is no such folder or repository, or it has no configuration.
        ValueError: for a link that leads out of the folder.
        OSError: if the Hub cannot be reached and the file is not in the cache.
    """
    source = os.fspath(name)
    folder = model_folder(name)
    if folder is None:
        path = _downloaded(source, CONFIG_FILE, options)
        assert path is not None
    else:
        path = saved_file(folder, CONFIG_FILE)
        if not path.is_file():
            raise FileNotFoundError(f"the folder {source} has no {CONFIG_FILE}: {_hint(os.listdir(folder))}")
    check_link(path, folder or path.parent, source)
    return path


def find_extra(name: str | os.PathLike[str], file_name: str, **options: Unpack[HubOptions]) -> Path | None:
    """Return the path of an optional file of a model; it is downloaded if ``name`` is a Hub id.

    Args:
        name: a folder or a Hub id, as :func:`find_files` takes it.
        file_name: name of the file, such as ``looks.json``.
        options: options of ``hf_hub_download``.

    Returns:
        The path; None where the model lacks the file, or where it is neither cached nor reachable.

    Raises:
        FileNotFoundError: if there is no such folder or repository.
        ValueError: for a link that leads out of the folder.
    """
    source = os.fspath(name)
    folder = model_folder(name)
    if folder is not None:
        path: Path | None = saved_file(folder, file_name)
    else:  # the Hub, or its cache
        path = _downloaded(source, file_name, options, required=False)
    if path is None or not path.is_file():
        return None
    check_link(path, folder or path.parent, source)
    return path


def model_folder(name: str | os.PathLike[str]) -> Path | None:
    """Return the folder that the name of a model means; None for a Hub id. This is the only rule to distinguish them.

    Raises:
        FileNotFoundError: for a name that is neither, a path that does not exist, and a file.
    """
    source = os.fspath(name)
    folder = Path(source)
    if source and folder.is_dir():
        return folder
    if source and folder.exists():
        raise FileNotFoundError(
            f"{source} is a file: name the folder that holds {CONFIG_FILE} and {WEIGHTS_FILE}"
        )
    is_id = isinstance(name, str) and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", source)
    if not is_id or source.startswith((".", "~")):
        raise FileNotFoundError(
            f"there is no folder {source!r}: check the path, or name a model of the Hub as user/name"
        )
    return None


def _downloaded(source: str, file_name: str, options: HubOptions, *, required: bool = True) -> Path | None:
    """Return the path of a file of a Hub id; None if it is not required, and missing or out of reach."""
    try:
        return Path(hf_hub_download(source, file_name, **options))
    except LocalEntryNotFoundError as error:
        if not required:
            return None
        raise LocalEntryNotFoundError(
            f"{file_name} of {source} (revision {options.get('revision') or 'main'}) is not in the cache and "
            f"was not downloaded: load it once with the Hub in reach, or name a folder. {error}"
        ) from error
    except EntryNotFoundError as error:
        if not required:
            return None
        raise FileNotFoundError(
            f"the repository {source} has no {file_name}: {_hint(_names_on_hub(source, options))}"
        ) from error


def _files_in_folder(folder: Path, source: str) -> dict[str, Path]:
    files = {name: saved_file(folder, name) for name in (CONFIG_FILE, WEIGHTS_FILE, FACTS_FILE)}
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not files[name].is_file():
            raise FileNotFoundError(f"the folder {source} has no {name}: {_hint(os.listdir(folder))}")
    found = {name: path for name, path in files.items() if path.is_file()}
    for path in found.values():
        check_link(path, folder, source)
    return found


def _names_on_hub(source: str, options: HubOptions) -> list[str]:
    if options.get("local_files_only"):
        return []
    try:
        info = HfApi(token=options.get("token")).model_info(source, revision=options.get("revision"))
    except (HfHubHTTPError, OSError):  # only the hint is lost; the missing file is still reported
        return []
    return [entry.rfilename for entry in info.siblings or ()]


def _hint(names: Collection[str]) -> str:
    pickles = sorted(name for name in names if name.endswith(_PICKLES))
    if pickles:
        return (
            f"it holds {pickles[0]}, which is not read because such files can run code; convert the authors' "
            "checkpoints with python -m groupdnet_hub.smis"
        )
    return "was it saved with save_pretrained?"


def check_tensor_count(path: Path, source: str, least: int) -> None:
    """Refuse a weights file that is too short for ``least`` tensors, before a model of as many is built.

    Args:
        path: path of the file.
        source: folder or Hub id in messages.
        least: lower bound of the model's number of tensors.

    Raises:
        ValueError: for such a file, or one that is not a weights file.
    """
    if header_length(path, f"{path.name} of {source}") < least * _SHORTEST_HEADER_ENTRY:
        raise ValueError(
            f"{path.name} of {source} does not fit its {CONFIG_FILE}, of which a model has at least {least} tensors"
        )


def read_weights(
    path: Path, source: str, wanted: Mapping[str, Tensor], digest: str, dtype: torch.dtype | None
) -> dict[str, Tensor]:
    """Return the tensors of a weights file; names, shapes and types are checked before any is read.

    Args:
        path: path of the file.
        source: folder or Hub id in messages.
        wanted: state of the model that the tensors are for, of which only shapes and types are used.
        digest: :func:`config_digest` of the configuration beside the file.
        dtype: precision to return, or None for that of the file.

    Raises:
        ValueError: see ``StrictHubMixin.from_pretrained``.
    """
    described = f"{path.name} of {source}"
    with open_tensors(path, described, header_limit(wanted)) as file:
        check_tensors(file, wanted, f"{described} does not fit its {CONFIG_FILE}")
        if file.metadata.get("config_sha256", digest) != digest:
            raise ValueError(
                f"{CONFIG_FILE} and {described} are not of the same save: save the model again, or restore the "
                "file that was replaced"
            )
        precisions = sorted(set(file.types.values()) & _FLOATS)
        if dtype is None and len(precisions) > 1:
            raise ValueError(
                f"{described} mixes the types {', '.join(precisions)}: name the dtype to load it in, not 'auto'"
            )
        # safetensors maps the file into memory: without a copy, a change of the file would change the model.
        return {
            key: file.read(key).to(dtype if value.is_floating_point() else None, copy=True)
            for key, value in wanted.items()
        }


def check_tensors(file: TensorFile, wanted: Mapping[str, Tensor], refusal: str) -> None:
    """Refuse a file whose tensors do not have the names, shapes and kinds of types of ``wanted``.

    Args:
        file: open file.
        wanted: tensors that it must have.
        refusal: beginning of the message.

    Raises:
        ValueError: for such a file.
    """
    problems = _problems(file.shapes, file.types, wanted)
    if problems:
        more = len(problems) - _SHOWN_PROBLEMS
        shown = "; ".join(problems[:_SHOWN_PROBLEMS]) + (f", and {more} more" if more > 0 else "")
        raise ValueError(f"{refusal}: {shown}")


def _problems(
    shapes: Mapping[str, tuple[int, ...]], types: Mapping[str, str], wanted: Mapping[str, Tensor]
) -> list[str]:
    problems = [f"{key} is missing" for key in wanted if key not in shapes]
    problems += [f"{key} is not part of the model" for key in shapes if key not in wanted]
    for key, value in wanted.items():
        if key not in shapes:
            continue
        if shapes[key] != tuple(value.shape):
            problems.append(f"{key} has shape {shapes[key]} instead of {tuple(value.shape)}")
        allowed = _FLOATS if value.is_floating_point() else _COUNTERS
        if types[key] not in allowed:
            problems.append(f"{key} has the type {types[key]} instead of {' or '.join(sorted(allowed))}")
    return problems


def read_facts(path: Path | None, source: str) -> dict[str, Any]:
    """Return the card facts of a model, empty if it has none.

    Raises:
        ValueError: for a file that is not a JSON object.
    """
    if path is None:
        return {}
    facts = read_json(path, f"{path.name} of {source}")
    if not isinstance(facts, dict):
        raise ValueError(f"{path.name} of {source} must hold a JSON object")
    return facts
