"""The EXIF orientation of pictures."""

from __future__ import annotations

from contextlib import closing
from typing import IO

from PIL import Image, PngImagePlugin

from groupdnet_hub.io.formats.png_chunks import png_chunks

# Key of Image.info under which a photo that was turned upright keeps the orientation that its file has.
TURNED = "orientation of the file"
# That of its (width, height) before it was scaled down, upright.
FULL_SIZE = "size of the file"
_ORIENTATION = 0x0112
# Text chunks of a PNG that may hold one, and their keywords.
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_TURNING_TEXTS = (b"Raw profile type exif", b"XML:com.adobe.xmp")


def orientation_in(picture: Image.Image) -> int:
    """Return the orientation by which Pillow would turn a picture, 1 to 8; 1 also stands for none.

    Raises:
        Exception: what Pillow's decoders raise for damaged files.
    """
    if (
        isinstance(picture, PngImagePlugin.PngImageFile)
        and picture.fp is not None
        and picture.tile
        and not _may_be_turned(picture.fp)
    ):
        return 1  # to know this, Pillow would decode the picture
    orientation = picture.getexif().get(_ORIENTATION)
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _may_be_turned(file: IO[bytes]) -> bool:
    """Return whether the file has a chunk that may hold an orientation, before its pixels or behind them."""
    with closing(png_chunks(file)) as chunks:
        return any(
            name == b"eXIf" or (name in _TEXTS and file.read(min(length, 32)).startswith(_TURNING_TEXTS))
            for name, length in chunks
        )
