"""Pairs of which one picture is turned by its EXIF orientation and the other has none.

Readers turn every picture as its own orientation says. Phones write one into photos; few programs write one into label
maps. A map that was drawn on the photo as it is stored then lies turned against it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from groupdnet_hub.io.headers import Header, header_of

# Largest relative difference of two pictures' proportions at which they can be of one scene.
_ASPECT_TOLERANCE = 0.02


def check_orientations(
    photo: object,
    label_map: object,
    *,
    names: tuple[str, str] = ("photo", "label map"),
    proportions: bool = False,
) -> str | None:
    """Refuse a pair that is turned against itself, as far as the sizes tell.

    Args:
        photo: photo, or its header, as :func:`groupdnet_hub.io.headers.header_of` takes it.
        label_map: its map, likewise.
        names: what the two are, for messages.
        proportions: whether the two may have different sizes of the same proportions.

    Returns:
        A warning where one is turned, the other has no orientation, and sizes do not tell whether they fit; else None,
        also if one cannot be read.

    Raises:
        ValueError: where their sizes fit as they are stored and not as they are turned.
    """
    headers = [given if isinstance(given, Header) else header_of(given) for given in (photo, label_map)]
    first, second = headers
    if first is None or second is None or (first.orientation > 1) == (second.orientation > 1):
        return None
    if first.orientation > 1:
        turned, other, orientation = *names, first.orientation
    else:
        turned, other, orientation = *reversed(names), second.orientation
    told = f"the {turned}{_file_name(photo if turned == names[0] else label_map)} is turned by its EXIF orientation "
    told += f"{orientation} and the {other} is not"
    stored, upright = (
        _agree(*sizes, proportions)
        for sizes in ((first.stored, second.stored), (first.upright, second.upright))
    )
    if upright and stored:
        return (
            f"{told}, and their sizes do not tell whether they fit: if they fit as they are stored, remove the "
            f"orientation of the {turned}, or turn the {other} too"
        )
    if stored:
        raise ValueError(
            f"{told}: as they are stored they fit. Remove the orientation of the {turned}, or turn the {other} too"
        )
    return None


def _agree(first: tuple[int, int], second: tuple[int, int], proportions: bool) -> bool:
    if not proportions:
        return first == second
    return abs((first[0] * second[1]) / (first[1] * second[0]) - 1) <= _ASPECT_TOLERANCE


def _file_name(source: object) -> str:
    if not isinstance(source, (str, os.PathLike)):
        return ""
    name = os.path.basename(os.fspath(source))
    return f" {name if len(name) <= 80 else name[:77] + '...'!r}"


def check_pair(pair: Sequence[object]) -> str | None:
    """Check the orientations of a picture and its maps as :func:`check_orientations` does.

    Args:
        pair: picture, label map, and instance map or None.

    Raises:
        ValueError: for a pair that is turned against itself.
    """
    picture, label_map, instance_map = pair
    doubt = check_orientations(picture, label_map)
    if instance_map is None:
        return doubt
    names = ("photo", "instance map")  # which may have another size
    return check_orientations(picture, instance_map, names=names, proportions=True) or doubt


class WarnOnce:
    """A warning that is given once by all processes that share it, such as a data set in a loader's workers."""

    def __init__(self) -> None:
        self._warned = torch.zeros((), dtype=torch.bool).share_memory_()

    def __call__(self, message: str) -> None:
        """Warn with the first message, and be silent from then on."""
        if not self._warned:
            self._warned.fill_(True)
            warnings.warn(f"{message}. Said once: other pairs may be alike", stacklevel=3)


@dataclass(frozen=True)
class PairWarnings:
    """What is doubtful about the pairs of a data set; by default each kind of doubt is told once.

    Attributes:
        turned: takes that a picture may be turned against its label map.
        two_readings: takes which of two possible readings of a label map was taken.
    """

    turned: Callable[[str], None] = field(default_factory=WarnOnce)
    two_readings: Callable[[str], None] = field(default_factory=WarnOnce)
