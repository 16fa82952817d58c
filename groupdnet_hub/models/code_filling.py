"""Codes of places where a class is not shown, taken from the nearest place where it is (``code_filling="nearest"``).

A garment fills its bounding box in part: a jacket over a shirt, an arm before a skirt. In the cells of a code that show
little of its class the encoder has nothing to say, and no loss asks what it says: in its own picture nothing is drawn
there. On another label map, where the garment may cover just these cells, they came out as dark or pale blotches. With
this, such a cell has the code of the nearest cell that shows enough of the class.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# A cell shows enough of its class with this share of what the fullest cell shows.
_ENOUGH = 0.5


@torch.no_grad()
def nearest_shown_cells(shown: Tensor, size: tuple[int, int]) -> Tensor:
    """For each cell of a class's code, the nearest cell that shows enough of the class: itself, where it does.

    Of cells that are equally near, the first in reading order is taken. An absent class keeps its cells.

    Args:
        shown: bool [B, C, H, W], where the pictures that the encoder sees show their class.
        size: (h, w) of the code, which divide H and W.

    Returns:
        int64 [B, C, h * w], places among the h * w cells, row by row.
    """
    height, width = shown.shape[2] // size[0], shown.shape[3] // size[1]
    share = F.avg_pool2d(shown.float(), (height, width)).flatten(2)
    enough = share >= _ENOUGH * share.amax(dim=-1, keepdim=True)
    rows, columns = (
        torch.arange(count, device=shown.device, dtype=torch.float32) * side
        for count, side in zip(size, (height, width), strict=True)
    )
    places = torch.cartesian_prod(rows, columns)
    squared = (places[:, None] - places[None]).square().sum(dim=-1)
    # Farther than any other cell, whatever the picture's size.
    away = squared.amax() + 1
    return (squared + away * ~enough[:, :, None]).argmin(dim=-1)


def filled(values: Tensor, cells: Tensor) -> Tensor:
    """values [B, C, z, h, w] with each cell's from the cell that :func:`nearest_shown_cells` names."""
    flat = values.flatten(3)
    return flat.gather(3, cells[:, :, None].expand_as(flat)).view_as(values)
