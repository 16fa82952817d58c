"""Label maps of one person: the person alone, her size, and a plain backdrop. Maps are int arrays [H, W]."""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image, ImageFilter
from scipy import ndimage

from groupdnet_hub.data.labels import LabelSet

# In every label set of people.
BACKGROUND = 0
# A labelled piece smaller than this share of the largest one is a slip of the annotator's brush.
_SPECK = 0.004
# Light greys, from warm to cool, and how much lighter than that the top is, and darker the bottom.
_BACKDROPS, _SHADE = ((232, 229, 222), (234, 234, 234), (226, 225, 230), (218, 221, 226)), 7


def ids_of(labels: LabelSet, *names: str) -> list[int]:
    """The ids of those of the named classes that a label set has."""
    return [labels.id_of(name) for name in names if name in labels.names]


def without_bags(ids: np.ndarray, labels: LabelSet) -> np.ndarray:
    """The map with its bags as background: what the size of a person is measured on."""
    bags = ids_of(labels, "bag")
    return np.where(np.isin(ids, bags), BACKGROUND, ids) if bags else ids


def remove_specks(ids: np.ndarray) -> np.ndarray:
    """Labelled pieces under 0.4 % of the largest one become background."""
    pieces, count = ndimage.label(ids != BACKGROUND)
    if count < 2:
        return ids
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    small = sizes < _SPECK * sizes.max()
    small[0] = False
    return np.where(small[pieces], BACKGROUND, ids)


def keep_main_person(ids: np.ndarray) -> np.ndarray:
    """The largest labelled piece and what lies in its columns; everything else becomes background.

    A parser labels passers-by too, and a bag may part a person into several pieces.
    """
    ids = remove_specks(ids)
    pieces, count = ndimage.label(ids != BACKGROUND)
    if count < 2:
        return ids
    spans = [span[1] for span in ndimage.find_objects(pieces)]
    main = spans[int(np.bincount(pieces.ravel())[1:].argmax())]
    kept = [False, *(main.start <= (span.start + span.stop - 1) / 2 < main.stop for span in spans)]
    return np.where(np.array(kept)[pieces], ids, BACKGROUND)


def body_rows(ids: np.ndarray) -> tuple[int, int]:
    """First row of the labelled person, and the number of rows from there to the last one.

    Raises:
        ValueError: if nothing is labelled.
    """
    rows = np.flatnonzero((ids != BACKGROUND).any(axis=1))
    if not len(rows):
        raise ValueError("the label map shows no person: every pixel is background")
    return int(rows[0]), int(rows[-1] - rows[0] + 1)


def backdrop_of(name: str) -> int:
    """Which of the four backdrops a picture gets, 0 to 3: it depends on the picture's name alone."""
    return hashlib.sha256(name.encode()).digest()[0] % len(_BACKDROPS)


def cut_out(photo: Image.Image, ids: np.ndarray, backdrop: int) -> Image.Image:
    """The labelled person on a plain light backdrop, with an edge one pixel soft.

    Args:
        backdrop: which of the four, 0 to 3; each is a little lighter at the top than at the bottom.
    """
    person = Image.fromarray(np.where(ids != BACKGROUND, 255, 0).astype(np.uint8))
    # Shrunk by a pixel before it is softened: the outermost pixels are mixed with the street behind.
    edge = person.filter(ImageFilter.MinFilter(3)).filter(ImageFilter.GaussianBlur(0.8))
    light = np.linspace(_SHADE, -_SHADE, photo.height)[:, None, None] + np.array(_BACKDROPS[backdrop])
    rows = np.broadcast_to(light.round().astype(np.uint8), (photo.height, photo.width, 3))
    return Image.composite(photo, Image.fromarray(np.ascontiguousarray(rows)), edge)
