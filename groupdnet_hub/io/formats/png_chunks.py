"""The chunks of a PNG file, of those that Pillow skips or reads only with the pixels."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import IO

# A file of more chunks is no picture that anyone saved: a chunk of pixels has some thousand bytes.
_MAX_CHUNKS = 200_000


def png_chunks(file: IO[bytes]) -> Generator[tuple[bytes, int]]:
    """Yield the name and the length of each chunk; the file is at its data then, of which any part may be read.

    Where the file is cut off, chunks end. At last the file is where it was.
    """
    before = file.tell()
    try:
        yield from _chunks(file)
    finally:
        file.seek(before)


def _chunks(file: IO[bytes]) -> Generator[tuple[bytes, int]]:
    position = 8
    for _ in range(_MAX_CHUNKS):
        file.seek(position)
        header = file.read(8)
        if len(header) < 8:
            return
        length = int.from_bytes(header[:4], "big")
        yield header[4:], length
        position += length + 12


def value_bits(file: IO[bytes]) -> tuple[int, int | None]:
    """Return the bits of a value, and the largest number of significant ones that ``sBIT`` tells; None without it."""
    stored = 8
    with closing(png_chunks(file)) as chunks:
        for name, length in chunks:
            if name == b"IHDR" and length == 13:
                stored = file.read(9)[-1]
            if name == b"sBIT" and 1 <= length <= 4:
                colours = file.read(length)[: 1 if length == 2 else 3]  # behind them is that of alpha
                return stored, max(colours, default=0) or None
            if name in (b"PLTE", b"IDAT", b"IEND"):  # sBIT must come before them
                break
    return stored, None
