"""The part of a picture in which a class lies, so that its candidates can be compared."""

from __future__ import annotations

import numpy as np

# On each side, of the longer side of the class's box.
_MARGIN = 0.15
# The smallest window, of the picture's shorter side: glasses are seen in a face.
_SMALLEST = 0.25
# A window that would show more than this fraction of the picture shows all of it.
_NEARLY_ALL = 0.7


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
