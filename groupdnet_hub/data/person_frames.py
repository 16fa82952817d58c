"""The part of a photo that becomes a picture: the full person, or head to hips, with a given aspect ratio.

Maps are int arrays [H, W] in which the person is whatever is not background (0).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from groupdnet_hub.data.people import BACKGROUND
from groupdnet_hub.data.person_maps import body_rows

FRAMES = ("none", "person", "full", "upper")
# A square around the person, in units of her longer side.
_SQUARE = 1.08
# A frame that is not square, in units of the person's height and of her width.
_FULL_HEIGHT, _FULL_WIDTH = 1.06, 1.03
# Height of the frame from head to hips, in units of the person's height; and the fraction of the frame above the head,
# a little more in squares of hand-made label maps (as in fashion8).
_UPPER, _ABOVE_HEAD, _ABOVE_HEAD_SQUARE = 0.60, 0.04, 0.05
# Percentage of the person's pixels, left and right, that do not count for the centre of such a frame: an elbow, a hem.
_STRAY = 2


class Box(NamedTuple):
    """A rectangle in pixels of a photo; it may reach beyond the photo."""

    left: int
    top: int
    width: int
    height: int

    def as_entry(self) -> list[int]:
        """Return the entry of metadata.jsonl: left, top, side of a square; left, top, width, height of other boxes."""
        return list(self[:3] if self.width == self.height else self)


def find_frame(frame: str, ids: np.ndarray, aspect: float = 1.0) -> Box:
    """Return the frame around the labelled person.

    Squares (``aspect`` 1) lie inside the photo where they fit. Frames of any other aspect are placed by the person
    alone and may reach beyond the photo; their sides have that ratio exactly where whole pixels allow it (for every
    integer ``aspect``):

    - ``full`` and ``person``: as high as the larger of 1.06 x the person's height and 1.03 x ``aspect`` x her width,
      centred on her; the square is that of :func:`person_square`;
    - ``upper``: as high as 0.6 x the person's height, from 4 % (square: 5 %) of that above the head, centred on the
      person's pixels in it, without the outermost 2 % on either side.

    Args:
        frame: ``full``, ``person`` (its older name) or ``upper``.
        ids: label map, preferably without bags.
        aspect: height of the frame over its width.

    Raises:
        ValueError: if nothing is labelled.
    """
    top, rows = body_rows(ids)
    if frame != "upper":
        if aspect == 1:
            left, start, side = person_square(ids)
            return Box(left, start, side, side)
        left, columns = _columns(ids)
        height, width = _sides(max(_FULL_HEIGHT * rows, _FULL_WIDTH * aspect * columns), aspect)
        return Box(round(left + (columns - width) / 2), round(top + (rows - height) / 2), width, height)
    if aspect != 1:
        height, width = _sides(_UPPER * rows, aspect)
        start = round(top - _ABOVE_HEAD * height)
        return Box(round(_middle(ids, start, height) - width / 2), start, width, height)
    side = max(1, min(round(_UPPER * rows), *ids.shape))
    # Rounded down, and half a pixel to the left, as the squares of fashion8 are.
    start = _place(math.floor(top - _ABOVE_HEAD_SQUARE * side), side, ids.shape[0])
    left = math.floor(_middle(ids, start, side) - 0.5 - side / 2)
    return Box(_place(left, side, ids.shape[1]), start, side, side)


def frame_of_part(ids: np.ndarray, aspect: float = 1.0) -> Box:
    """Return the frame around a person whose upper part alone is in the photo: it ends where that part does.

    It contains all of that part: its height is the larger of the part with the margin of ``upper`` above the head, and
    1.03 x ``aspect`` x its width; the rest of the height is above the head, and the frame may reach beyond the photo.

    Args:
        ids: label map, preferably without bags.
        aspect: height of the frame over its width.

    Raises:
        ValueError: if nothing is labelled.
    """
    top, rows = body_rows(ids)
    left, columns = _columns(ids)
    above = _ABOVE_HEAD_SQUARE if aspect == 1 else _ABOVE_HEAD
    height, width = _sides(max(rows / (1 - above), _FULL_WIDTH * aspect * columns), aspect)
    return Box(round(left + (columns - width) / 2), top + rows - height, width, height)


def _middle(ids: np.ndarray, start: int, height: int) -> float:
    """Return the middle of the columns of the person's pixels in ``height`` rows from ``start``, without outliers."""
    columns = np.nonzero(ids[max(start, 0) : start + height] != BACKGROUND)[1]
    return float(np.percentile(columns, (_STRAY, 100 - _STRAY)).mean()) + 0.5


def _sides(height: float, aspect: float) -> tuple[int, int]:
    """Return the smallest integers (height, width) of that ratio from ``height`` up."""
    if aspect < 1:
        rows = max(1, math.ceil(height - 1e-9))
        return rows, round(rows / aspect)
    columns = max(1, math.ceil(height / aspect - 1e-9))
    return round(columns * aspect), columns


def person_square(ids: np.ndarray) -> tuple[int, int, int]:
    """Return the square of 1.08 x the longer side of the labelled person: (left, top, side) in pixels.

    It is at most as large as the picture's longer side, centred on the person, moved into the picture where it fits,
    and reaches beyond it otherwise.

    Raises:
        ValueError: if nothing is labelled.
    """
    top, height = body_rows(ids)
    left, width = _columns(ids)
    # At most the picture's longer side: the person fits into it, and less has to be padded.
    side = min(round(_SQUARE * max(height, width)), max(ids.shape))
    return (
        _place(left + (width - side) / 2, side, ids.shape[1]),
        _place(top + (height - side) / 2, side, ids.shape[0]),
        side,
    )


def upper_square(ids: np.ndarray) -> tuple[int, int, int]:
    """Return the square from just above the head to the hips in a parser's map: (left, top, side) in pixels.

    Its side is 0.6 x the height of the labelled person, at most the picture's shorter side; it is inside the picture.

    Raises:
        ValueError: if nothing is labelled.
    """
    top, height = body_rows(ids)
    side = max(1, min(round(_UPPER * height), *ids.shape))
    left, width = _columns(ids[top : top + side])
    return (
        _place(left + (width - side) / 2, side, ids.shape[1]),
        _place(top - _ABOVE_HEAD * side, side, ids.shape[0]),
        side,
    )


def _columns(ids: np.ndarray) -> tuple[int, int]:
    """Return the first labelled column, and the number of columns from there to the last one."""
    columns = np.flatnonzero((ids != BACKGROUND).any(axis=0))
    return int(columns[0]), int(columns[-1] - columns[0] + 1)


def _place(wanted: float, side: int, available: int) -> int:
    """Return the start of a square of ``side``: inside the picture if it fits."""
    start = round(wanted)
    return min(max(start, 0), available - side) if side <= available else start


def crop(photo: Image.Image, ids: np.ndarray, box: Box) -> tuple[Image.Image, np.ndarray]:
    """Cut a rectangle that may reach beyond the picture; there, the photo is the median colour of its background."""
    return cut(photo, box, plain_colour(photo, ids)), cut_map(ids, photo.size, box)


def cut(picture: Image.Image, box: Box, colour: tuple[int, int, int]) -> Image.Image:
    """Return the part of a picture in a frame; beyond the picture it has this colour."""
    inside = (
        max(box.left, 0),
        max(box.top, 0),
        min(box.left + box.width, picture.width),
        min(box.top + box.height, picture.height),
    )
    framed = Image.new("RGB", (box.width, box.height), colour)
    framed.paste(picture.crop(inside), (inside[0] - box.left, inside[1] - box.top))
    return framed


def cut_map(ids: np.ndarray, photo: tuple[int, int], box: Box) -> np.ndarray:
    """Return the part of a label map in a frame of its photo; beyond the photo it is class 0.

    Args:
        ids: int64 [H, W], of the photo's proportions and any size.
        photo: (width, height) of the photo.
        box: frame in pixels of the photo.
    """
    across, down = ids.shape[1] / photo[0], ids.shape[0] / photo[1]
    left, right = round(box.left * across), round((box.left + box.width) * across)
    top, bottom = round(box.top * down), round((box.top + box.height) * down)
    part = np.zeros((max(1, bottom - top), max(1, right - left)), dtype=ids.dtype)
    rows, columns = _inside(top, bottom, ids.shape[0]), _inside(left, right, ids.shape[1])
    there = ids[rows, columns]
    part[rows.start - top :, columns.start - left :][: there.shape[0], : there.shape[1]] = there
    return part


def _inside(start: int, stop: int, available: int) -> slice:
    return slice(max(start, 0), min(stop, available))


def plain_colour(photo: Image.Image, ids: np.ndarray) -> tuple[int, int, int]:
    """Return the median colour of the background, or of the photo if it has none.

    Args:
        photo: the photo, [H, W] pixels.
        ids: int [H, W], a label map at the photo's size.
    """
    pixels = np.asarray(photo)
    background = pixels[ids == 0]
    red, green, blue = np.median(background if len(background) else pixels.reshape(-1, 3), axis=0)
    return int(red), int(green), int(blue)
