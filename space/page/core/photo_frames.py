"""Which part of a visitor's photo becomes a picture, and how it is cut out of it. Sizes are (height, width)."""

from __future__ import annotations

import numpy as np

from groupdnet_hub import LabelSet
from groupdnet_hub.data.person_frames import Box, find_frame, frame_of_part
from groupdnet_hub.data.person_maps import body_rows, ids_of, without_bags

# A person whose lowest pixels are this close to the photo's lower edge, as a fraction of the photo's height, is cut off
# there, unless this fraction of the person's pixels are shoes.
_EDGE, _SHOES = 0.015, 0.003


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
