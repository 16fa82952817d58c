"""How a picture file stores its values: whether its compression alters them, and with how many bits.

Values of a photo may change a little and nobody sees it. An id that changes by one is another class.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from PIL import Image, TiffImagePlugin

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
# Names that Pillow gives compressions of TIFF files that alter values, or may.
_LOSSY_IN_TIFF = {
    "jpeg": "JPEG",
    "tiff_jpeg": "JPEG",
    "webp": "WebP",
    "tiff_sgilog": "SGI log",
    "tiff_sgilog24": "SGI log",
}
_BITS_PER_SAMPLE = 258
# Chunks before the pixels of a WebP file: few, so that a hostile file costs nothing.
_MOST_CHUNKS = 64


@dataclass(frozen=True)
class Carrier:
    """How a file stores values.

    Attributes:
        lossy: what alters them, for messages, such as "JPEG" or "lossy WebP"; None for nothing.
        bits: bits of a value; 8 where the file does not say, as for arrays and pictures in memory.
    """

    lossy: str | None = None
    bits: int = 8


def carrier_of(source: object) -> Carrier:
    """Return how the file of a picture stores values.

    Args:
        source: a path, a PIL image, or anything else, which is in memory and has no file. Of a PIL image that has been
            decoded from a stream, a WebP is taken as lossy: its file cannot be asked.
    """
    if isinstance(source, (str, os.PathLike)):
        return _of_path(Path(source)) or Carrier()
    if not isinstance(source, Image.Image):
        return Carrier()
    if source.format in ("JPEG", "MPO", "JPEG2000", "AVIF"):
        return Carrier("JPEG" if source.format == "MPO" else source.format)
    if isinstance(source, TiffImagePlugin.TiffImageFile):
        return _of_tiff(source)
    if source.format in ("PNG", "WEBP"):
        found = _of_stream(getattr(source, "fp", None)) or _of_path(Path(getattr(source, "filename", "")))
        return found or Carrier("WebP" if source.format == "WEBP" else None)
    return Carrier()


def _of_path(path: Path) -> Carrier | None:
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            found = _of_stream(file)
            if found is not None:
                return found
            file.seek(0)
            if file.read(4) not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
                return None
            file.seek(0)
            return _of_tiff(TiffImagePlugin.TiffImageFile(file))
    except Exception:  # whoever decodes the file says what is wrong with it
        return None


def _of_stream(file: IO[bytes] | None) -> Carrier | None:
    """Return the carrier that a stream of a JPEG, PNG or WebP holds; None for others. Its position is kept."""
    try:
        if file is None or not file.seekable():
            return None
        before = file.tell()
        file.seek(0)
        start = file.read(32)
        try:
            if start.startswith(_JPEG):
                return Carrier("JPEG")
            if start.startswith(_PNG) and start[12:16] == b"IHDR":
                return Carrier(bits=start[24])
            if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
                return Carrier(None if _is_lossless_webp(file) else "lossy WebP")
        finally:
            file.seek(before)
    except (OSError, ValueError, IndexError, AttributeError):  # closed, or cut off
        return None
    return None


def _is_lossless_webp(file: IO[bytes]) -> bool:
    """Return whether the pixels of a WebP file are in a ``VP8L`` chunk (RFC 9649, section 2)."""
    place = 12
    for _ in range(_MOST_CHUNKS):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8 or head[:4] in (b"VP8L", b"VP8 "):
            return head[:4] == b"VP8L"
        size = int.from_bytes(head[4:], "little")
        place += 8 + size + size % 2
    return False


def _of_tiff(picture: TiffImagePlugin.TiffImageFile) -> Carrier:
    compression = str(picture.info.get("compression"))
    lossy = _LOSSY_IN_TIFF.get(compression)
    bits = picture.tag_v2.get(_BITS_PER_SAMPLE, 8)
    bits = max(bits) if isinstance(bits, tuple) else bits
    return Carrier(lossy and f"TIFF with {lossy} compression", bits if isinstance(bits, int) else 8)
