"""Fixed classes: those with only one appearance in a model, so that redrawing them changes nothing to the eye.

A class that training left without variety (its codes carry no information, or the decoder ignores them) still has a
code, and a button to redraw it. Whether that does anything is measured in pictures: the class is redrawn a few times,
and its pixels are compared.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from groupdnet_hub import GroupDNetPipeline, Look

from .session import ShelfItem

# Mean difference of two redraws in the class's pixels, of 255, under which nobody tells one from the other. Classes
# that vary are far above it (8 and more), those that do not far below (under 2).
SEEN = 2.5
_SEEDS = range(4)
# A class is measured where it has at least this fraction of the picture: what is smaller takes its neighbours' colours.
_ENOUGH = 1 / 1000


def indistinguishable(pictures: Sequence[Image.Image], region: np.ndarray) -> bool:
    """Return whether pictures are the same to the eye within a region, bool [H, W] and not empty."""
    pixels = [np.asarray(picture, dtype=np.float32)[region] for picture in pictures]
    differences = [np.abs(one - other).mean() for one, other in itertools.combinations(pixels, 2)]
    return bool(np.mean(differences) < SEEN)


def shows_most(looks: Sequence[Look], name: str) -> Look | None:
    """Return the look that shows most of a class; None if none shows enough of it to be measured."""
    areas = [int((look.mask == look.codes.labels.id_of(name)).sum()) for look in looks]
    largest = max(areas, default=0)
    if not largest or largest < _ENOUGH * looks[0].mask.size:
        return None
    return looks[areas.index(largest)]


def is_fixed(pipeline: GroupDNetPipeline, look: Look, name: str) -> bool:
    """Return whether redrawing a class of a look changes it too little to be seen; the same answer every time."""
    return _alike([_redrawn(pipeline, look, name, seed) for seed in _SEEDS], look, name)


class FixedClasses:
    """The fixed classes of a model, each measured once on the bundled look that shows most of it.

    Args:
        run: :meth:`Studio.run`.
        run_piece: :meth:`Studio.run_piece`.
        bundled: the looks that every visitor finds.
    """

    def __init__(
        self,
        run: Callable[..., Any],
        run_piece: Callable[..., Any],
        bundled: Callable[[], Sequence[ShelfItem]],
    ) -> None:
        self._run, self._run_piece, self._bundled = run, run_piece, bundled
        self._measured: dict[str, bool] = {}

    @property
    def known(self) -> list[str]:
        """Those that have been found so far."""
        return [name for name, one in self._measured.items() if one]

    def holds(self, name: str) -> bool:
        """Return whether this is one of them; false as well for a class of which no bundled look shows enough."""
        if name not in self._measured:
            look = shows_most([one.look for one in self._bundled()], name)
            if look is None:
                return False
            self._measured[name] = self._run(is_fixed, look, name)
        return self._measured[name]

    def find(self) -> None:
        """Measure all classes that bundled looks show, one redraw at a time: visitors' calls come in between."""
        for name in {name: None for one in self._bundled() for name in one.look.classes}:
            look = shows_most([one.look for one in self._bundled()], name)
            if look is not None and name not in self._measured:
                pictures = [self._run_piece(_redrawn, look, name, seed) for seed in _SEEDS]
                self._measured[name] = _alike(pictures, look, name)


def _redrawn(pipeline: GroupDNetPipeline, look: Look, name: str, seed: int) -> Image.Image:
    return pipeline.reroll(look, name, seed).image


def _alike(pictures: Sequence[Image.Image], look: Look, name: str) -> bool:
    return indistinguishable(pictures, look.mask == look.codes.labels.id_of(name))
