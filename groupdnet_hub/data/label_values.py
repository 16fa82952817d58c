"""What the values of a label map mean: class ids, or colours of classes.

Programs that save a picture choose its form by themselves. An indexed picture numbers its colours in any order, an
optimiser indexes a grey one, and a format without grey repeats ids in three channels. So the values that occur decide
together how they are read, and where two readings are possible and differ, the log says which was taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from groupdnet_hub.data.labels import LabelSet
from groupdnet_hub.data.unknown import UNKNOWN

# Told which of two possible readings was taken.
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Colours:
    """Distinct colours of a picture, as a label set's classes.

    Attributes:
        found: uint8 [N, 3].
        ids: int64 [N], the nearest class, or ``UNKNOWN`` for a colour that stands for it.
        distance: int64 [N], largest difference of a channel from that class's colour.
    """

    found: np.ndarray
    ids: np.ndarray
    distance: np.ndarray

    @property
    def exact(self) -> bool:
        """Whether all are exactly colours of classes."""
        return not self.distance.any()

    @property
    def is_grey(self) -> bool:
        """Whether none has a hue."""
        return bool((self.found == self.found[:, :1]).all())

    def near(self, tolerance: int) -> bool:
        """Return whether all are colours of classes within a tolerance.

        Greys are only if they are of as many classes, more than one: several dark greys are ids that no class has, and
        not shades of a black class.
        """
        if (self.distance > tolerance).any():
            return False
        return not self.is_grey or self.exact or (len(self.found) > 1 and self.one_each)

    @property
    def one_each(self) -> bool:
        """Whether no two are of one class."""
        return len(np.unique(self.ids)) == len(self.ids)


def nearest_classes(found: np.ndarray, labels: LabelSet) -> Colours:
    """Return the classes whose colours are nearest to colours uint8 [N, 3]."""
    # What is nearest to an ignored colour is unknown.
    palette = np.asarray(labels.palette + labels.ignored_colours, dtype=np.int16)
    nearest = np.empty(len(found), dtype=np.int64)
    distance = np.empty(len(found), dtype=np.int64)
    step = max(1, 2**19 // len(palette))  # a photo has many colours: in chunks, memory stays small
    for start in range(0, len(found), step):
        part = np.zeros((len(found[start : start + step]), len(palette)), dtype=np.int16)
        for channel in range(3):
            values = found[start : start + step, channel, None].astype(np.int16)
            np.maximum(part, np.abs(values - palette[:, channel]), out=part)
        nearest[start : start + step] = part.argmin(axis=1)
        distance[start : start + step] = part.min(axis=1)
    nearest[nearest >= len(labels)] = UNKNOWN
    return Colours(found, nearest, distance)


def as_ids(values: np.ndarray, labels: LabelSet) -> np.ndarray | None:
    """Return integers of any shape as ids, those that stand for it as ``UNKNOWN``; None if one is neither."""
    values = values.astype(np.int64, copy=False)
    wrong = (values < 0) | (values >= len(labels))
    if not wrong.any():
        return values
    unknown = wrong & np.isin(values, labels.ignored_ids)
    return None if (wrong & ~unknown).any() else np.where(unknown, UNKNOWN, values)


def ids_of_colours(colours: Colours, labels: LabelSet, tolerance: int, tell: Tell) -> np.ndarray | None:
    """Return the ids of the colours of an RGB picture, int64 [N]; None if they can be neither colours nor ids.

    Equal channels hold ids, unless all are exactly colours of classes: what is near a class's colour is not more than
    an id.
    """
    greys = as_ids(colours.found[:, 0], labels) if colours.is_grey else None
    if colours.exact:
        _compare(tell, colours.ids, "class colours", greys, "ids in three channels")
        return colours.ids
    if greys is not None:
        near = colours.ids if (colours.distance <= tolerance).all() else None
        _compare(tell, greys, "ids in three channels", near, "colours near class colours")
        return greys
    return colours.ids if colours.near(tolerance) else None


def ids_of_palette(
    colours: Colours, indices: np.ndarray, compact: bool, labels: LabelSet, tolerance: int, tell: Tell
) -> np.ndarray | None:
    """Return the ids of the used entries of an indexed picture, int64 [N]; None if they can be neither.

    Args:
        colours: colours of the used entries.
        indices: int64 [N], the entries' positions.
        compact: whether the palette was made of the picture's own colours, as optimisers make it.
        labels: label set.
        tolerance: largest difference of a colour channel from a class's colour.
        tell: told where two readings are possible and differ.
    """
    by_index = as_ids(indices, labels)
    greys = as_ids(colours.found[:, 0], labels) if colours.is_grey else None
    if colours.exact:
        _compare(tell, colours.ids, "class colours of its palette", by_index, "palette indices")
        return colours.ids
    if greys is not None and (compact or by_index is None):
        _compare(tell, greys, "ids in the greys of its palette", by_index, "palette indices")
        return greys
    near = colours.near(tolerance)
    if near and (colours.one_each or by_index is None):
        _compare(
            tell,
            colours.ids,
            "near class colours of its palette",
            by_index,
            "palette indices",
        )
        return colours.ids
    if by_index is not None and near:
        _compare(
            tell,
            by_index,
            "palette indices",
            colours.ids,
            "near class colours of its palette",
        )
    return by_index


def ids_of_greys(
    values: np.ndarray, bits: int, labels: LabelSet, tolerance: int, tell: Tell
) -> np.ndarray | None:
    """Return the ids of the values of an 8-bit grey picture, int64 [N]; None if they can be neither ids nor colours.

    Args:
        values: uint8 [N], distinct.
        bits: bits of a value in the file: those of fewer than 8 were multiplied when they were read.
        labels: label set.
        tolerance: largest difference of a colour channel from a class's colour.
        tell: told where two readings are possible and differ.

    Raises:
        ValueError: for values of fewer bits that are ids both as they are and multiplied.
    """
    ids = as_ids(values, labels)
    colours = nearest_classes(np.repeat(values[:, None], 3, axis=1), labels)
    if bits < 8:
        return _ids_of_few_bits(values, bits, ids, colours, labels, tell)
    if ids is not None:
        if colours.exact:
            _compare(tell, ids, "ids", colours.ids, "class colours")
        return ids
    return colours.ids if colours.near(tolerance) else None


def _ids_of_few_bits(
    values: np.ndarray,
    bits: int,
    multiplied: np.ndarray | None,
    colours: Colours,
    labels: LabelSet,
    tell: Tell,
) -> np.ndarray | None:
    stored = as_ids(values // (255 // (2**bits - 1)), labels)
    if colours.exact:
        _compare(tell, colours.ids, "class colours", stored, "ids")
        return colours.ids
    if stored is not None and multiplied is not None and not np.array_equal(stored, multiplied):
        raise ValueError(
            f"the label map is grey with {bits} bits a value, and its values are ids both as they are stored and as "
            "grey from 0 to 255: save it with 8 bits"
        )
    return stored if stored is not None else multiplied


def _compare(tell: Tell, taken: np.ndarray, name: str, other: np.ndarray | None, other_name: str) -> None:
    if other is not None and not np.array_equal(taken, other):
        tell(f"it can be read as {name} or as {other_name}, and the two differ: it was read as {name}")
