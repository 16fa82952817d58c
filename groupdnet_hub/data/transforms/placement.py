"""Random changes of training pictures with their label maps: mirrored, shifted, scaled and turned, maps simplified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from groupdnet_hub.data.transforms.moves import Moves, moved_alone, unpacked
from groupdnet_hub.data.transforms.simplified_maps import Simplification


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
            :func:`groupdnet_hub.data.transforms.simplified_maps.simplified_batch`; for items without instance maps.

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
        """What happens to an item, by numbers drawn on the host."""
        if not self.moves_anything:
            return Moves()
        mixed = (self.seed * 1_000_003 + epoch) * 1_000_003 + index & 0x7FFFFFFFFFFFFFFF
        generator = torch.Generator().manual_seed(mixed)
        # Each kind of change has draws of its own, so that it does not depend on the others.
        flip, *shares = torch.rand(3, generator=generator).tolist()
        scale, turn = (2 * torch.rand(2, generator=generator) - 1).tolist()
        simple = float(torch.rand((), generator=generator))
        down, right = ((2 * share - 1) * self.random_shift for share in shares)
        is_turned = bool(self.random_scale or self.random_turn)
        return Moves(
            flip=self.random_flip and flip < 0.5,
            shift=(down, right),
            turn=(1 + self.random_scale * scale, self.random_turn * turn) if is_turned else None,
            simplification=Simplification.drawn(generator) if simple < self.simplified_maps else None,
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
        """An item's ``image`` [3, H, W], ``label`` [H, W] and perhaps ``instance`` [H, W], moved alike, on the CPU.

        Args:
            item: its image uint8, or float32 in [-1, 1].
            class_count, classes: see :func:`groupdnet_hub.data.transforms.moves.moved_alone`.

        Returns:
            The image float32 in [-1, 1], the maps int64.

        Raises:
            ValueError: for an instance map where maps are to be simplified: its outlines would be others.
        """
        self.check("instance" in item)
        if not self.moves_anything:
            return unpacked(item)
        return moved_alone(item, self.moves(epoch, index), classes=classes, class_count=class_count)

    def check(self, has_instances: bool) -> None:
        """Refuse items with instance maps where label maps are to be simplified.

        Raises:
            ValueError: for them.
        """
        if self.simplified_maps and has_instances:
            raise ValueError("label maps with instance maps cannot be simplified: leave simplified_maps at 0")
