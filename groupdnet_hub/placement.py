"""Random mirroring and shifting of a picture together with its label map, for training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Placement:
    """How the items of a data set are moved, each epoch anew.

    What happens to an item depends on ``seed``, the epoch and the item's number alone.

    Attributes:
        random_flip: mirror half of the items.
        random_shift: shift an item by up to this share of its height and width, from 0 up to less than 1. What comes
            into view repeats the edge, so that an item moves only away from an edge that shows one class alone: a
            backdrop may go on, people who are cut off may not.

    Raises:
        ValueError: for a share that is out of range.
    """

    random_flip: bool = False
    random_shift: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.random_shift < 1:
            raise ValueError(f"random_shift is {self.random_shift}; it must lie from 0 up to less than 1")

    def __call__(self, item: Mapping[str, Tensor], epoch: int, index: int) -> dict[str, Tensor]:
        """An item's ``image`` [3, H, W], ``label`` [H, W] and perhaps ``instance`` [H, W], moved alike."""
        moved = dict(item)
        if not self.random_flip and not self.random_shift:
            return moved
        mixed = (self.seed * 1_000_003 + epoch) * 1_000_003 + index & 0x7FFFFFFFFFFFFFFF
        flip, *shares = torch.rand(3, generator=torch.Generator().manual_seed(mixed)).tolist()
        if self.random_flip and flip < 0.5:
            moved = {name: value.flip(-1) for name, value in moved.items()}
        if self.random_shift:
            label = moved["label"]
            for dim, share in zip((-2, -1), shares, strict=True):
                length = label.shape[dim]
                by = _possible(round((2 * share - 1) * self.random_shift * length), label, dim)
                places = (torch.arange(length) - by).clamp(0, length - 1)
                moved = {name: value.index_select(dim, places) for name, value in moved.items()}
        return moved


def _possible(by: int, label: Tensor, dim: int) -> int:
    """A shift, turned around where the edge that it brings into view shows several classes; 0 where both do."""
    first, last = (label.select(dim, place) for place in (0, -1))
    free = {1: bool((first == first[0]).all()), -1: bool((last == last[0]).all())}
    direction = 1 if by > 0 else -1
    if free[direction]:
        return by
    return -by if free[-direction] else 0
