"""Picture files that Pillow does not write: 16-bit PNG in colour, and PNG with chunks of one's choice."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

# Colour types of PNG, by the number of channels.
_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def chunk(name: bytes, data: bytes) -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def write_deep_png(
    path: Path, values: np.ndarray, *, bits: int | None = None, extra: bytes = b"", behind: bytes = b""
) -> Path:
    """Write a 16-bit PNG of values [H, W] or [H, W, channels].

    Args:
        path: the file.
        values: 0 to 65535.
        bits: significant bits that ``sBIT`` tells.
        extra: further chunks before the pixels.
        behind: further chunks behind them.
    """
    values = values[:, :, None] if values.ndim == 2 else values
    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, _TYPES[channels], 0, 0, 0)
    told = b"" if bits is None else chunk(b"sBIT", bytes([bits] * channels))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    pixels = chunk(b"IDAT", zlib.compress(rows)) + behind + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + told + extra + pixels)
    return path
