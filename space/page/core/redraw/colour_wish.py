"""A class in a colour that is wished for: which of the codes that a model's prior draws comes nearest to it.

What colour a code draws is known once it is drawn, and drawing all of them takes a minute. Some are drawn, on a map
that shows much of the class; from these the colours of the others are predicted (a Gaussian process on the codes:
Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, chapter 2), and the most promising are drawn
next. What was drawn is remembered for the next wish. The nearest are then drawn on the visitor's own picture, and
compared there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from groupdnet_hub import GroupDNetPipeline, Look

from ..actions import redrawn
from ..fixed_classes import indistinguishable, shows_most
from ..session import ShelfItem
from .candidates import CANDIDATES
from .colours import lab, mean_colour, read_colour, written

# The codes of a class that are considered, and how many seeds are tried to find that many different ones.
MOST_CODES, _MOST_SEEDS = 512, 2048
# Drawn to begin with, then in two rounds on the same map, then on the visitor's picture.
_FIRST, _ROUNDS, _PROMISING, _OWN = 24, 2, 8, 8
# Of no more codes than this, all are drawn.
_FEW = 48
# Pictures that are drawn at a time: between two of these pieces, other visitors' calls are answered.
PIECE = 3
# Classes whose colours are remembered; a class takes up to some MB.
_MOST_CLASSES = 16
# Of the Gaussian process: how far codes are alike, in variances of the codes, and the variance of what it cannot know.
_LENGTH, _NOISE = 3.0, 0.05


@dataclass(frozen=True)
class Granted:
    """What came of a wish.

    Attributes:
        looks: the nearest first, none of which looks like another.
        nearest: the colour of the class in the first one, "#rrggbb".
    """

    looks: tuple[Look, ...]
    nearest: str


@dataclass(frozen=True)
class Progress:
    """How many of at most how many pictures have been drawn."""

    drawn: int
    most: int


@dataclass
class _Codes:
    """The codes of one class, and the colours of those that were drawn.

    Attributes:
        seeds: of each code.
        values: float32 [n, D].
        seen: place of a code to its colour, float64 [3] in Lab.
    """

    seeds: list[int]
    values: Tensor
    seen: dict[int, np.ndarray] = field(default_factory=dict)

    def nearest(self, wished: np.ndarray, count: int) -> list[int]:
        """Return the places of the codes whose colours, seen or predicted, are nearest to one in Lab."""
        distances = np.linalg.norm(self._colours() - wished, axis=1)
        return [int(place) for place in np.argsort(distances, kind="stable")[:count]]

    def _colours(self) -> np.ndarray:
        """Return the colour of each code, float64 [n, 3] in Lab: as it was seen, or as it is predicted."""
        seen = list(self.seen.items())
        places, colours = [place for place, _ in seen], np.stack([colour for _, colour in seen])
        values = self.values.double()
        scale = _LENGTH * values.shape[1] * max(float(values.var()), 1e-12)
        alike = torch.exp(-torch.cdist(values, values[places]).square() / scale)
        known = alike[places] + _NOISE * torch.eye(len(places), dtype=torch.float64)
        mean = colours.mean(axis=0)
        predicted = (alike @ torch.linalg.solve(known, torch.from_numpy(colours - mean))).numpy() + mean
        predicted[places] = colours
        return predicted


class ColourWishes:
    """Grants the wishes of all visitors for one model.

    Args:
        run: :meth:`Studio.run`.
        bundled: the looks that every visitor finds.
    """

    def __init__(self, run: Callable[..., Any], bundled: Callable[[], Sequence[ShelfItem]]) -> None:
        self._run, self._bundled = run, bundled
        self._known: OrderedDict[str, _Codes] = OrderedDict()

    def grant(self, look: Look, name: str, colour: str, keep_pixels: bool) -> Iterator[Progress | Granted]:
        """Draw a class of a look in the colours nearest to the one that is wished for.

        Args:
            look: the visitor's picture.
            name: a class on its label map.
            colour: "#rrggbb".
            keep_pixels: whether the picture keeps its pixels outside of the class.

        Yields:
            The progress after each piece, between which other visitors' calls come in; in the end what came of it.

        Raises:
            ValueError: for a colour that cannot be read.
        """
        wished = lab(read_colour(colour))
        codes, shown = self._codes(look, name)
        count, searched = len(codes.seeds), 0
        first, rounds = (count, 0) if count <= _FEW else (_FIRST, _ROUNDS)
        most = max(0, first - len(codes.seen)) + rounds * _PROMISING
        for turn in range(1 + rounds):
            # As far as the most promising are known, fewer are drawn.
            places = codes.nearest(wished, 2 * _PROMISING) if turn else range(first)
            unseen = [place for place in places if place not in codes.seen]
            for piece in _pieces(unseen[:_PROMISING] if turn else unseen):
                found = self._run(_colours_of, shown, name, [codes.seeds[place] for place in piece])
                codes.seen.update(zip(piece, found, strict=True))
                searched += len(piece)
                yield Progress(searched, most + _OWN)
        own: list[Look] = []
        for piece in _pieces(codes.nearest(wished, _OWN)):
            seeds = [codes.seeds[place] for place in piece]
            own += self._run(_redrawn_looks, look, name, seeds, keep_pixels)
            yield Progress(searched + len(own), searched + min(_OWN, count))
        yield _nearest(own, look.mask == look.codes.labels.id_of(name), wished)

    def _codes(self, look: Look, name: str) -> tuple[_Codes, Look]:
        """Return the codes of a class and the look on which their colours are seen.

        That is a bundled one if any shows enough of the class. Else it is the visitor's, and what is seen there is not
        remembered: it is one visitor's map.
        """
        shown = shows_most([one.look for one in self._bundled()], name)
        class_id = look.codes.labels.id_of(name)
        if shown is None:
            return _Codes(*self._run(prior_codes, class_id)), look
        if name not in self._known:
            self._known[name] = _Codes(*self._run(prior_codes, class_id))
        self._known.move_to_end(name)
        codes = self._known[name]
        while len(self._known) > _MOST_CLASSES:
            self._known.popitem(last=False)
        return codes, shown


def prior_codes(pipeline: GroupDNetPipeline, class_id: int) -> tuple[list[int], Tensor]:
    """Return seeds that draw different codes of a class, and these codes, float32 [n, D].

    Of a prior that stores codes, each stored one is drawn once.
    """
    prior, seeds, stored = pipeline.model.prior, list[int](), set[int]()
    for seed in range(_MOST_SEEDS):
        chosen = prior.chosen(1, generator=torch.Generator().manual_seed(seed))
        place = -1 if chosen is None else int(chosen[0, class_id])
        if place in stored:
            continue
        seeds.append(seed)
        if place >= 0:
            stored.add(place)
        if len(seeds) == MOST_CODES:
            break
    drawn = [
        prior.sample(1, generator=torch.Generator().manual_seed(seed))[0, class_id].flatten()
        for seed in seeds
    ]
    return seeds, torch.stack(drawn).float().cpu()


def _pieces(places: Sequence[int]) -> list[Sequence[int]]:
    return [places[start : start + PIECE] for start in range(0, len(places), PIECE)]


def _redrawn_looks(
    pipeline: GroupDNetPipeline, look: Look, name: str, seeds: Sequence[int], keep_pixels: bool
) -> list[Look]:
    return [redrawn(pipeline, look, name, seed, keep_pixels) for seed in seeds]


def _colours_of(pipeline: GroupDNetPipeline, look: Look, name: str, seeds: Sequence[int]) -> list[np.ndarray]:
    """Return the mean colour of a class, float64 [3] in Lab, in redraws of a look."""
    region = look.mask == look.codes.labels.id_of(name)
    return [lab(mean_colour(one.image, region)) for one in _redrawn_looks(pipeline, look, name, seeds, False)]


def _nearest(looks: Sequence[Look], region: np.ndarray, wished: np.ndarray) -> Granted:
    """Return up to four of the looks, the nearest first, each of which can be told from those before it."""
    colours = [mean_colour(look.image, region) for look in looks]
    distances = np.linalg.norm(lab(np.stack(colours)) - wished, axis=1)
    chosen: list[Look] = []
    for place in np.argsort(distances, kind="stable"):
        look = looks[place]
        if not any(indistinguishable([look.image, one.image], region) for one in chosen):
            chosen.append(look)
        if len(chosen) == CANDIDATES:
            break
    return Granted(tuple(chosen), written(colours[int(distances.argmin())]))
