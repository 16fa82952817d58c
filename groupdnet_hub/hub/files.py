"""The files of a saved model: finding them in a folder or on the Hub."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from groupdnet_hub.hub.location import model_folder, no_folder, own_subfolder, why_unreachable
from groupdnet_hub.hub.options import HubOptions, check_hub_options
from groupdnet_hub.io.atomic import saved_file
from groupdnet_hub.io.strict_json import MAX_BYTES
from groupdnet_hub.io.symlinks import check_link

if TYPE_CHECKING:
    from typing_extensions import Unpack  # of typing only from Python 3.11 on

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
FACTS_FILE = "training.json"
CARD_FILE = "README.md"

_VARIANT = re.compile(r"model\.\w[\w-]*\.safetensors", re.ASCII)
_PICKLES = (".bin", ".pth", ".pt", ".pkl", ".ckpt")


def weights_file(variant: str | None) -> str:
    """Return the name of the weights file of a variant, as transformers and diffusers have it.

    Raises:
        ValueError: for a variant that is not a plain word such as ``fp16``.
    """
    if variant is None:
        return WEIGHTS_FILE
    if not isinstance(variant, str) or not re.fullmatch(r"\w[\w-]*", variant, re.ASCII):
        raise ValueError(f"variant is {variant!r}; it must be a word such as 'fp16', or left out")
    return f"model.{variant}.safetensors"


def find_files(
    name: str | os.PathLike[str], *, variant: str | None = None, **options: Unpack[HubOptions]
) -> dict[str, Path]:
    """Return the paths of a model's files by file name; they are downloaded if ``name`` is a Hub id.

    Args:
        name: a folder or a Hub id; a path object is never a Hub id.
        variant: which weights; their path stands under the name ``model.safetensors`` all the same.
        options: options of ``hf_hub_download``, and ``subfolder``.

    Raises:
        FileNotFoundError, ValueError: see ``StrictHubMixin.from_pretrained``.
        TypeError: for an unknown option.
    """
    place = _Place(name, options)
    weights = weights_file(variant)
    found = {
        CONFIG_FILE: place.file(CONFIG_FILE),
        WEIGHTS_FILE: place.file(weights),
        FACTS_FILE: place.optional(FACTS_FILE),
        CARD_FILE: place.card(),
    }
    return {file_name: path for file_name, path in found.items() if path is not None}


def find_config(name: str | os.PathLike[str], **options: Unpack[HubOptions]) -> Path:
    """Return the path of a model's configuration; it is downloaded if ``name`` is a Hub id.

    Args:
        name: a folder or a Hub id, as :func:`find_files` takes it.
        options: options of ``hf_hub_download``, and ``subfolder``.

    Raises:
        FileNotFoundError: if there is no such folder or repository, or it has no configuration.
        ValueError: for a link that leads out of the folder.
        OSError: if the Hub cannot be reached and the file is not in the cache.
    """
    return _Place(name, options).file(CONFIG_FILE)


def find_extra(name: str | os.PathLike[str], file_name: str, **options: Unpack[HubOptions]) -> Path | None:
    """Return the path of an optional file of a model; it is downloaded if ``name`` is a Hub id.

    Args:
        name: a folder or a Hub id, as :func:`find_files` takes it.
        file_name: name of the file, such as ``looks.json``.
        options: options of ``hf_hub_download``, and ``subfolder``.

    Returns:
        The path; None where the model lacks the file, or where it is neither cached nor reachable.

    Raises:
        FileNotFoundError: if there is no such folder or repository.
        ValueError: for a link that leads out of the folder.
    """
    return _Place(name, options).optional(file_name)


def read_card(path: Path) -> str | None:
    """Return the text of a card; None for a file of more than 4 MiB.

    Bytes that are not UTF-8 stay in it as surrogates, so that nothing is lost when it is written again.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    return None if len(content) > MAX_BYTES else content.decode("utf-8", "surrogateescape")


class _Place:
    """The folder or the repository of a model, in which files are looked for.

    Args:
        name: a folder or a Hub id.
        options: options of ``hf_hub_download``, and ``subfolder``.

    Raises:
        FileNotFoundError: for a name that is neither.
        TypeError: for an unknown option.
        ValueError: for a subfolder that leads out.
    """

    def __init__(self, name: str | os.PathLike[str], options: HubOptions) -> None:
        self.options = check_hub_options(options)
        self.root = model_folder(name)
        self.source = os.fspath(name)
        subfolder = self.options.pop("subfolder", None)
        self.subfolder = own_subfolder(subfolder).as_posix() if subfolder else None
        self.described = f"{self.source}/{self.subfolder}" if self.subfolder else self.source
        # Why the Hub was not asked again: one refusal counts for all files.
        self.unreachable: str | None = None
        self._asked = False

    @property
    def folder(self) -> Path | None:
        """The folder of the model's files, which need not exist; None for a Hub id."""
        return None if self.root is None else self.root / (self.subfolder or "")

    def file(self, file_name: str) -> Path:
        """Return the path of a file that a model must have.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: for a link that leads out of the folder.
        """
        path = self._path(file_name, required=True)
        assert path is not None
        return path

    def optional(self, file_name: str) -> Path | None:
        """Return the path of a file that a model may have; None if it is missing or out of reach."""
        return self._path(file_name, required=False)

    def card(self) -> Path | None:
        """Return the path of the card; None too for a link out of the folder, which a model does not need."""
        try:
            return self.optional(CARD_FILE)
        except ValueError:
            return None

    def _path(self, file_name: str, *, required: bool) -> Path | None:
        if self.folder is None:
            path = self._downloaded(file_name, required=required)
        else:
            path = saved_file(self.folder, file_name)
            if not path.is_file():
                path = None
            if path is None and required:
                raise FileNotFoundError(self._lacks(file_name))
        if path is not None:
            depth = len(PurePosixPath(self.subfolder or "").parts)
            check_link(path, self.root or path.parents[depth], self.source)
        return path

    def _lacks(self, file_name: str) -> str:
        """Say that the folder lacks a file, and where there may be one."""
        assert self.folder is not None
        if not self.folder.is_dir():
            return f"{no_folder(str(self.folder))}: check subfolder"
        names = os.listdir(self.folder)
        below = sorted(name for name in names if (self.folder / name / CONFIG_FILE).is_file())
        if file_name == CONFIG_FILE and below:
            hint = (
                f"there is one in {', '.join(below[:5])}: name that folder, {str(self.folder / below[0])!r}"
            )
        else:
            hint = _hint(names, file_name)
        return f"the folder {self.described} has no {file_name}: {hint}"

    def _downloaded(self, file_name: str, *, required: bool) -> Path | None:
        """Return the path of a file of the repository; None if it is not required, and missing or out of reach."""
        options: Any = self.options
        revision = options.get("revision")
        if not self._asked and not options.get("local_files_only"):
            self._asked = True
            inside = file_name if self.subfolder is None else f"{self.subfolder}/{file_name}"
            self.unreachable = why_unreachable(self.source, inside, revision, options.get("token"))
            if self.unreachable is not None and options.get("force_download"):
                raise LocalEntryNotFoundError(
                    f"{self.described} was not downloaded: the Hub is out of reach ({self.unreachable}): leave "
                    "force_download out to use the cache"
                )
        if self.unreachable is not None:
            options = {**options, "local_files_only": True}
        try:
            return Path(hf_hub_download(self.source, file_name, subfolder=self.subfolder, **options))
        except LocalEntryNotFoundError as error:
            if not required:
                return None
            why = "" if self.unreachable is None else f" (the Hub is out of reach: {self.unreachable})"
            raise LocalEntryNotFoundError(
                f"{no_folder(self.source)}, and as for the Hub, {file_name} of {self.described} (revision "
                f"{revision or 'main'}) is not in the cache and was not downloaded{why}: check the path, or load "
                "the model once with the Hub in reach"
            ) from error
        except EntryNotFoundError as error:
            if not required:
                return None
            raise FileNotFoundError(
                f"the repository {self.described} has no {file_name}: {_hint(self._names_on_hub(), file_name)}"
            ) from error
        except RepositoryNotFoundError as error:
            if not isinstance(error, GatedRepoError):
                error.append_to_message(f"\nNor is it a folder: {no_folder(self.source)}.")
            raise

    def _names_on_hub(self) -> list[str]:
        """Return the names of the files beside the model's; none where they cannot be told."""
        if self.options.get("local_files_only") or self.unreachable is not None:
            return []
        try:
            api = HfApi(token=self.options.get("token"))
            info = api.model_info(self.source, revision=self.options.get("revision"))
        except (HfHubHTTPError, OSError):  # only the hint is lost; the missing file is still reported
            return []
        start = f"{self.subfolder}/" if self.subfolder else ""
        return [
            entry.rfilename.removeprefix(start)
            for entry in info.siblings or ()
            if entry.rfilename.startswith(start)
        ]


def _hint(names: Collection[str], missing: str) -> str:
    variants = [repr(name.split(".")[1]) for name in sorted(names) if _VARIANT.fullmatch(name)]
    if missing.endswith(".safetensors") and variants:
        return f"its variants are {', '.join(variants)}"
    if missing.endswith(".safetensors") and WEIGHTS_FILE in names:
        return f"leave variant out to read {WEIGHTS_FILE}"
    pickles = sorted(name for name in names if name.endswith(_PICKLES))
    if pickles:
        return (
            f"it holds {pickles[0]}, which is not read because such files can run code; convert the authors' "
            "checkpoints with python -m groupdnet_hub.smis"
        )
    return "was it saved with save_pretrained?"
