"""What the header of a picture tells: its size, and how its EXIF orientation turns it."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
from PIL import Image, TiffImagePlugin
from torch import Tensor

from groupdnet_hub.io.images import MAX_PHOTO_PIXELS, undecoded
from groupdnet_hub.io.orientation import FULL_SIZE, TURNED, orientation_in

_WIDTH, _HEIGHT = 256, 257


@dataclass(frozen=True)
class Header:
    """Size and orientation of a picture.

    Attributes:
        stored: (height, width) of the pixels in the file.
        orientation: 1 to 8, as EXIF has it; 1 also stands for none.
    """

    stored: tuple[int, int]
    orientation: int = 1

    @property
    def upright(self) -> tuple[int, int]:
        """(height, width) as viewers show it."""
        return self.stored if self.orientation < 5 else self.stored[::-1]


def header_of(source: object) -> Header | None:
    """Read the header of a picture, not its pixels; None if there is none: the picture's reader will say why.

    Of a photo that :func:`groupdnet_hub.io.images.read_photo` has read, the header is that of its file. A TIFF that
    Pillow has loaded has lost its orientation.

    Args:
        source: path, PIL image, or array or tensor [H, W] or [H, W, 3].
    """
    if isinstance(source, (np.ndarray, Tensor)):
        return Header((source.shape[0], source.shape[1])) if source.ndim in (2, 3) else None
    try:
        if isinstance(source, Image.Image):
            return _read(source)
        if isinstance(source, (str, os.PathLike)):
            with undecoded(source, photo=True, large=True) as picture:
                return _read(picture)
    except Exception:  # whatever a damaged file makes a decoder raise
        return None
    return None


def _read(picture: Image.Image) -> Header | None:
    width, height = picture.info.get(FULL_SIZE, picture.size)
    size = height, width
    if size[0] * size[1] > MAX_PHOTO_PIXELS:
        return None
    if TURNED in picture.info:  # it is upright by now
        orientation = picture.info[TURNED]
        return Header(size if orientation < 5 else size[::-1], orientation)
    orientation = orientation_in(picture)
    if orientation > 1 and isinstance(picture, TiffImagePlugin.TiffImageFile):
        size = (
            picture.tag_v2[_HEIGHT],
            picture.tag_v2[_WIDTH],
        )  # some versions of Pillow turn the size at once
    return Header(size, orientation)
