"""Random changes of training pictures with their label maps: mirrored, shifted, scaled and turned, maps simplified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from groupdnet_hub.scale_and_turn import plain_edges, scaled_and_turned
from groupdnet_hub.simplified_maps import simplified


@dataclass(frozen=True, kw_only=True)
class Placement:
    """How the items of a data set are moved, and their label maps simplified, each epoch anew.

    What happens to an item depends on ``seed``, the epoch and the item's number alone. What comes into view repeats the
    edge, but never an edge that shows several classes: a backdrop may go on, people who are cut off may not.

    Attributes:
        random_flip: mirror half of the items.
        random_shift: shift an item by up to this share of its height and width, from 0 up to less than 1; away from
            edges that show several classes.
        random_scale: scale an item's sides by up to this share, up or down, from 0 up to less than 1.
        random_turn: turn an item by up to this many degrees either way, from 0 to 90.
        simplified_maps: share of the items whose label map is simplified, see
            :func:`groupdnet_hub.simplified_maps.simplified`; for items without instance maps.

    Raises:
        ValueError: for a value that is out of range.
    """

    random_flip: bool = False
    random_shift: float = 0.0
    random_scale: float = 0.0
    random_turn: float = 0.0
    simplified_maps: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("random_shift", "random_scale"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie from 0 up to less than 1")
        if not 0 <= self.random_turn <= 90:
            raise ValueError(f"random_turn is {self.random_turn}; it must lie from 0 to 90 degrees")
        if not 0 <= self.simplified_maps <= 1:
            raise ValueError(f"simplified_maps is {self.simplified_maps}; it must lie from 0 to 1")

    def __call__(self, item: Mapping[str, Tensor], epoch: int, index: int) -> dict[str, Tensor]:
        """An item's ``image`` [3, H, W], ``label`` [H, W] and perhaps ``instance`` [H, W], moved alike.

        Raises:
            ValueError: for an instance map where maps are to be simplified: its outlines would be others.
        """
        moved = dict(item)
        if not any(
            (self.random_flip, self.random_shift, self.random_scale, self.random_turn, self.simplified_maps)
        ):
            return moved
        mixed = (self.seed * 1_000_003 + epoch) * 1_000_003 + index & 0x7FFFFFFFFFFFFFFF
        generator = torch.Generator().manual_seed(mixed)
        # Each kind of change has draws of its own, so that it does not depend on the others.
        flip, *shares = torch.rand(3, generator=generator).tolist()
        scale, turn = (2 * torch.rand(2, generator=generator) - 1).tolist()
        simple = float(torch.rand((), generator=generator))
        if self.random_flip and flip < 0.5:
            moved = {name: value.flip(-1) for name, value in moved.items()}
        if self.random_shift:
            label = moved["label"]
            for dim, share in zip((-2, -1), shares, strict=True):
                length = label.shape[dim]
                by = _possible(round((2 * share - 1) * self.random_shift * length), label, dim)
                places = (torch.arange(length) - by).clamp(0, length - 1)
                moved = {name: value.index_select(dim, places) for name, value in moved.items()}
        if self.random_scale or self.random_turn:
            moved = scaled_and_turned(moved, 1 + self.random_scale * scale, self.random_turn * turn)
        if self.simplified_maps and "instance" in moved:
            raise ValueError("label maps with instance maps cannot be simplified: leave simplified_maps at 0")
        if simple < self.simplified_maps:
            moved["label"] = simplified(moved["label"], generator)
        return moved


def _possible(by: int, label: Tensor, dim: int) -> int:
    """A shift, turned around where the edge that it brings into view shows several classes; 0 where both do."""
    free = dict(zip((1, -1), plain_edges(label, dim), strict=True))
    direction = 1 if by > 0 else -1
    if free[direction]:
        return by
    return -by if free[-direction] else 0
