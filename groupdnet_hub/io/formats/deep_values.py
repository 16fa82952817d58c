"""Photos of more than 8 bits a value: how many bits of a file's values count, and the values in 8 bits.

Programs often put the 8 or 12 bits of a camera or scanner into 16 bits unscaled. Read by its upper bytes, such a photo
is black.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, PngImagePlugin, TiffImagePlugin

from groupdnet_hub.io.formats.png_chunks import value_bits

_BITS_PER_SAMPLE, _PHOTOMETRIC, _MAX_SAMPLE, _S_MAX_SAMPLE = 258, 262, 281, 341
_SAMPLES, _PLANAR_CONFIGURATION = 277, 284
_WHITE_IS_ZERO, _PLANES = 0, 2
# A photo none of whose values reaches white divided by this looks black: in 16 bits, one of 12 bits or fewer does.
_DARK = 16


@dataclass(frozen=True)
class Depth:
    """How a file stores values.

    Attributes:
        stored: bits of a value.
        told: how many of them count, as the file says; None where it does not say.
        inverted: whether 0 is white.
        planes: whether each colour is stored by itself, which Pillow misreads.
    """

    stored: int = 16
    told: int | None = None
    inverted: bool = False
    planes: bool = False


def depth_of(picture: Image.Image) -> Depth:
    """Return how the file of a picture stores values of more than 8 bits, before its pixels are read.

    For 8 bits, and for a picture without an open file, the result is ``Depth(8)``.
    """
    if isinstance(picture, PngImagePlugin.PngImageFile):
        # Without a tile it is decoded, and its file is closed.
        return Depth(*value_bits(picture.fp)) if picture.fp is not None and picture.tile else Depth(8)
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        tags = picture.tag_v2
        stored = int(max(_numbers(tags.get(_BITS_PER_SAMPLE)), default=8))
        if stored not in (12, 16):
            return Depth(stored)
        told = stored if stored < 16 else None
        for tag in (_S_MAX_SAMPLE, _MAX_SAMPLE):
            largest = int(max(_numbers(tags.get(tag)), default=0))
            # Others are the largest value of this photo, not of its scale.
            if told is None and 0 < largest < 65535 and (largest + 1).bit_count() == 1:
                told = largest.bit_length()
        planes = tags.get(_PLANAR_CONFIGURATION) == _PLANES and tags.get(_SAMPLES) != 1
        return Depth(stored, told, tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO, planes)
    return Depth(8)


def grey_bytes(values: np.ndarray, depth: Depth, what: str) -> np.ndarray:
    """Return grey values of up to 16 bits as uint8 [H, W].

    Args:
        values: integers [H, W], 0 to 65535.
        depth: how the file stores them.
        what: name of the photo in messages.

    Raises:
        ValueError: for values that make a nearly black photo of 16 bits.
    """
    top = int(values.max())
    bits = 16
    if depth.told is not None and top < 2**depth.told and not _fills_16_bits(values, depth.told):
        bits = depth.told
    if 0 < top * _DARK < 2**bits:
        raise _too_dark(what, f"reach only {top} of {2**bits - 1}")
    values = (2**bits - 1 - values) if depth.inverted else values
    if bits < 8:
        return (values * 255 // (2**bits - 1)).astype(np.uint8)
    return (values >> (bits - 8)).astype(np.uint8)


def check_colours(highest: int, depth: Depth, what: str) -> None:
    """Refuse a colour photo of 16 bits that is nearly black.

    Args:
        highest: the largest upper byte of its colours.
        depth: how the file stores values.
        what: name of the photo in messages.

    Raises:
        ValueError: for such a photo.
    """
    if depth.stored == 16 and highest * _DARK < 256:
        raise _too_dark(what, f"do not reach {65536 // _DARK} of 65535")


def _fills_16_bits(values: np.ndarray, bits: int) -> bool:
    """Return whether these are values of ``bits`` spread over 16 bits, as the PNG standard asks for."""
    step = 2 ** (16 - bits)
    if values.max() * _DARK < 2**16 or not 8 <= bits < 16 or not (values % (2 * step)).any():
        return False
    short = values // step
    shifted = short * step
    repeated = shifted + short // 2 ** (2 * bits - 16)
    rounded = (short * 65535 + 2 ** (bits - 1)) // (2**bits - 1)
    return any(np.array_equal(values, spread) for spread in (shifted, repeated, rounded))


def _too_dark(what: str, range_: str) -> ValueError:
    return ValueError(
        f"the {what}'s values {range_}, and it would be nearly black: are they values of fewer bits, such as 8 or 12? "
        "Multiply them so that white is 65535, or save the photo with 8 bits"
    )


def _numbers(value: object) -> list[float]:
    """Return the finite numbers of a tag, which a file may give any type."""
    values = value if isinstance(value, tuple) else (value,)
    return [float(v) for v in values if isinstance(v, (int, float)) and abs(v) < 2**31]
