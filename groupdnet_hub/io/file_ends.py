"""Whether a picture file is there to its end, as its last bytes or its header tell, without decoding it."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO

from PIL import ImageFile

_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
# Padding that some writers add behind a picture is looked through as far as this.
_TAIL = 4096
# Positions and lengths of the pixels in a TIFF file, in strips or in tiles.
_TIFF_PIECES = ((273, 279), (324, 325))


def seems_complete(picture: ImageFile.ImageFile) -> bool:
    """Return whether the file of a picture ends as one of its format does.

    A file that was cut off does not, but for a freak of chance. One with something behind its picture may not either,
    and can be read all the same: only its reader can tell.

    Args:
        picture: an opened picture, its file where any part may be read; that of a decoded one is closed, and the
            answer is yes.
    """
    file = picture.fp
    if file is None:
        return True
    ends = _ENDS.get(str(picture.format))
    before = file.tell()
    try:
        return ends is not None and ends(picture, file, file.seek(0, 2))
    finally:
        file.seek(before)


def _tail(file: IO[bytes], size: int) -> bytes:
    file.seek(max(0, size - _TAIL))
    return file.read(_TAIL).rstrip(b"\0")


def _png_ends(picture: ImageFile.ImageFile, file: IO[bytes], size: int) -> bool:
    return _tail(file, size).endswith(_PNG_END)


def _jpeg_ends(picture: ImageFile.ImageFile, file: IO[bytes], size: int) -> bool:
    return _tail(file, size).endswith(b"\xff\xd9")


def _gif_ends(picture: ImageFile.ImageFile, file: IO[bytes], size: int) -> bool:
    return _tail(file, size).endswith(b";")


def _webp_ends(picture: ImageFile.ImageFile, file: IO[bytes], size: int) -> bool:
    file.seek(4)
    return int.from_bytes(file.read(4), "little") + 8 <= size


def _bmp_ends(picture: ImageFile.ImageFile, file: IO[bytes], size: int) -> bool:
    file.seek(2)
    return 0 < int.from_bytes(file.read(4), "little") <= size


def _tiff_ends(picture: ImageFile.ImageFile, file: IO[bytes], size: int) -> bool:
    tags = getattr(picture, "tag_v2", {})
    for positions, lengths in _TIFF_PIECES:
        if positions in tags and lengths in tags:
            pieces = zip(tags[positions], tags[lengths], strict=True)
            return all(position + length <= size for position, length in pieces)
    return False


_ENDS: dict[str, Callable[[ImageFile.ImageFile, IO[bytes], int], bool]] = {
    "PNG": _png_ends,
    "JPEG": _jpeg_ends,
    "MPO": _jpeg_ends,
    "GIF": _gif_ends,
    "WEBP": _webp_ends,
    "BMP": _bmp_ends,
    "TIFF": _tiff_ends,
}
