"""Random changes of training pictures with their label maps: mirror, shift, scale, turn, and simplify the map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from groupdnet_hub.data.transforms.moves import Moves, move_item, unpack
from groupdnet_hub.data.transforms.simplified_maps import Simplification


class Transform(Protocol):
    """A random change of an item, such as :class:`Placement`: any callable with this signature."""

    def __call__(
        self,
        item: Mapping[str, Tensor],
        epoch: int,
        index: int,
        *,
        class_count: int | None = None,
        classes: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return an item with its picture and maps changed alike.

        Args:
            item: ``image`` uint8 [3, H, W], ``label`` [H, W] and, where the data has it, ``instance`` [H, W], on the
                CPU; maps are of any integer type. ``unknown`` bool [H, W] where the label set ignores something.
            epoch: epoch of the data set.
            index: number of the item; it and the epoch select the random change.
            class_count: number of classes of the data set.
            classes: int64 [K], ids that the label map shows, in rising order, the rest filled with ``class_count``;
                None where they are not known beforehand.

        Returns:
            The image float32 in [-1, 1], the maps int64, ``unknown`` bool.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A :class:`Transform` that moves an item and simplifies its label map, differently in each epoch.

    The change depends on ``seed``, the epoch and the item's index alone. What comes into view repeats the edge, but
    never an edge that shows several classes: a backdrop may continue, a person who is cut off may not.

    Attributes:
        random_flip: mirror half of the items.
        random_shift: largest shift, as a fraction of height and width, in [0, 1); away from edges that show several
            classes.
        random_scale: largest change of an item's sides, up or down, as a fraction in [0, 1).
        random_turn: largest angle in degrees, either way, in [0, 90].
        simplified_maps: fraction of the items whose label map is simplified, in [0, 1]; see
            :func:`groupdnet_hub.data.transforms.simplified_maps.simplify`. For items without instance maps.
        seed: seed of the draws.

    Raises:
        ValueError: for a value out of range.
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

    @property
    def moves_anything(self) -> bool:
        """Whether items are changed at all."""
        return bool(
            self.random_flip
            or self.random_shift
            or self.random_scale
            or self.random_turn
            or self.simplified_maps
        )

    def moves(self, epoch: int, index: int) -> Moves:
        """Return the moves of an item; their numbers are drawn on the CPU."""
        if not self.moves_anything:
            return Moves()
        mixed = (self.seed * 1_000_003 + epoch) * 1_000_003 + index & 0x7FFFFFFFFFFFFFFF
        generator = torch.Generator().manual_seed(mixed)
        # Each kind of change has draws of its own, so that it does not depend on the others.
        flip, *shifts = torch.rand(3, generator=generator).tolist()
        scale, turn = (2 * torch.rand(2, generator=generator) - 1).tolist()
        simple = float(torch.rand((), generator=generator))
        down, right = ((2 * shift - 1) * self.random_shift for shift in shifts)
        is_turned = bool(self.random_scale or self.random_turn)
        return Moves(
            flip=self.random_flip and flip < 0.5,
            shift=(down, right),
            turn=(1 + self.random_scale * scale, self.random_turn * turn) if is_turned else None,
            simplification=Simplification.draw(generator) if simple < self.simplified_maps else None,
        )

    def __call__(
        self,
        item: Mapping[str, Tensor],
        epoch: int,
        index: int,
        *,
        class_count: int | None = None,
        classes: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return a moved item; see :class:`Transform`.

        Raises:
            ValueError: for an instance map where label maps are to be simplified: its outlines would not match.
        """
        self.check("instance" in item)
        if not self.moves_anything:
            return unpack(item)
        return move_item(item, self.moves(epoch, index), classes=classes, class_count=class_count)

    def check(self, has_instances: bool) -> None:
        """Refuse items with instance maps where label maps are to be simplified.

        Raises:
            ValueError: for them.
        """
        if self.simplified_maps and has_instances:
            raise ValueError("label maps with instance maps cannot be simplified: leave simplified_maps at 0")
