"""Which part of a visitor's photo becomes a picture, and how it is cut out of it. Sizes are (height, width)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image

from groupdnet_hub import LabelSet
from groupdnet_hub.data.person_frames import Box, find_frame, frame_of_part, plain_colour
from groupdnet_hub.data.person_maps import body_rows, ids_of, without_bags

# A person whose lowest pixels are this close to the photo's lower edge, as a fraction of the photo's height, is cut off
# there, unless this fraction of the person's pixels are shoes.
_EDGE, _SHOES = 0.015, 0.003
# A frame's sides are at most this many times the photo's longer one: a person who lies takes 2.1 of an upright frame.
_LARGEST = 3
# A frame that differs from the model's proportions by no more than this fraction has them, but for whole pixels.
SAME_PROPORTIONS = 0.02


def middle_frame(photo: tuple[int, int], size: tuple[int, int]) -> Box:
    """Return the largest part of a photo's middle that has the proportions of ``size``.

    Args:
        photo: (width, height), as Pillow has it.
        size: (height, width) of the model's pictures.
    """
    width, height = photo
    wanted = size[1] / size[0]
    inner = min(width, max(1, round(height * wanted))), min(height, max(1, round(width / wanted)))
    return Box((width - inner[0]) // 2, (height - inner[1]) // 2, *inner)


def person_frame(ids: np.ndarray, labels: LabelSet, aspect: float) -> Box:
    """Return the frame around the person of a label map that training data has: all of it, or what the photo shows.

    A photo that ends above the feet shows a part; then the frame ends where the photo does.

    Args:
        ids: int [H, W], of the uncropped photo.
        labels: the classes.
        aspect: height of the frame over its width.

    Raises:
        ValueError: if nothing is labelled.
    """
    body = without_bags(ids, labels)
    if not body.any():
        body = ids
    top, rows = body_rows(body)
    shoes = np.isin(body, ids_of(labels, "shoes")).sum() >= _SHOES * (body != 0).sum()
    if top + rows >= (1 - _EDGE) * len(ids) and not shoes:
        return frame_of_part(body, aspect)
    return find_frame("full", body, aspect)


def scaled(box: Box, factor: float, aspect: float) -> Box:
    """Return the same frame in a picture that is ``factor`` times as large; its sides keep their ratio, rounded."""
    width = max(1, round(box.width * factor))
    height = max(1, round(width * aspect))
    middle, centre = box.left + box.width / 2, box.top + box.height / 2
    return Box(round(middle * factor - width / 2), round(centre * factor - height / 2), width, height)


def whole_frame(photo: tuple[int, int], size: tuple[int, int]) -> Box:
    """Return the smallest frame with the proportions of ``size`` that has all of a photo in its middle.

    Args:
        photo: (width, height), as Pillow has it.
        size: (height, width) of the model's pictures.
    """
    width, height = photo
    wanted = size[1] / size[0]
    outer = max(width, round(height * wanted)), max(height, round(width / wanted))
    return Box((width - outer[0]) // 2, (height - outer[1]) // 2, *outer)


def checked_frame(value: object, photo: tuple[int, int], size: tuple[int, int]) -> Box:
    """Return the frame that a visitor chose; it may reach beyond the photo.

    Args:
        value: left, top, width and height in pixels of the photo.
        photo: its (width, height).
        size: (height, width) of the model's pictures.

    Raises:
        ValueError: for anything but four numbers, other proportions than the model's, a frame that shows nothing of
            the photo, and one that is more than three times as large as the photo.
    """
    if (
        not isinstance(value, Sequence)
        or len(value) != 4
        or not all(type(number) in (int, float) and math.isfinite(number) for number in value)
    ):
        raise ValueError("the box must be [left, top, width, height], in pixels of the photo.")
    left, top, width, height = value
    aspect, largest = size[0] / size[1], _LARGEST * max(photo)
    if not 1 <= width <= largest or not 1 <= height <= largest:
        raise ValueError(
            f"the box is {width:g}x{height:g} pixels (width x height); its sides must be from 1 to {largest}, three "
            "times the photo's longer one."
        )
    if abs(height - width * aspect) > max(1, SAME_PROPORTIONS * height):
        raise ValueError(
            f"the box is {width:g}x{height:g} pixels (width x height); this model's pictures are {size[1]}x{size[0]}, "
            f"so it must be {width:g}x{width * aspect:g}."
        )
    box = Box(round(left), round(top), round(width), max(1, round(round(width) * aspect)))
    if not (-box.width < left < photo[0] and -box.height < top < photo[1]):
        raise ValueError(
            f"the box shows nothing of the photo, which is {photo[0]}x{photo[1]} pixels (width x height)."
        )
    return box


def colour_beyond(photo: Image.Image, box: Box) -> tuple[int, int, int]:
    """Return the colour of what a frame shows beyond the photo: the median of the photo's border."""
    if (
        box.left >= 0
        and box.top >= 0
        and box.left + box.width <= photo.width
        and box.top + box.height <= photo.height
    ):
        return (0, 0, 0)
    small = photo.copy()
    small.thumbnail((256, 256))
    inner = np.zeros((small.height, small.width), np.int64)
    down, across = small.height // 16, small.width // 16
    inner[down : -down or None, across : -across or None] = 1
    return plain_colour(small, inner)


def map_in_frame(whole: np.ndarray, photo: tuple[int, int], box: Box, size: tuple[int, int]) -> np.ndarray:
    """Return the part of a photo's label map in a frame, int64 [h, w] of ``size``; beyond the photo it is class 0.

    Args:
        whole: int [H, W], of the whole photo, at any size.
        photo: (width, height) of the photo.
        box: the frame in pixels of the photo.
        size: (height, width) of the part.
    """
    rows = np.floor((box.top + _centres(size[0]) * box.height) / photo[1] * whole.shape[0]).astype(int)
    columns = np.floor((box.left + _centres(size[1]) * box.width) / photo[0] * whole.shape[1]).astype(int)
    inside, nearest = _lookup(rows, columns, whole.shape)
    return np.where(inside, whole[nearest], 0).astype(np.int64)


def paste_map(
    whole: np.ndarray, label: np.ndarray, where: np.ndarray, box: Box, photo: tuple[int, int]
) -> np.ndarray:
    """Return the label map of a photo in which a part of it, in a frame, was changed.

    Args:
        whole: int [H, W], of the whole photo, at any size.
        label: int [h, w], of the frame.
        where: bool [h, w], what counts of it.
        box: the frame in pixels of the photo.
        photo: (width, height) of the photo.
    """
    rows = np.floor((_centres(whole.shape[0]) * photo[1] - box.top) / box.height * label.shape[0]).astype(int)
    columns = np.floor((_centres(whole.shape[1]) * photo[0] - box.left) / box.width * label.shape[1])
    inside, nearest = _lookup(rows, columns.astype(int), label.shape)
    return np.where(inside & where[nearest], label[nearest], whole)


def _centres(count: int) -> np.ndarray:
    """Return where the middles of ``count`` pixels lie, from 0 to 1."""
    return (np.arange(count) + 0.5) / count


def _lookup(
    rows: np.ndarray, columns: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Return bool [h, w], which places a map of this shape has, and the indices of the nearest that it has."""
    inside = ((rows >= 0) & (rows < shape[0]))[:, None] & ((columns >= 0) & (columns < shape[1]))
    return inside, np.ix_(rows.clip(0, shape[0] - 1), columns.clip(0, shape[1] - 1))
