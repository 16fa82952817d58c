"""The part of a picture in which a class lies, so that its candidates can be compared."""

from __future__ import annotations

import numpy as np

# On each side, of the longer side of the class's box.
_MARGIN = 0.15
# The smallest window, of the picture's shorter side: glasses are seen in a face.
_SMALLEST = 0.25
# A window that would show more of the picture than this shows all of it.
_WHOLE = 0.7


def class_window(region: np.ndarray) -> tuple[int, int, int, int]:
    """The window (left, top, right, bottom) on a class: its box with a margin, square as far as the picture allows.

    Args:
        region: bool [H, W], where the class is; not empty.
    """
    height, width = region.shape
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    longer = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    side = round(max((1 + 2 * _MARGIN) * longer, _SMALLEST * min(height, width)))
    top, bottom = _span(rows[0], rows[-1] + 1, side, height)
    left, right = _span(columns[0], columns[-1] + 1, side, width)
    if (bottom - top) * (right - left) > _WHOLE * height * width:
        return 0, 0, width, height
    return left, top, right, bottom


def _span(first: int, end: int, side: int, whole: int) -> tuple[int, int]:
    """``side`` pixels around the middle of ``first`` to ``end``, moved inside of ``whole`` pixels."""
    side = min(side, whole)
    start = min(max(0, (int(first) + int(end) - side) // 2), whole - side)
    return start, start + side
