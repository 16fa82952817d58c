"""A discriminator saved beside the model that it was trained with, for training that continues from there.

Drawing does not need it: ``from_pretrained`` never looks at this file.
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

from groupdnet_hub.config.validation import MAX_CLASSES
from groupdnet_hub.hub.files import check_tensors, find_extra
from groupdnet_hub.io.strict_json import parse_json
from groupdnet_hub.io.tensors import header_limit, open_tensors

DISCRIMINATOR_FILE = "discriminator.safetensors"
_DESCRIPTION = "discriminator"


@dataclass(frozen=True)
class DiscriminatorWeights:
    """What a discriminator file holds.

    Attributes:
        tensors: the state of the module.
        description: plain JSON values that tell one discriminator from another, by name; ``class_names`` among them,
            in the order of the label channels.
    """

    tensors: Mapping[str, Tensor]
    description: Mapping[str, Any]


def write_discriminator(path: Path, weights: DiscriminatorWeights, dtype: torch.dtype) -> None:
    """Write ``path``, with floating-point tensors in the precision ``dtype``.

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
    """Where the discriminator of a saved model is; downloaded if ``name`` is a Hub id.

    Args:
        name: the folder or Hub id of a model that can be loaded.
        options: those of ``hf_hub_download``, such as ``revision``.

    Returns:
        The file; None where the model has none, or where the Hub cannot be asked for it.

    Raises:
        ValueError: for a link that leads out of the folder.
    """
    return find_extra(name, DISCRIMINATOR_FILE, **options)


def read_description(path: Path, source: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The description of a discriminator file; no tensor is read.

    Args:
        source: folder or Hub id, for messages.
        wanted: the tensors of the discriminator that the file may be for, by name.

    Raises:
        ValueError: for a file that is damaged, a pickle, or no file of :func:`write_discriminator`.
    """
    described = f"{path.name} of {source}"
    with open_tensors(path, described, header_limit(wanted)) as file:
        text = file.metadata.get(_DESCRIPTION)
    if text is None:
        raise ValueError(f"{described} does not say what discriminator it is of: save it with train.py")
    found = parse_json(text, f"the description in {described}")
    names = found.get("class_names") if isinstance(found, dict) else None
    if (
        not isinstance(names, list)
        or not 1 <= len(names) <= MAX_CLASSES
        or not all(isinstance(name, str) for name in names)
        or len(set(names)) != len(names)
    ):
        raise ValueError(f"{described} is damaged or hostile: it does not name the classes that it knows")
    return found


def read_discriminator(path: Path, source: str, wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a discriminator file in float32; names, shapes and types are checked before any is read.

    Args:
        source: folder or Hub id, for messages.
        wanted: the state that the file must hold; only its shapes and types are looked at.

    Raises:
        ValueError: for a file that is damaged, and tensors that are missing, left over, or of another shape or type.
    """
    described = f"{path.name} of {source}"
    with open_tensors(path, described, header_limit(wanted)) as file:
        check_tensors(file, wanted, f"{described} does not fit the discriminator that it names")
        return {
            key: file.read(key).to(torch.float32 if value.is_floating_point() else None, copy=True)
            for key, value in wanted.items()
        }
