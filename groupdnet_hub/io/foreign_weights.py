"""Reading weights files of other projects, ``.pth`` or ``.safetensors``: plain tensors, no pickled code."""

from __future__ import annotations

import os
import pickle  # nosec B403
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groupdnet_hub.io.finite import check_all_finite
from groupdnet_hub.io.tensors import MAX_HEADER, open_tensors

# Of the module pickle only the class of its error is used.
_ZIP = b"PK\x03\x04"


def read_foreign_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the tensors of a file by name, on the CPU.

    Raises:
        ValueError: for a missing or damaged file, one of another kind, one that holds code or unpacks to more than
            its size, and values that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    if path.suffix == ".safetensors":
        with open_tensors(path, path.name, MAX_HEADER) as file:
            tensors = {key: file.read(key).clone() for key in file.shapes}
        check_all_finite(tensors, path.name)
        return tensors
    size = path.stat().st_size
    try:
        _check_unpacked_size(path, size)
        values: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # its own text says how to run the code nevertheless
        raise ValueError(
            f"{path.name} cannot be read as tensors: it is damaged, or it holds code, which is never run"
        ) from None
    except Exception as error:  # torch, its unpickler and the zip reader raise many kinds
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise ValueError(
            f"{path.name} cannot be read as tensors ({reason}): download or copy it again"
        ) from None
    if not isinstance(values, Mapping) or not all(isinstance(value, Tensor) for value in values.values()):
        raise ValueError(f"{path.name} is not a state dict: it must map names to tensors")
    for key, value in values.items():
        # torch trusts the sizes of storages that a pickle declares.
        plain = value.layout == torch.strided and value.device.type == "cpu" and not value.is_quantized
        if not plain or value.untyped_storage().nbytes() > size:
            raise ValueError(
                f"{path.name} is damaged or hostile: {key!s:.80} is not a plain tensor of this file"
            )
    found = {str(key): value for key, value in values.items()}
    check_all_finite(found, path.name)
    return found


def _check_unpacked_size(path: Path, size: int) -> None:
    """Refuse a zip bomb: torch stores tensors uncompressed, so that an archive never grows when it is read."""
    with path.open("rb") as file:
        if file.read(4) != _ZIP:
            return
    with zipfile.ZipFile(path) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > size:
            raise ValueError("it unpacks to more than its size")
