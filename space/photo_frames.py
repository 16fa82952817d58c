"""Which part of a visitor's photo becomes a picture, and how it is cut out of it. Sizes are (height, width)."""

from __future__ import annotations

import numpy as np
from PIL import Image

from groupdnet_hub import LabelSet
from groupdnet_hub.person_frames import Box, find_frame, frame_of_part
from groupdnet_hub.person_maps import body_rows, ids_of, without_bags

# A person whose lowest pixels are this close to the photo's lower edge, as a share of the photo's height, is cut off
# there, unless this share of her pixels are shoes.
_EDGE, _SHOES = 0.015, 0.003


def middle_frame(photo: tuple[int, int], size: tuple[int, int]) -> Box:
    """The largest part of a photo's middle that has the proportions of ``size``.

    Args:
        photo: (width, height), as Pillow has it.
    """
    width, height = photo
    wanted = size[1] / size[0]
    inner = min(width, max(1, round(height * wanted))), min(height, max(1, round(width / wanted)))
    return Box((width - inner[0]) // 2, (height - inner[1]) // 2, *inner)


def person_frame(ids: np.ndarray, labels: LabelSet, aspect: float) -> Box:
    """The frame around the person of a label map that training data has: all of her, or the part that a photo shows.

    A photo that ends above her feet shows a part; then the frame ends where the photo does.

    Args:
        ids: int [H, W], of the whole photo.
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
    """The same frame in a picture that is ``factor`` times as large; its sides still have that ratio, rounded."""
    width = max(1, round(box.width * factor))
    height = max(1, round(width * aspect))
    middle, centre = box.left + box.width / 2, box.top + box.height / 2
    return Box(round(middle * factor - width / 2), round(centre * factor - height / 2), width, height)


def cut(picture: Image.Image, box: Box, colour: tuple[int, int, int]) -> Image.Image:
    """The part of a picture in a frame, which may reach beyond it; there it is of this colour."""
    inside = (
        max(box.left, 0),
        max(box.top, 0),
        min(box.left + box.width, picture.width),
        min(box.top + box.height, picture.height),
    )
    whole = Image.new("RGB", (box.width, box.height), colour)
    whole.paste(picture.crop(inside), (inside[0] - box.left, inside[1] - box.top))
    return whole


def cut_map(ids: np.ndarray, photo: tuple[int, int], box: Box) -> np.ndarray:
    """The part of a label map in a frame of its photo; beyond the photo it is class 0.

    Args:
        ids: int64 [H, W], of the photo's proportions, and of any size.
        photo: (width, height) of the photo.
        box: in pixels of the photo.
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
    """The median colour of what is no person, or of the whole photo.

    Args:
        ids: int [H, W], a label map at the photo's size.
    """
    pixels = np.asarray(photo)
    background = pixels[ids == 0]
    red, green, blue = np.median(background if len(background) else pixels.reshape(-1, 3), axis=0)
    return int(red), int(green), int(blue)
