"""Reading a visitor's photo, once: upright, no larger than is of use, and known again when it comes a second time."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from PIL import Image

from groupdnet_hub.io.headers import header_of
from groupdnet_hub.io.images import read_photo
from groupdnet_hub.io.orientation import FULL_SIZE, TURNED

# A photo is kept at up to this many pixels of its longer side: a person who fills a third of its height is still larger
# than the pictures of the bundled models, and a session stays a few MB.
SIDE = 1600


@dataclass(frozen=True, eq=False)
class WholePhoto:
    """A photo before a part of it is cut out.

    Attributes:
        picture: RGB and upright, scaled down to ``SIDE``.
        full_size: (width, height) in the file, upright.
        orientation: EXIF orientation by which it was turned.
        digest: of the file, by which the photo is known again.
    """

    picture: Image.Image
    full_size: tuple[int, int]
    orientation: int
    digest: str


def read_whole(source: str | os.PathLike[str] | Image.Image) -> WholePhoto:
    """Read a photo, or its file.

    Raises:
        ValueError: if it cannot be read as a photo.
    """
    picture = read_photo(source, side=SIDE)
    header = header_of(picture)
    assert header is not None, "a photo that was read has a size"
    for key in (TURNED, FULL_SIZE):  # what is cut out of it is a picture of its own
        picture.info.pop(key, None)
    height, width = header.upright
    return WholePhoto(picture, (width, height), header.orientation, digest_of(source))


def digest_of(source: str | os.PathLike[str] | Image.Image) -> str:
    """Return a checksum of a photo's file, or of the pixels of a picture.

    Raises:
        ValueError: if the file is gone.
    """
    if isinstance(source, Image.Image):
        return hashlib.sha256(source.tobytes()).hexdigest()
    digest = hashlib.sha256()
    try:
        with open(source, "rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
    except OSError:
        raise ValueError("the photo's file is gone: upload it again") from None
    return digest.hexdigest()
