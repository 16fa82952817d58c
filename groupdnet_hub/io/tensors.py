"""Reading untrusted safetensors files, only after their header was checked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

# Upper bounds of what a header takes per tensor beside its name (type, shape, offsets), and for its metadata.
_HEADER_BYTES_PER_TENSOR = 200
_HEADER_BYTES_OF_METADATA = 2**16
# A header of this size is parsed in well under a second.
MAX_HEADER = 16 * 2**20
_STARTS_OF_PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")


@dataclass(frozen=True)
class TensorFile:
    """An open safetensors file.

    Attributes:
        shapes, types: shape and type by tensor name; types as safetensors names them, such as ``F32``.
        metadata: text by key.
    """

    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, str]
    metadata: Mapping[str, str]
    _file: Any

    def read(self, key: str) -> Tensor:
        """Return one tensor, which may share memory with the file."""
        tensor: Tensor = self._file.get_tensor(key)
        return tensor


def header_limit(names: Mapping[str, Any]) -> int:
    """Return the largest header size in bytes of a file with tensors of these names."""
    needed = sum(len(name.encode()) + _HEADER_BYTES_PER_TENSOR for name in names)
    return min(_HEADER_BYTES_OF_METADATA + needed, MAX_HEADER)


def header_length(path: str | os.PathLike[str], described: str) -> int:
    """Return the size in bytes that a file declares for its header; nothing more of the file is read.

    Args:
        path: path of the file.
        described: name of the file in messages.

    Raises:
        ValueError: for a pickle under a wrong name, and a length beyond the file or beyond reason.
        OSError: for a file that cannot be read.
    """
    with Path(path).open("rb") as file:
        start = file.read(8)
        size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(start, "little")
    # A header of 640 bytes, for one, begins as a pickle does; but a pickle read as a length gives a huge one.
    if start.startswith(_STARTS_OF_PICKLES) and length > MAX_HEADER:
        raise ValueError(
            f"{described} is a pickle under a wrong name, which is not read because such files can run code"
        )
    if len(start) < 8 or length > size - 8:
        raise ValueError(f"{described} is damaged or cut off: download or copy it again")
    if length > MAX_HEADER:
        raise ValueError(f"{described} is damaged or hostile: its header is {length} bytes long")
    return length


@contextmanager
def open_tensors(
    path: str | os.PathLike[str], described: str, max_header: int = 2**20
) -> Iterator[TensorFile]:
    """Open a safetensors file and check its header; no tensor is read.

    Args:
        path: path of the file.
        described: name of the file in messages.
        max_header: largest header in bytes that is read; see :func:`header_limit`.

    Raises:
        ValueError: for a file that is damaged, cut off, or not safetensors; also within the ``with`` block.
        OSError: for a file that cannot be read.
    """
    length = header_length(path, described)
    if length > max_header:
        raise ValueError(
            f"{described} does not fit: its header of {length} bytes describes far more tensors than there should be"
        )
    try:
        opened = safe_open(path, framework="pt")
    except (SafetensorError, RuntimeError) as error:  # RuntimeError: too large for this machine's memory
        raise _damaged(described, error) from None
    try:
        with opened as file:
            slices = {key: file.get_slice(key) for key in file.keys()}  # noqa: SIM118
            yield TensorFile(
                {key: tuple(entry.get_shape()) for key, entry in slices.items()},
                {key: entry.get_dtype() for key, entry in slices.items()},
                file.metadata() or {},
                file,
            )
    except SafetensorError as error:
        raise _damaged(described, error) from None


def _damaged(described: str, error: Exception) -> ValueError:
    return ValueError(f"{described} is damaged or cut off ({error}): download or copy it again")
