"""The region of a class in a picture: redrawn with all other pixels untouched, and cut out to be looked at."""

from __future__ import annotations

import numpy as np
from PIL import Image

# The edge is blended over this fraction of the picture's width.
FEATHER = 1 / 40
# On each side, of the longer side of the class's box.
_MARGIN = 0.15
# The smallest window, of the picture's shorter side: glasses are seen in a face.
_SMALLEST = 0.25
# A window that would show more than this fraction of the picture shows all of it.
_NEARLY_ALL = 0.7


def keep_other_pixels(before: Image.Image, after: Image.Image, region: np.ndarray) -> Image.Image:
    """Return ``after`` inside a region, ``before`` outside of it, blended along the region's inner edge.

    Outside of the region not a single value differs from ``before``.

    Args:
        before: RGB.
        after: RGB, of the same size.
        region: bool [H, W], where the picture changes.
    """
    feather = max(2, round(region.shape[1] * FEATHER))
    weight = _ramp(region, feather)[..., None]
    old, new = (np.asarray(picture.convert("RGB"), dtype=np.float32) for picture in (before, after))
    return Image.fromarray((old + weight * (new - old)).round().astype(np.uint8))


def _ramp(region: np.ndarray, feather: int) -> np.ndarray:
    """Return float32 [H, W]: 0 outside, and 1/feather, 2/feather, ... 1 with the distance from the region's edge.

    The picture's own border is no edge.
    """
    weight = np.zeros(region.shape, np.float32)
    left = np.pad(region, 1, mode="edge")
    for _ in range(feather):
        weight += left[1:-1, 1:-1]
        left = np.pad(
            left[1:-1, 1:-1] & left[:-2, 1:-1] & left[2:, 1:-1] & left[1:-1, :-2] & left[1:-1, 2:],
            1,
            mode="edge",
        )
    return weight / feather


def class_window(region: np.ndarray) -> tuple[int, int, int, int]:
    """Return the window (left, top, right, bottom) on a class: its box with a margin, square as far as possible.

    Args:
        region: bool [H, W], where the class is; not empty.
    """
    height, width = region.shape
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    longer = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    side = round(max((1 + 2 * _MARGIN) * longer, _SMALLEST * min(height, width)))
    top, bottom = _span(rows[0], rows[-1] + 1, side, height)
    left, right = _span(columns[0], columns[-1] + 1, side, width)
    if (bottom - top) * (right - left) > _NEARLY_ALL * height * width:
        return 0, 0, width, height
    return left, top, right, bottom


def _span(first: int, end: int, side: int, available: int) -> tuple[int, int]:
    """Return start and end of ``side`` pixels around the middle of ``first`` to ``end``, moved inside the picture."""
    side = min(side, available)
    start = min(max(0, (int(first) + int(end) - side) // 2), available - side)
    return start, start + side
