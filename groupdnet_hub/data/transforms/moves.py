"""How training pictures are moved: the numbers drawn for each, and a batch of them moved by these numbers.

Numbers are drawn by the host; what they do to pictures and maps are operations on tensors of whatever device, none of
which the host waits for. Each picture of a batch comes out as it would alone, to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from groupdnet_hub.data.transforms.scale_and_turn import gathered, plain_edges, turned
from groupdnet_hub.data.transforms.simplified_maps import Simplification, Simplifications, simplified_batch
from groupdnet_hub.io.images import bytes_to_image

# Columns of MoveTable.numbers; those of simplifications hold one after another, not each in its picture's row.
_INDEX, _FLIP, _DOWN, _RIGHT, _COSINE, _SINE, _PLACE, _SPACING, _SMOOTH, _OFFSET_DOWN, _OFFSET_RIGHT = range(
    11
)


@dataclass(frozen=True, kw_only=True)
class Moves:
    """What happens to one picture and its maps, in this order.

    Attributes:
        flip: mirror them.
        shift: (down, right) in shares of height and width; turned around, or left out, where an edge that would come
            into view shows several classes.
        turn: (factor, degrees): enlarged by the one, turned anticlockwise by the other; None for neither.
        simplification: how the label map is simplified; None to leave it.
    """

    flip: bool = False
    shift: tuple[float, float] = (0.0, 0.0)
    turn: tuple[float, float] | None = None
    simplification: Simplification | None = None


@dataclass(frozen=True)
class MoveTable:
    """The moves of a batch as one tensor, which is copied to a device at once.

    Attributes:
        numbers: int32 [B, 11]: the pictures' places in their data set and what is done to them; columns of fractions
            hold the bits of float32.
        flipped: how many pictures are.
        shifted, turned: whether any picture is.
        simplified: how many label maps are.
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
        """Moves of pictures of ``size`` = (height, width), with their places in the data set."""
        numbers = np.zeros((len(moves), 11), dtype=np.int32)
        fractions = numbers.view(np.float32)
        numbers[:, _INDEX] = indices
        plans = []
        for row, one in enumerate(moves):
            numbers[row, _FLIP] = one.flip
            for column, share, length in zip((_DOWN, _RIGHT), one.shift, size, strict=True):
                numbers[row, column] = round(share * length)
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
        """The same moves on a device."""
        return replace(self, numbers=self.numbers.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> MoveTable:
        """The same moves in memory from which a copy to a GPU does not block."""
        return replace(self, numbers=self.numbers.pin_memory())

    @property
    def indices(self) -> Tensor:
        """The pictures' places in their data set, int64 [B]."""
        return self.numbers[:, _INDEX].long()

    def _fractions(self, column: int, count: int | None = None) -> Tensor:
        return self.numbers[:count, column].contiguous().view(torch.float32)

    def simplifications(self) -> Simplifications:
        """How those label maps are simplified that are."""
        count = self.simplified
        return Simplifications(
            spacing=self._fractions(_SPACING, count),
            smooth=self.numbers[:count, _SMOOTH] != 0,
            offsets=(self._fractions(_OFFSET_DOWN, count), self._fractions(_OFFSET_RIGHT, count)),
            points=self.points,
        )


def moved(
    batch: Mapping[str, Tensor], table: MoveTable, classes: Tensor, class_count: int
) -> dict[str, Tensor]:
    """Pictures with their maps, moved alike.

    Args:
        batch: ``image`` [B, 3, H, W], uint8 or float32 in [-1, 1], ``label`` [B, H, W] and perhaps ``instance``
            [B, H, W], of whole numbers.
        table: on the same device.
        classes: int64 [B, K], the ids that each label map shows, in rising order, the rest filled with
            ``class_count``; read only where label maps are simplified.
        class_count: ids are below it.

    Returns:
        ``image`` float32 in [-1, 1], the maps int64.
    """
    moved = dict(batch)
    if table.shifted:
        moved = _shifted(moved, table)
    elif table.flipped == len(table):
        moved = {name: value.flip(-1) for name, value in moved.items()}
    elif table.flipped:
        flip = table.numbers[:, _FLIP] != 0
        moved = {
            name: torch.where(flip.view(-1, *[1] * (value.ndim - 1)), value.flip(-1), value)
            for name, value in moved.items()
        }
    moved = unpacked(moved)
    if table.turned:
        moved = turned(moved, table._fractions(_COSINE), table._fractions(_SINE))
    if table.simplified:
        places = table.numbers[: table.simplified, _PLACE].long()
        simple = simplified_batch(
            moved["label"].index_select(0, places),
            classes.index_select(0, places),
            table.simplifications(),
            class_count,
        )
        moved["label"] = moved["label"].index_copy(0, places, simple)
    return moved


def moved_alone(
    item: Mapping[str, Tensor],
    moves: Moves,
    *,
    classes: Tensor | None = None,
    class_count: int | None = None,
) -> dict[str, Tensor]:
    """One item on the CPU, ``image`` [3, H, W], ``label`` [H, W] and perhaps ``instance`` [H, W]; see :func:`moved`.

    Args:
        classes: int64 [K], the ids that its label map shows; by default it is searched for them.
        class_count: of the data set; by default of this item, whose map may then be simplified a little otherwise.
    """
    label = item["label"]
    if classes is None:
        shown = label.flatten().bincount().nonzero()[:, 0] if moves.simplification else ()
        classes = torch.as_tensor(shown, dtype=torch.int64)
    if class_count is None:
        class_count = int(label.max()) + 1 if moves.simplification else 0
    table = MoveTable.of([moves], [0], (label.shape[0], label.shape[1]))
    batch = {name: value[None] for name, value in item.items()}
    return {name: value[0] for name, value in moved(batch, table, classes[None], class_count).items()}


def unpacked(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Pictures of bytes as float32 in [-1, 1], maps as int64; what is so already stays."""
    return {
        name: value.long()
        if name != "image"
        else bytes_to_image(value)
        if value.dtype == torch.uint8
        else value
        for name, value in batch.items()
    }


def _shifted(batch: Mapping[str, Tensor], table: MoveTable) -> dict[str, Tensor]:
    """Mirrored and shifted; what comes into view repeats the edge."""
    label = batch["label"]
    H, W = label.shape[-2:]
    numbers, device = table.numbers.long(), label.device
    # First the height, then the width, whose edges are those that are then seen.
    top, bottom = plain_edges(label[:, 0]), plain_edges(label[:, -1])
    down = _possible(numbers[:, _DOWN], top, bottom)
    rows = (torch.arange(H, device=device) - down[:, None]).clamp(0, H - 1)
    left, right = (plain_edges(label[:, :, side].gather(1, rows)) for side in (0, -1))
    flip = numbers[:, _FLIP] != 0
    left, right = torch.where(flip, right, left), torch.where(flip, left, right)
    across = _possible(numbers[:, _RIGHT], left, right)
    columns = (torch.arange(W, device=device) - across[:, None]).clamp(0, W - 1)
    columns = torch.where(flip[:, None], W - 1 - columns, columns)
    places = (rows[:, :, None] * W + columns[:, None]).flatten(1)
    return {name: gathered(value, places) for name, value in batch.items()}


def _possible(by: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """Shifts int64 [B], turned around where the edge that would come into view shows several classes; 0 where both do.

    Args:
        first, last: bool [B], whether that edge shows one class alone; a shift above 0 brings the first into view.
    """
    ahead, behind = torch.where(by > 0, first, last), torch.where(by > 0, last, first)
    return by * (ahead.long() - (behind & ~ahead).long())
