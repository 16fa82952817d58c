"""A discriminator saved beside the model that it was trained with, to continue the training.

Drawing does not need it: ``from_pretrained`` never reads this file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from groupdnet_hub.config.names import check_class_names
from groupdnet_hub.config.validation import MAX_CLASSES
from groupdnet_hub.hub.files import find_extra
from groupdnet_hub.hub.weights import check_tensors, read_tensors
from groupdnet_hub.io.strict_json import parse_json
from groupdnet_hub.io.tensors import header_limit, open_tensors

DISCRIMINATOR_FILE = "discriminator.safetensors"
_DESCRIPTION = "discriminator"


@dataclass(frozen=True)
class DiscriminatorWeights:
    """The content of a discriminator file.

    Attributes:
        tensors: state dict of the module.
        description: plain JSON values by name that distinguish one discriminator from another; ``class_names`` among
            them, in the order of the label channels.
    """

    tensors: Mapping[str, Tensor]
    description: Mapping[str, Any]


def write_discriminator(path: Path, weights: DiscriminatorWeights, dtype: torch.dtype) -> None:
    """Write a discriminator to ``path``, with floating-point tensors in the precision ``dtype``.

    Raises:
        OSError, safetensors.SafetensorError: if it cannot be written.
    """
    tensors = {
        key: value.detach().to("cpu", dtype if value.is_floating_point() else value.dtype).contiguous()
        for key, value in weights.tensors.items()
    }
    text = json.dumps(dict(weights.description), ensure_ascii=False)
    save_file(tensors, path, metadata={"format": "pt", _DESCRIPTION: text})


def find_discriminator(name: str | os.PathLike[str], **options: Any) -> Path | None:
    """Return the path of the discriminator of a saved model; it is downloaded if ``name`` is a Hub id.

    Args:
        name: folder or Hub id of a model.
        options: options of ``hf_hub_download``, such as ``revision``.

    Returns:
        The path; None where the model has no discriminator, or where the Hub is out of reach.

    Raises:
        ValueError: for a link that leads out of the folder.
    """
    return find_extra(name, DISCRIMINATOR_FILE, **options)


def read_description(path: Path, source: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of a discriminator file; no tensor is read.

    Args:
        path: path of the file.
        source: folder or Hub id in messages.
        wanted: tensors of the discriminator that the file may be for, by name.

    Raises:
        ValueError: for a file that is damaged, a pickle, or not of :func:`write_discriminator`.
    """
    described = f"{path.name} of {source}"
    with open_tensors(path, described, header_limit(wanted)) as file:
        text = file.metadata.get(_DESCRIPTION)
    if text is None:
        raise ValueError(f"{described} does not describe its discriminator: save it with train.py")
    found = parse_json(text, f"the description in {described}")
    names = found.get("class_names") if isinstance(found, dict) else None
    nameless = f"{described} is damaged or hostile: it does not name the classes that it knows"
    if not isinstance(names, list) or not 1 <= len(names) <= MAX_CLASSES:
        raise ValueError(nameless)
    try:
        check_class_names(names, "class_names")
    except ValueError as error:
        raise ValueError(f"{nameless}: {error}") from None
    return found


def read_discriminator(path: Path, source: str, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a discriminator file in float32; names, shapes and types are checked before any is read.

    Args:
        path: path of the file.
        source: folder or Hub id in messages.
        wanted: state dict that the file must hold, of which only shapes and types are used.

    Raises:
        ValueError: for a file that is damaged, and tensors that are missing, left over, of another shape or type,
            or not finite.
    """
    described = f"{path.name} of {source}"
    with open_tensors(path, described, header_limit(wanted)) as file:
        check_tensors(file, wanted, f"{described} does not fit the discriminator that it names")
        return read_tensors(file, wanted, described, torch.float32)
