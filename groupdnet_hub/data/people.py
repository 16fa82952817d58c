"""The two label sets of people, and merging the finer one into the other."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.labels import LabelSet

# Id of the background in every label set of people.
BACKGROUND = 0
# The paper's 8 classes for people: background, hair, face, skin, top-clothes, bottom-clothes, socks, shoes.
PEOPLE = FIGURE_LABELS
# Sixteen classes, so that each garment and glasses have their own; colours as in PEOPLE where the names coincide.
PEOPLE16 = LabelSet(
    (
        *("background", "hair", "hat", "face", "glasses", "skin", "top", "outerwear"),
        *("dress", "skirt", "trousers", "legwear", "shoes", "bag", "scarf", "belt"),
    ),
    (
        *((0, 0, 0), (140, 80, 30), (255, 90, 200), (255, 200, 160)),
        *((0, 235, 255), (230, 140, 110), (60, 120, 216), (30, 40, 130)),
        *((200, 30, 50), (150, 220, 60), (30, 110, 60), (160, 90, 190)),
        *((240, 200, 40), (120, 120, 120), (255, 120, 0), (255, 255, 255)),
    ),
)
# The one of the 8 classes that each of the 16 is part of; those not listed have the same name.
PEOPLE16_IN_PEOPLE8 = {
    "hat": "hair",
    "glasses": "face",
    **dict.fromkeys(("top", "outerwear", "dress", "scarf"), "top-clothes"),
    **dict.fromkeys(("skirt", "trousers", "belt"), "bottom-clothes"),
    "legwear": "socks",
    "bag": "background",
}


def id_in(labels: LabelSet, name: str) -> int:
    """Return the id in ``labels`` of a class of :data:`PEOPLE16`, or of its class in :data:`PEOPLE`."""
    return labels.id_of(name if name in labels.names else PEOPLE16_IN_PEOPLE8[name])


def shows_people(labels: LabelSet) -> bool:
    """Return whether a label set is one of people: background first, with hair, face and skin."""
    return labels.names[0] == "background" and {"hair", "face", "skin"} <= set(labels.names)


def merged_ids(names: Collection[str], labels: LabelSet) -> list[int] | None:
    """Return what the sixteen classes become in a label set of the eight: whatever knows the finer ones serves both.

    Args:
        names: names of classes, in the order of their ids.
        labels: the label set that is to be served.

    Returns:
        For each of ``names`` the id in ``labels`` of the class that it is merged into; None unless they are the classes
        of :data:`PEOPLE16` and ``labels`` has those of :data:`PEOPLE`, each in any order.
    """
    if sorted(names) != sorted(PEOPLE16.names) or sorted(labels.names) != sorted(PEOPLE.names):
        return None
    return [id_in(labels, name) for name in names]


_IN_PEOPLE8 = np.array([id_in(PEOPLE, name) for name in PEOPLE16.names], np.int64)


def merge_people16(ids: np.ndarray) -> np.ndarray:
    """Return a label map of :data:`PEOPLE16` as one of :data:`PEOPLE`, int64 of the same shape.

    Args:
        ids: ids 0 to 15, any integer type.
    """
    return _IN_PEOPLE8[ids]


def merge_people16_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Return probabilities of the 16 classes, float [16, ...], summed to those of the 8, [8, ...]."""
    merged = np.zeros((len(PEOPLE), *probabilities.shape[1:]), probabilities.dtype)
    np.add.at(merged, _IN_PEOPLE8, probabilities)
    return merged
