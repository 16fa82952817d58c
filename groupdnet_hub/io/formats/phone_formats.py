"""HEIC and AVIF, in which phones store photos: which file is one, and what opens it."""

from __future__ import annotations

from collections.abc import Callable
from typing import IO, BinaryIO

from PIL import Image, ImageFile

# An ISO file starts with a box of this kind, which lists what it is compatible with; this much of the list is read.
_KIND, _LISTED = b"ftyp", 256
_HEIC = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
_AVIF = frozenset((b"avif", b"avis"))

Decoder = Callable[[IO[bytes], str | bytes], ImageFile.ImageFile]


def phone_decoder(file: BinaryIO, name: str) -> Decoder | None:
    """Return what opens a HEIC or AVIF file as far as its header; None for other files.

    Args:
        file: the file, read from where it stands.
        name: of the photo, for messages.

    Raises:
        ValueError: if what the format needs is not installed.
    """
    brands = _brands(file.read(_LISTED))
    if brands & _AVIF:
        Image.init()
        decoder, accepts = Image.OPEN.get("AVIF", (None, None))
        if decoder is None or accepts is None or isinstance(accepts(b"\0\0\0\x1cftypavif"), str):
            raise ValueError(
                f"{name} is AVIF, for which this Pillow is too old: pip install -U pillow (11.3 or later), or save the "
                "photo as JPEG"
            )
        return decoder
    if brands & _HEIC:
        try:
            from pillow_heif import HeifImageFile
        except ModuleNotFoundError:
            raise ValueError(
                f"{name} is HEIC, which needs pillow-heif: pip install pillow-heif, or save the photo as JPEG"
            ) from None
        return HeifImageFile
    return None


def _brands(start: bytes) -> frozenset[bytes]:
    """Return what an ISO file says that it is, of its first bytes; nothing for other files."""
    if start[4:8] != _KIND:
        return frozenset()
    listed = start[8 : min(int.from_bytes(start[:4], "big"), len(start))]
    return frozenset(
        listed[at : at + 4] for at in range(0, len(listed), 4) if at != 4
    )  # the second is a version
