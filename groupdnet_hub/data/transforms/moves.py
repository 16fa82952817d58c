"""The moves of training pictures: the numbers drawn for each, and a batch moved by these numbers.

The CPU draws the numbers; what they do to pictures and maps are operations on tensors of any device, none of which the
host waits for. Each picture of a batch comes out as it would alone, to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from groupdnet_hub.data.transforms.scale_and_turn import are_uniform, gather_pixels, scale_and_turn
from groupdnet_hub.data.transforms.simplified_maps import Simplification, Simplifications, simplify
from groupdnet_hub.io.images import bytes_to_image

# Columns of MoveTable.numbers. Simplifications fill the rows of theirs from the top, not their picture's rows.
_INDEX, _FLIP, _DOWN, _RIGHT, _COSINE, _SINE, _PLACE, _SPACING, _SMOOTH, _OFFSET_DOWN, _OFFSET_RIGHT = range(
    11
)


@dataclass(frozen=True, kw_only=True)
class Moves:
    """The changes of one picture and its maps, applied in this order.

    Attributes:
        flip: whether to mirror them.
        shift: (down, right) as fractions of height and width; reversed, or left out, where an edge that would come
            into view shows several classes.
        turn: (factor, degrees): enlargement, and angle anticlockwise; None for neither.
        simplification: how to simplify the label map; None to leave it unchanged.
    """

    flip: bool = False
    shift: tuple[float, float] = (0.0, 0.0)
    turn: tuple[float, float] | None = None
    simplification: Simplification | None = None


@dataclass(frozen=True)
class MoveTable:
    """The moves of a batch as one tensor, which is copied to a device at once.

    Attributes:
        numbers: int32 [B, 11]: the pictures' indices in their data set and their moves; columns of fractions hold the
            bits of float32.
        flipped: number of mirrored pictures.
        shifted, turned: whether any picture is.
        simplified: number of simplified label maps.
        points: rows and columns of the grid that holds the finest simplification.
    """

    numbers: Tensor
    flipped: int
    shifted: bool
    turned: bool
    simplified: int
    points: tuple[int, int]

    @classmethod
    def of(cls, moves: Sequence[Moves], indices: Sequence[int], size: tuple[int, int]) -> MoveTable:
        """Build the table of pictures of ``size`` = (height, width); ``indices`` are those in the data set."""
        numbers = np.zeros((len(moves), 11), dtype=np.int32)
        fractions = numbers.view(np.float32)
        numbers[:, _INDEX] = indices
        plans = []
        for row, one in enumerate(moves):
            numbers[row, _FLIP] = one.flip
            for column, fraction, length in zip((_DOWN, _RIGHT), one.shift, size, strict=True):
                numbers[row, column] = round(fraction * length)
            factor, degrees = one.turn or (1.0, 0.0)
            angle = math.radians(degrees)
            fractions[row, _COSINE], fractions[row, _SINE] = (
                math.cos(angle) / factor,
                math.sin(angle) / factor,
            )
            if one.simplification is not None:
                plans.append((row, one.simplification))
        points = (0, 0)
        for slot, (row, plan) in enumerate(plans):
            spacing = plan.spacing(size)
            numbers[slot, _PLACE], numbers[slot, _SMOOTH] = row, plan.smooth
            fractions[slot, _SPACING] = spacing
            fractions[slot, _OFFSET_DOWN], fractions[slot, _OFFSET_RIGHT] = plan.offsets
            down, right = (int(length / spacing) + 3 for length in size)
            points = max(points[0], down), max(points[1], right)
        return cls(
            torch.from_numpy(numbers),
            flipped=sum(one.flip for one in moves),
            shifted=bool(numbers[:, [_DOWN, _RIGHT]].any()),
            turned=any(one.turn is not None for one in moves),
            simplified=len(plans),
            points=points,
        )

    def __len__(self) -> int:
        return len(self.numbers)

    def to(self, device: Any, non_blocking: bool = False) -> MoveTable:
        """Return the same moves on a device."""
        return replace(self, numbers=self.numbers.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> MoveTable:
        """Return the same moves in page-locked memory, from which a copy to a GPU does not block."""
        return replace(self, numbers=self.numbers.pin_memory())

    @property
    def indices(self) -> Tensor:
        """Indices of the pictures in their data set, int64 [B]."""
        return self.numbers[:, _INDEX].long()

    def _fractions(self, column: int, count: int | None = None) -> Tensor:
        return self.numbers[:count, column].contiguous().view(torch.float32)

    def simplifications(self) -> Simplifications:
        """Return how the first ``simplified`` label maps of the table are simplified."""
        count = self.simplified
        return Simplifications(
            spacing=self._fractions(_SPACING, count),
            smooth=self.numbers[:count, _SMOOTH] != 0,
            offsets=(self._fractions(_OFFSET_DOWN, count), self._fractions(_OFFSET_RIGHT, count)),
            points=self.points,
        )


def move_batch(
    batch: Mapping[str, Tensor], table: MoveTable, classes: Tensor, class_count: int
) -> dict[str, Tensor]:
    """Return pictures with their maps, moved alike.

    Args:
        batch: ``image`` [B, 3, H, W], uint8 or float32 in [-1, 1], ``label`` [B, H, W] and perhaps ``instance``
            [B, H, W], of integers, and ``unknown`` bool [B, H, W]. What is unknown of a photo stays so where its label
            map is simplified.
        table: moves, on the same device.
        classes: int64 [B, K], ids that each label map shows, in rising order, the rest filled with ``class_count``;
            read only where label maps are simplified.
        class_count: number of classes; ids are below it.

    Returns:
        ``image`` float32 in [-1, 1], the maps int64, ``unknown`` bool.
    """
    moved = dict(batch)
    if table.shifted:
        moved = _flip_and_shift(moved, table)
    elif table.flipped == len(table):
        moved = {name: value.flip(-1) for name, value in moved.items()}
    elif table.flipped:
        flip = table.numbers[:, _FLIP] != 0
        moved = {
            name: torch.where(flip.view(-1, *[1] * (value.ndim - 1)), value.flip(-1), value)
            for name, value in moved.items()
        }
    moved = unpack(moved)
    if table.turned:
        moved = scale_and_turn(moved, table._fractions(_COSINE), table._fractions(_SINE))
    if table.simplified:
        places = table.numbers[: table.simplified, _PLACE].long()
        simple = simplify(
            moved["label"].index_select(0, places),
            classes.index_select(0, places),
            table.simplifications(),
            class_count,
        )
        moved["label"] = moved["label"].index_copy(0, places, simple)
    return moved


def move_item(
    item: Mapping[str, Tensor],
    moves: Moves,
    *,
    classes: Tensor | None = None,
    class_count: int | None = None,
) -> dict[str, Tensor]:
    """Return one moved item, on the CPU; see :func:`move_batch`.

    Args:
        item: ``image`` [3, H, W], ``label`` [H, W] and perhaps ``instance`` and ``unknown`` [H, W].
        moves: its moves.
        classes: int64 [K], ids that its label map shows; found by a search of it by default.
        class_count: number of classes of the data set; by default that of this item, whose map may then be simplified
            slightly differently.
    """
    label = item["label"]
    if classes is None:
        shown = label.flatten().bincount().nonzero()[:, 0] if moves.simplification else ()
        classes = torch.as_tensor(shown, dtype=torch.int64)
    if class_count is None:
        class_count = int(label.max()) + 1 if moves.simplification else 0
    table = MoveTable.of([moves], [0], (label.shape[0], label.shape[1]))
    batch = {name: value[None] for name, value in item.items()}
    return {name: value[0] for name, value in move_batch(batch, table, classes[None], class_count).items()}


def unpack(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return uint8 pictures as float32 in [-1, 1], maps of ids as int64; what has this type already is unchanged."""

    def unpacked(name: str, value: Tensor) -> Tensor:
        if name == "image":
            return bytes_to_image(value) if value.dtype == torch.uint8 else value
        return value if value.dtype == torch.bool else value.long()

    return {name: unpacked(name, value) for name, value in batch.items()}


def _flip_and_shift(batch: Mapping[str, Tensor], table: MoveTable) -> dict[str, Tensor]:
    """Mirror and shift pictures with their maps; what comes into view repeats the edge."""
    label = batch["label"]
    H, W = label.shape[-2:]
    numbers, device = table.numbers.long(), label.device
    # First the height, then the width, whose edges are those in view by then.
    top, bottom = are_uniform(label[:, 0]), are_uniform(label[:, -1])
    down = _allowed_shift(numbers[:, _DOWN], top, bottom)
    rows = (torch.arange(H, device=device) - down[:, None]).clamp(0, H - 1)
    left, right = (are_uniform(label[:, :, side].gather(1, rows)) for side in (0, -1))
    flip = numbers[:, _FLIP] != 0
    left, right = torch.where(flip, right, left), torch.where(flip, left, right)
    across = _allowed_shift(numbers[:, _RIGHT], left, right)
    columns = (torch.arange(W, device=device) - across[:, None]).clamp(0, W - 1)
    columns = torch.where(flip[:, None], W - 1 - columns, columns)
    places = (rows[:, :, None] * W + columns[:, None]).flatten(1)
    return {name: gather_pixels(value, places) for name, value in batch.items()}


def _allowed_shift(by: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Reverse shifts that would bring an edge of several classes into view; they become 0 where both edges are such.

    Args:
        by: int64 [B], shifts in pixels.
        first: bool [B], whether the edge that a shift above 0 brings into view shows one class alone.
        last: bool [B], the same of the opposite edge.
    """
    ahead, behind = torch.where(by > 0, first, last), torch.where(by > 0, last, first)
    return by * (ahead.long() - (behind & ~ahead).long())
