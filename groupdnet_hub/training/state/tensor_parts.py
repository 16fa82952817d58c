"""Tensors in safetensors files of limited size: equal ones once, large ones cut, some in half precision."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from groupdnet_hub.io.tensors import MAX_HEADER, open_tensors

_TYPES = {
    str(kind).removeprefix("torch."): kind
    for kind in (
        torch.float32,
        torch.float16,
        torch.bfloat16,
        torch.float64,
        torch.int64,
        torch.int32,
        torch.int16,
        torch.int8,
        torch.uint8,
        torch.bool,
    )
}
# What a file's header takes at most, and in it the entry of a tensor whose name is a number.
_HEADER, _ENTRY = 1024, 160
# Values of tensors that are stored as a single one, together: the moments of a network a hundred times the paper's.
_MOST_REPEATED = 2**30


def type_name(kind: torch.dtype) -> str:
    """Return ``float32`` for ``torch.float32``.

    Raises:
        ValueError: for a type that is not stored.
    """
    name = str(kind).removeprefix("torch.")
    if name not in _TYPES:
        raise ValueError(f"tensors of {kind} cannot be stored")
    return name


@dataclass
class _Stored:
    """Numbers in one file or several; ``files`` are known once they are written."""

    values: Tensor
    files: list[str] = field(default_factory=list)


class TensorWriter:
    """Collects tensors and writes them, in files named by what they were collected for.

    A tensor is described by ``{"data": number, "type": "float32", "shape": [...]}``, and ``"channels_last": true`` if
    that is how it lies in memory: fused optimisers go through weights and moments side by side. Its values are
    one-dimensional tensors of the name ``number`` in one file, or in several, in order. Tensors
    of equal values share them, and one whose values are all alike is stored as a single value.
    """

    def __init__(self) -> None:
        self._stored: dict[str, list[tuple[int, _Stored]]] = {}
        self._known: dict[tuple[torch.dtype, int, bytes], int] = {}

    def add(self, tensor: Tensor, group: str, half: torch.dtype | None = None) -> dict[str, Any]:
        """Take a tensor into store.

        Args:
            tensor: of any shape, on any device.
            group: what the files are named by, unless the same numbers were stored before.
            half: the type in which float32 numbers are stored instead, where its range holds them.

        Returns:
            The description.
        """
        values = tensor.detach().cpu().reshape(-1)
        description: dict[str, Any] = {"type": type_name(tensor.dtype), "shape": list(tensor.shape)}
        if not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last):
            description["channels_last"] = True
        if values.numel() > 1 and bool((values == values[0]).all()) and not _negative_zero(values):
            values = values[:1]
        if half is not None and values.dtype == torch.float32 and values.numel() > 1:
            halved = values.to(half)
            values = halved if bool(halved.isfinite().all()) else values
        values = values.contiguous()
        digest = hashlib.sha256(values.view(torch.uint8).numpy().tobytes()).digest()
        key = values.dtype, values.numel(), digest
        if key not in self._known:
            self._known[key] = len(self._known)
            self._stored.setdefault(group, []).append((self._known[key], _Stored(values.clone())))
        return {"data": self._known[key], **description}

    def write(self, folder: Path, part_bytes: int) -> tuple[list[str], dict[str, list[str]]]:
        """Write ``GROUP-1.safetensors`` and so on, each of at most ``part_bytes``.

        Returns:
            The names of the files, and for each number those of the files that hold it, in order.

        Raises:
            ValueError: for files that are too small to hold anything.
        """
        if part_bytes < 2 * (_HEADER + _ENTRY):
            raise ValueError(f"files of {part_bytes} bytes are too small: give at least 0.01 MB")
        names = []
        for group, entries in self._stored.items():
            content: dict[str, Tensor] = {}
            room, count = part_bytes - _HEADER, 0
            for number, stored in entries:
                rest = stored.values
                while True:
                    fits = (room - _ENTRY) // rest.element_size()
                    if fits < min(len(rest), 1):
                        count += 1
                        names.append(_write(folder, group, count, content))
                        content, room = {}, part_bytes - _HEADER
                        continue
                    piece, rest = rest[:fits], rest[fits:]
                    content[str(number)] = piece.clone()
                    stored.files.append(f"{group}-{count + 1}.safetensors")
                    room -= _ENTRY + piece.nbytes
                    if not len(rest):
                        break
            names.append(_write(folder, group, count + 1, content))
        places = {str(n): stored.files for entries in self._stored.values() for n, stored in entries}
        return names, places


class TensorReader:
    """Finds tensors by the descriptions of a :class:`TensorWriter`.

    Args:
        places: for each number the files that hold it, in order.
    """

    def __init__(self, folder: Path, names: Sequence[str], places: Mapping[str, Sequence[str]]) -> None:
        self._repeated = 0
        pieces: dict[str, dict[str, Tensor]] = {}
        for name in names:
            with open_tensors(folder / name, name, MAX_HEADER) as file:
                pieces[name] = {key: file.read(key).clone() for key in file.shapes}
        try:
            self._values = {
                number: torch.cat([pieces[name][number] for name in files])
                for number, files in places.items()
            }
        except (KeyError, TypeError, RuntimeError) as error:
            raise ValueError(f"{folder} does not hold what it should: {error}") from None

    def find(self, description: Mapping[str, Any]) -> Tensor:
        """Return a tensor as it was, or rounded to half precision.

        Raises:
            ValueError: for a description that does not fit what is stored.
        """
        try:
            values = self._values[str(description["data"])].to(_TYPES[description["type"]])
            shape = [int(side) for side in description["shape"]]
            if len(values) == 1 and math.prod(shape) > 1:
                self._repeated += math.prod(shape)
                if self._repeated > _MOST_REPEATED:
                    raise ValueError(
                        f"the state's description asks for more than {_MOST_REPEATED} equal values: it is damaged"
                    )
                values = values.repeat(math.prod(shape))
            layout = torch.channels_last if "channels_last" in description else torch.contiguous_format
            return values.reshape(shape).clone(memory_format=layout)
        except (KeyError, TypeError, RuntimeError, MemoryError) as error:
            raise ValueError(f"the state's description is damaged: {error!r}") from None


def _negative_zero(values: Tensor) -> bool:
    """Return whether zeros differ in their signs, which compare equal."""
    return values.is_floating_point() and bool(values.signbit().any()) and not bool(values.signbit().all())


def _write(folder: Path, group: str, count: int, content: Mapping[str, Tensor]) -> str:
    name = f"{group}-{count}.safetensors"
    save_file(dict(content), folder / name)
    return name
