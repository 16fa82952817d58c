"""Decoding a window of each picture: all of the low resolutions, and from some block on what the window needs.

A picture is divided into equal tiles. To draw one of them, each block needs a little more around it than the next one,
since its two 3x3 convolutions look two pixels far; where that reaches a picture's border, there is nothing beyond. What
lies inside of the tile is then drawn as it would be in the whole picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

# A block draws windows where they are at most this fraction of its pixels: below, whole pictures cost little more.
LARGEST_FRACTION = 0.35
# Pixels that a block's two convolutions look beyond a pixel.
_REACH = 2


@dataclass(frozen=True)
class AxisTiles:
    """The tiles along one side of the pictures.

    Attributes:
        edges: where the tiles begin, and the last one's end, in pixels.
        windows: for each block but the first, where each tile's window of its input begins, in the features before
            they are doubled, and its length.
    """

    edges: tuple[int, ...]
    windows: Mapping[int, tuple[tuple[int, ...], int]]


def axis_tiles(length: int, tiles: int, blocks: int, border: int) -> AxisTiles:
    """Return the windows of ``tiles`` equal tiles along a side of ``length`` pixels.

    Args:
        length: pixels of the side.
        tiles: number of tiles along it.
        blocks: of the decoder; all but the first double the side.
        border: how many pixels the layers behind the last block look beyond a pixel.
    """
    edges = tuple(length * i // tiles for i in range(tiles + 1))
    wanted = [(max(0, a - border), min(length, b + border)) for a, b in pairwise(edges)]
    windows = {}
    for block in reversed(range(1, blocks)):
        seen = [(max(0, a - _REACH), min(length, b + _REACH)) for a, b in wanted]
        length //= 2
        size = max(-(-b // 2) - a // 2 for a, b in seen)
        starts = tuple(min(a // 2, length - size) for a, _ in seen)
        windows[block] = (starts, size)
        wanted = [(start, start + size) for start in starts]
    return AxisTiles(edges, windows)


@dataclass(frozen=True)
class TilePlan:
    """Where the windows of tiles of ``rows`` x ``columns`` lie, and from which block on they are taken.

    Attributes:
        first: the first block that draws windows only.
        rows, columns: the tiles along the height and the width.
        size: (height, width) of the pictures.
    """

    first: int
    rows: AxisTiles
    columns: AxisTiles
    size: tuple[int, int]

    @property
    def tiles(self) -> int:
        """Number of tiles along each side of a picture."""
        return len(self.rows.edges) - 1

    def tables(self) -> Tensor:
        """Return, along rows and columns, the start of each block's window, then the tiles' start and end.

        Returns:
            int64 [2, blocks + 1, tiles].
        """
        return torch.tensor(
            [
                [axis.windows[block][0] for block in sorted(axis.windows)] + [axis.edges[:-1], axis.edges[1:]]
                for axis in (self.rows, self.columns)
            ]
        )


def plan_tiles(size: tuple[int, int], tiles: int, blocks: int, border: int) -> TilePlan | None:
    """Return the plan for pictures of ``size``; None where windows would be hardly smaller than the pictures.

    Args:
        size: (height, width) of the pictures.
        tiles: along each side.
        blocks: as in :func:`axis_tiles`.
        border: as in :func:`axis_tiles`.
    """
    rows, columns = (axis_tiles(side, tiles, blocks, border) for side in size)
    for block in range(1, blocks):
        factor = 2 ** (blocks - block)
        pixels = (size[0] // factor) * (size[1] // factor)
        if rows.windows[block][1] * columns.windows[block][1] <= LARGEST_FRACTION * pixels:
            return TilePlan(block, rows, columns, size)
    return None


@dataclass(frozen=True, eq=False)
class Places:
    """Windows of a batch of maps, as numbers of pixels.

    Attributes:
        pixels: int64 [B, h * w], counted through the whole batch.
        size: (h, w).
    """

    pixels: Tensor
    size: tuple[int, int]

    def of(self, x: Tensor) -> Tensor:
        """Return the windows [B, C, h, w], channels_last, of x [B, C, H, W]; differentiable."""
        flat = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
        taken = flat.index_select(0, self.pixels.flatten())
        return taken.view(len(self.pixels), *self.size, -1).permute(0, 3, 1, 2)

    def of_maps(self, maps: Tensor) -> Tensor:
        """Return the windows [B, h, w] of maps [B, H, W] (or [1, H, W], the same for all)."""
        maps = maps.expand(len(self.pixels), -1, -1)
        return maps.reshape(-1).index_select(0, self.pixels.flatten()).view(-1, *self.size)


def places(rows: Tensor, columns: Tensor, size: tuple[int, int], full_size: tuple[int, int]) -> Places:
    """Return windows of ``size`` that begin at rows and columns int64 [B] of maps of ``full_size``."""
    device = rows.device
    first = (torch.arange(len(rows), device=device) * full_size[0] + rows) * full_size[1] + columns
    inside = torch.arange(size[0], device=device)[:, None] * full_size[1] + torch.arange(
        size[1], device=device
    )
    return Places(first[:, None] + inside.flatten(), size)


@dataclass(frozen=True, eq=False)
class DecodeWindow:
    """What is decoded of each picture of a batch.

    Attributes:
        inputs: for each block from the first windowed one on, the windows of its input, in what the block before
            it draws.
        outputs: the same of the maps at the block's resolution.
        counted: bool [B, 1, h, w], what of the last of ``outputs`` lies in the picture's tile.
        chance: float32 [B], how likely the picture's tile was.
    """

    inputs: Mapping[int, Places]
    outputs: Mapping[int, Places]
    counted: Tensor
    chance: Tensor

    @property
    def pictures(self) -> Places:
        """The windows of whole pictures that are decoded."""
        return self.outputs[max(self.outputs)]


def decode_window(
    plan: TilePlan, tables: Tensor, rows: Tensor, columns: Tensor, chance: Tensor
) -> DecodeWindow:
    """Return the windows of tiles.

    Args:
        plan: plan of the tiles.
        tables: :meth:`TilePlan.tables`, on the device of the pictures.
        rows: int64 [B], the row of each picture's tile.
        columns: int64 [B], its column.
        chance: float32 [B], how likely that tile was.
    """
    starts = torch.stack((tables[0].index_select(1, rows), tables[1].index_select(1, columns)))  # [2, K, B]
    blocks = max(plan.rows.windows) + 1
    inputs, outputs = {}, {}
    for block in range(plan.first, blocks):
        size = plan.rows.windows[block][1], plan.columns.windows[block][1]
        begin = starts[:, block - 1]
        factor = 2 ** (blocks - 1 - block)
        full_size = plan.size[0] // factor, plan.size[1] // factor
        given = full_size[0] // 2, full_size[1] // 2
        inner = begin
        if block > plan.first:
            inner = begin - 2 * starts[:, block - 2]
            given = 2 * plan.rows.windows[block - 1][1], 2 * plan.columns.windows[block - 1][1]
        inputs[block] = places(inner[0], inner[1], size, given)
        doubled = 2 * begin
        outputs[block] = places(doubled[0], doubled[1], (2 * size[0], 2 * size[1]), full_size)
    counted = [
        _between(2 * starts[axis, blocks - 2], outputs[blocks - 1].size[axis], *starts[axis, -2:])
        for axis in (0, 1)
    ]
    return DecodeWindow(inputs, outputs, (counted[0][:, :, None] & counted[1][:, None, :])[:, None], chance)


def _between(start: Tensor, length: int, first: Tensor, end: Tensor) -> Tensor:
    """Return which of the places from ``start`` on lie from ``first`` up to before ``end``, all [B]."""
    at = start[:, None] + torch.arange(length, device=start.device)
    return (at >= first[:, None]) & (at < end[:, None])
