"""Edits of a person's label map by code, as a visitor paints them: a coat opened, glasses added, a skirt lengthened.

Each takes a label map int64 [H, W] in classes of :data:`groupdnet_hub.data.people.PEOPLE16`, of any size, and returns
another one; the same pixels where the map does not show what it takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from groupdnet_hub import LabelSet

# All as fractions: of the coat's width in a row; of the face's width and height; of the skirt's height.
_OPENING = 0.36
_EYES, _LENS_WIDTH, _LENS_HEIGHT, _APART = 0.38, 0.40, 0.24, 0.23
_LONGER = 0.7


@dataclass(frozen=True)
class MapEdit:
    """An edit.

    Attributes:
        name: what a reader is told.
        needs: the classes that it takes.
        apply: changes a label map.
    """

    name: str
    needs: tuple[str, ...]
    apply: Callable[[np.ndarray, LabelSet], np.ndarray]


def open_coat(ids: np.ndarray, labels: LabelSet) -> np.ndarray:
    """Turn the middle strip of the outerwear into top, below the face and as far down as the coat reaches."""
    coat, edited = ids == labels.id_of("outerwear"), ids.copy()
    face = np.flatnonzero((ids == labels.id_of("face")).any(axis=0))
    if not len(face) or not coat.any():
        return edited
    middle = face.mean()
    for row in np.flatnonzero(coat.any(axis=1)):
        columns = np.flatnonzero(coat[row])
        half = _OPENING * (columns[-1] - columns[0] + 1) / 2
        strip = columns[np.abs(columns - middle) <= half]
        edited[row, strip] = labels.id_of("top")
    return edited


def add_glasses(ids: np.ndarray, labels: LabelSet) -> np.ndarray:
    """Add two lenses and a bridge at the height of the eyes, on nothing but the face of somebody who wears none."""
    face, edited = ids == labels.id_of("face"), ids.copy()
    rows = np.flatnonzero(face.any(axis=1))
    if not len(rows) or (ids == labels.id_of("glasses")).any():
        return edited
    height = len(rows)
    eyes = rows[0] + _EYES * (height - 1)
    columns = np.flatnonzero(face[round(eyes)])
    if not len(columns):
        return edited
    width, middle = len(columns), columns.mean()
    row, column = np.indices(ids.shape)
    up = (row - eyes) / (_LENS_HEIGHT * height / 2)
    lenses = np.zeros(ids.shape, dtype=bool)
    for side in (-1, 1):
        across = (column - middle - side * _APART * width) / (_LENS_WIDTH * width / 2)
        # Between an ellipse and a rectangle.
        lenses |= across**4 + up**4 <= 1
    bridge = (np.abs(column - middle) <= _APART * width) & (np.abs(row - eyes) <= max(0.5, height / 40))
    edited[face & (lenses | bridge)] = labels.id_of("glasses")
    return edited


def lengthen_skirt(ids: np.ndarray, labels: LabelSet) -> np.ndarray:
    """Extend each column of the skirt downwards, over legs and what is between them."""
    skirt, edited = ids == labels.id_of("skirt"), ids.copy()
    rows = np.flatnonzero(skirt.any(axis=1))
    if not len(rows):
        return edited
    covered = [labels.id_of(name) for name in ("skin", "legwear", "background") if name in labels.names]
    more = round(_LONGER * len(rows))
    for column in np.flatnonzero(skirt.any(axis=0)):
        hem = np.flatnonzero(skirt[:, column])[-1] + 1
        below = edited[hem : hem + more, column]
        below[np.isin(below, covered)] = labels.id_of("skirt")
    return edited


EDITS = (
    MapEdit("coat opened", ("outerwear", "top", "face"), open_coat),
    MapEdit("glasses added", ("glasses", "face"), add_glasses),
    MapEdit("skirt lengthened", ("skirt",), lengthen_skirt),
)
