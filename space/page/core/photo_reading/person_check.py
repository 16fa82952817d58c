"""Whether a photo shows a person, by what a parser of people makes of it: one labels a cat or a wall as well."""

from __future__ import annotations

import numpy as np

from groupdnet_hub import LabelSet
from groupdnet_hub.data.people import BACKGROUND
from groupdnet_hub.data.person_maps import ids_of

# A person covers at least this fraction of the part of the photo that is framed around them; people in photos cover 0.2
# to 0.65 of it.
MIN_AREA = 0.05
# Face or hair, glasses and hats among them, must be found, each on at least this fraction of the person's pixels, ...
MIN_FACE, MIN_HAIR = 0.003, 0.005
# ... and be as probable as this there, on average. Street photos reach 0.83 at least (0.92 with sixteen classes);
# photos of other things 0.67 at most, though a bear or a bench is "clothes" with up to 0.93.
MIN_HEAD_CONFIDENCE = 0.75
# That it is no background must be as probable as this on the person's pixels, whichever class each of them is; street
# photos reach 0.9.
MIN_CONFIDENCE = 0.75

_HEAD = ((("face", "glasses"), MIN_FACE), (("hair", "hat"), MIN_HAIR))


class NoPersonError(ValueError):
    """A photo shows no person that the parser is sure of.

    Args:
        found: what there is instead, as the second half of a sentence.
    """

    def __init__(self, found: str = "nothing in it looks like one") -> None:
        super().__init__(
            f"no person was found in this photo: {found}. Use a photo of one person with their head in view, or bring "
            "the photo's label map (upload it, or paint it over the photo)."
        )


def check_person(ids: np.ndarray, probabilities: np.ndarray, labels: LabelSet) -> None:
    """Refuse what is not a person.

    Args:
        ids: int64 [H, W], the label map of the part around what looks like a person.
        probabilities: float32 [C, H, W], those of the classes there.
        labels: the classes.

    Raises:
        NoPersonError: by the constants of this module.
    """
    person = ids != BACKGROUND
    if not person.any():
        raise NoPersonError
    if person.mean() < MIN_AREA:
        raise NoPersonError("what looks most like one is a few scattered pixels")
    head = max(_confidence(ids, probabilities, ids_of(labels, *names), least) for names, least in _HEAD)
    if head == 0:
        raise NoPersonError("what looks most like one has neither a face nor hair")
    if head < MIN_HEAD_CONFIDENCE:
        raise NoPersonError(f"the parser is only {head:.0%} sure of the face or hair that it sees")
    confidence = 1 - float(probabilities[BACKGROUND][person].mean())
    if confidence < MIN_CONFIDENCE:
        raise NoPersonError(f"the parser is only {confidence:.0%} sure that it sees more than background")


def _confidence(ids: np.ndarray, probabilities: np.ndarray, classes: list[int], least: float) -> float:
    """Return how probable these classes are where the map has them; 0 on less than this fraction of the person."""
    there = np.isin(ids, classes)
    if there.sum() < least * (ids != BACKGROUND).sum():
        return 0.0
    return float(probabilities[classes].sum(axis=0)[there].mean())
