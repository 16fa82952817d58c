"""Reading MATLAB files of level 5, as far as label maps and lists of names need it.

Not by scipy.io: its compiled reader trusts the sizes that a file declares, and a false one ends the process.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_HEADER = 128
_LARGEST_FILE = 2**28
_LARGEST_LIST = 2**20
# Types of the elements of a file, and classes of its arrays.
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _CHARACTERS, _FIRST_NUMERIC, _LAST_NUMERIC = 1, 4, 6, 15
_COMPLEX = 0x0800


@dataclass(frozen=True)
class _Array:
    """An array whose values are still bytes.

    Attributes:
        name: name in the file.
        kind: class of the array: a cell, characters, or numbers.
        shape: size along each dimension.
        is_complex: whether its numbers are complex.
        data: elements of its values.
    """

    name: str
    kind: int
    shape: tuple[int, ...]
    is_complex: bool
    data: bytes


def read_numbers(path: Path, name: str, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Read the matrix [H, W] of real numbers with a name.

    Args:
        path: path of the file.
        name: name of the matrix.
        shape: (height, width) that it must have, checked before its values are unpacked; None for any shape of at most
            a MiB.

    Raises:
        ValueError: for another shape, a file that is damaged, and one without such a matrix.
    """
    try:
        limit = _LARGEST_LIST if shape is None else _HEADER + 256 + 8 * math.prod(shape)
        array, order = _find(path, name, limit, shape)
        elements = list(_elements(array.data, order))
        if not _FIRST_NUMERIC <= array.kind <= _LAST_NUMERIC or array.is_complex or len(elements) != 1:
            raise ValueError(f"{name} is not a matrix of real numbers")
        kind, content = elements[0]
        if kind not in _NUMBERS or len(content) != np.dtype(_NUMBERS[kind]).itemsize * math.prod(array.shape):
            raise ValueError(f"{name} holds more or fewer values than its size says")
        return np.frombuffer(content, order + _NUMBERS[kind]).reshape(array.shape, order="F")
    except (ValueError, OSError) as error:
        raise ValueError(f"the MATLAB file {path.name!r} cannot be read: {error}") from None


def read_texts(path: Path, name: str) -> tuple[str, ...]:
    """Read the texts of the cell array with a name.

    Args:
        path: path of the file.
        name: name of the array.

    Raises:
        ValueError: for a file that is damaged, and one without such an array.
    """
    try:
        array, order = _find(path, name, _LARGEST_LIST, None)
        if array.kind != _CELL:
            raise ValueError(f"{name} is not a list of texts")
        texts = []
        for kind, content in _elements(array.data, order):
            if kind != _MATRIX:
                raise ValueError(f"{name} is not a list of texts")
            cell = _array(content, order)
            parts = list(_elements(cell.data, order))
            if cell.kind != _CHARACTERS or len(parts) > 1 or any(part not in _TEXTS for part, _ in parts):
                raise ValueError(f"{name} holds something that is not a text")
            texts += [_text(*part, order) for part in parts] or [""]
        return tuple(texts)
    except (ValueError, OSError) as error:
        raise ValueError(f"the MATLAB file {path.name!r} cannot be read: {error}") from None


def _text(kind: int, content: bytes, order: str) -> str:
    encoding = _TEXTS[kind]
    if encoding in ("utf-16", "utf-32"):
        encoding += "-le" if order == "<" else "-be"
    return content.decode(encoding)


def _find(path: Path, name: str, limit: int, shape: tuple[int, int] | None) -> tuple[_Array, str]:
    """Return the array with a name, and the byte order, ``<`` or ``>``; at most ``limit`` bytes are unpacked."""
    with path.open("rb") as file:
        content = file.read(_LARGEST_FILE + 1)
    order = {b"IM": "<", b"MI": ">"}.get(content[126:_HEADER])
    if order is None or len(content) > _LARGEST_FILE:
        raise ValueError("it is not a MATLAB file of level 5 (save with -v6 or -v7)")
    names = []
    for kind, element in _elements(content[_HEADER:], order):
        cut = False
        if kind == _COMPRESSED:
            kind, element, cut = _unpacked(element, order, limit)
        if kind != _MATRIX:
            continue
        array = _array(element, order)
        names.append(array.name)
        if array.name != name:
            continue
        if shape is not None and array.shape != shape:
            raise ValueError(
                f"{name} is {'x'.join(map(str, array.shape))} (height x width) and the photo {shape[0]}x{shape[1]}"
            )
        if cut:
            raise ValueError(f"{name} unpacks to far more than its values take")
        return array, order
    raise ValueError(f"it holds {', '.join(names[:5]) or 'nothing'} and no {name!r}")


def _unpacked(packed: bytes, order: str, limit: int) -> tuple[int, bytes, bool]:
    """Return type and content of a packed element, and whether it was cut off at ``limit`` bytes."""
    try:
        content = zlib.decompressobj().decompress(packed, limit)
    except zlib.error as error:
        raise ValueError(f"it is damaged ({error})") from None
    if len(content) < 8:
        raise ValueError("it is damaged or cut off")
    kind, length = struct.unpack_from(f"{order}2I", content)
    return kind, content[8 : 8 + length], length > limit - 8


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield type and content of each element."""
    at = 0
    while at < len(content):
        kind, part, at = _element(content, at, order)
        yield kind, part


def _element(content: bytes, at: int, order: str) -> tuple[int, bytes, int]:
    """Return type and content of the element at a position, and the position of the next."""
    if len(content) - at < 8:
        raise ValueError("it is damaged or cut off")
    kind, length = struct.unpack_from(f"{order}2I", content, at)
    start, largest = at + 8, len(content) - at - 8
    following = start + length + (0 if kind == _COMPRESSED else -length % 8)
    if kind >> 16:  # a small one, within its tag
        kind, length, start, largest, following = kind & 0xFFFF, kind >> 16, at + 4, 4, at + 8
    if length > largest:
        raise ValueError("it is damaged or cut off")
    return kind, content[start : start + length], following


def _array(content: bytes, order: str) -> _Array:
    """Return an array with its header parsed; its values stay bytes, and may be cut off."""
    _, flags, at = _element(content, 0, order)
    _, sides, at = _element(content, at, order)
    _, name, at = _element(content, at, order)
    if len(flags) != 8 or len(sides) % 4 or not 8 <= len(sides) <= 128:
        raise ValueError("it is damaged: an array has no size")
    (word,) = struct.unpack_from(f"{order}I", flags)
    shape = tuple(int(side) for side in np.frombuffer(sides, f"{order}i4"))
    return _Array(name.decode("latin-1"), word & 0xFF, shape, bool(word & _COMPLEX), content[at:])
