"""Label maps of one person: isolating and measuring the person, and a plain backdrop. Maps are int arrays [H, W]."""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

from groupdnet_hub.data.labels import LabelSet
from groupdnet_hub.data.people import BACKGROUND

# A labelled piece smaller than this fraction of the largest one is a slip of the annotator's brush.
_SPECK = 0.004
# Light greys, from warm to cool, and by how much the top is lighter and the bottom darker.
_BACKDROPS, _SHADE = ((232, 229, 222), (234, 234, 234), (226, 225, 230), (218, 221, 226)), 7


def ids_of(labels: LabelSet, *names: str) -> list[int]:
    """Return the ids of those named classes that a label set has."""
    return [labels.id_of(name) for name in names if name in labels.names]


def without_bags(ids: np.ndarray, labels: LabelSet) -> np.ndarray:
    """Return a map with its bags as background, on which the size of a person is measured."""
    bags = ids_of(labels, "bag")
    return np.where(np.isin(ids, bags), BACKGROUND, ids) if bags else ids


def remove_specks(ids: np.ndarray) -> np.ndarray:
    """Turn labelled pieces under 0.4 % of the largest one into background."""
    pieces, count = ndimage.label(ids != BACKGROUND)
    if count < 2:
        return ids
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    small = sizes < _SPECK * sizes.max()
    small[0] = False
    return np.where(small[pieces], BACKGROUND, ids)


def keep_main_person(ids: np.ndarray) -> np.ndarray:
    """Turn everything but the largest labelled piece, and those centred on its columns, into background.

    A parser labels passers-by too, and a bag may divide a person into several pieces.
    """
    ids = remove_specks(ids)
    pieces, count = ndimage.label(ids != BACKGROUND)
    if count < 2:
        return ids
    spans = [span[1] for span in ndimage.find_objects(pieces)]
    main = spans[int(np.bincount(pieces.ravel())[1:].argmax())]
    central = [False, *(main.start <= (span.start + span.stop - 1) / 2 < main.stop for span in spans)]
    return np.where(np.array(central)[pieces], ids, BACKGROUND)


def body_rows(ids: np.ndarray) -> tuple[int, int]:
    """Return the first row of the labelled person, and the number of rows from there to the last one.

    Raises:
        ValueError: if nothing is labelled.
    """
    rows = np.flatnonzero((ids != BACKGROUND).any(axis=1))
    if not len(rows):
        raise ValueError("the label map shows no person: every pixel is background")
    return int(rows[0]), int(rows[-1] - rows[0] + 1)


def backdrop_of(name: str) -> int:
    """Return the backdrop of a picture, 0 to 3; it depends on the picture's name alone."""
    return hashlib.sha256(name.encode()).digest()[0] % len(_BACKDROPS)


def cut_out(photo: Image.Image, ids: np.ndarray, backdrop: int) -> Image.Image:
    """Return the labelled person on a plain light backdrop, with an edge that is one pixel soft.

    Args:
        photo: RGB photo.
        ids: its label map, int [H, W].
        backdrop: number of the backdrop, 0 to 3; each is a little lighter at the top than at the bottom.
    """
    person = Image.fromarray(np.where(ids != BACKGROUND, 255, 0).astype(np.uint8))
    # Shrink by a pixel before blurring: the outermost pixels are mixed with the street behind.
    edge = person.filter(ImageFilter.MinFilter(3)).filter(ImageFilter.GaussianBlur(0.8))
    light = np.linspace(_SHADE, -_SHADE, photo.height)[:, None, None] + np.array(_BACKDROPS[backdrop])
    rows = np.broadcast_to(light.round().astype(np.uint8), (photo.height, photo.width, 3))
    return Image.composite(photo, Image.fromarray(np.ascontiguousarray(rows)), edge)
