"""Reading the weights of a saved model, after all that their header says was checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groupdnet_hub.hub.files import CONFIG_FILE
from groupdnet_hub.io.finite import check_finite
from groupdnet_hub.io.strict_json import read_json
from groupdnet_hub.io.tensors import TensorFile, header_length, header_limit, open_tensors

_FLOATS = {"F32", "F16", "BF16", "F64"}
_COUNTERS = {"I64"}  # counters of batch normalisation, the only integers of a model
_SHOWN_PROBLEMS = 3
_SHORTEST_HEADER_ENTRY = 50  # lower bound of the bytes per tensor in the header of a weights file


def config_digest(config_text: str) -> str:
    """Return the SHA-256 that ties a weights file to the configuration that it was saved with.

    It is computed from the values in the file: whitespace has no effect, and keys that a later version adds with a
    default do not change it.
    """
    canonical = json.dumps(json.loads(config_text), indent=2) + "\n"
    return hashlib.sha256(canonical.encode()).hexdigest()


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
        return read_tensors(file, wanted, described, dtype)


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


def read_tensors(
    file: TensorFile, wanted: Mapping[str, Tensor], described: str, dtype: torch.dtype | None
) -> dict[str, Tensor]:
    """Return copies of the tensors of a file that :func:`check_tensors` let pass.

    Args:
        file: open file.
        wanted: tensors that it has.
        described: name of the file in messages.
        dtype: precision of floating-point tensors, or None for that of the file.

    Raises:
        ValueError: for values that are not finite in that precision.
    """
    tensors = {}
    for key, value in wanted.items():
        found = file.read(key)
        check_finite(key, found, described, dtype)
        # safetensors maps the file into memory: without a copy, a change of the file would change the model.
        tensors[key] = found.to(dtype if value.is_floating_point() else None, copy=True)
    return tensors


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
