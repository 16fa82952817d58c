"""The EXIF orientation of pictures."""

from __future__ import annotations

from PIL import Image, PngImagePlugin

from groupdnet_hub.io.png_chunks import may_be_turned

# Key of Image.info under which a photo that was turned upright keeps the orientation that its file has.
TURNED = "orientation of the file"
_ORIENTATION = 0x0112


def orientation_in(picture: Image.Image) -> int:
    """Return the orientation by which Pillow would turn a picture, 1 to 8; 1 also stands for none.

    Raises:
        Exception: what Pillow's decoders raise for damaged files.
    """
    if (
        isinstance(picture, PngImagePlugin.PngImageFile)
        and picture.fp is not None
        and picture.tile
        and not may_be_turned(picture.fp)
    ):
        return 1  # to know this, Pillow would decode the picture
    orientation = picture.getexif().get(_ORIENTATION)
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1
