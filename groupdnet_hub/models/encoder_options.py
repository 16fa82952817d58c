"""Two options of the encoder, neither of them in the paper: each class's own colours, and codes of places without it.

``encoder_colours``: the encoder's instance norms take away how strong a colour is: of a plainly coloured garment little
more than the signs of a few projections is left, and with few channels a class many colours look alike. With this, mean
and log-variance also come from the colours themselves, which no norm has touched.

``code_filling="nearest"``: a garment fills its bounding box in part: a jacket over a shirt, an arm before a skirt. In
the cells of a code that show little of its class the encoder has nothing to say, and no loss asks what it says: in its
own picture nothing is drawn there. On another label map, where the garment may cover just these cells, they came out as
dark or pale blotches. With this, such a cell has the code of the nearest cell that shows enough of the class.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Mean red, green and blue, and the fraction of the cell that shows the class.
COLOUR_CHANNELS = 4
# A cell shows enough of its class with this fraction of what the fullest cell shows.
_ENOUGH = 0.5


def cell_colours(split: Tensor, shown: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the mean colour of each class's pixels in each cell of a code, and what fraction of it they fill.

    Args:
        split: [B, 3C, H, W], the picture split by class, zero where it does not show the class.
        shown: bool [B, C, H, W], where it does.
        size: (h, w) of the code, which divide H and W.

    Returns:
        float32 [B, C, 4, h, w]; zero in cells that do not show the class.
    """
    B, C, H, W = shown.shape
    cell = (H // size[0], W // size[1])
    fraction = F.avg_pool2d(shown.float(), cell)[:, :, None]
    sums = F.avg_pool2d(split.float(), cell).view(B, C, 3, *size)
    # The smallest fraction above zero is that of one pixel.
    return torch.cat((sums / fraction.clamp(min=1 / (cell[0] * cell[1])), fraction), dim=2)


def with_colours(features: Tensor, colours: Tensor) -> Tensor:
    """Join features [B, C * n, h, w] and colours [B, C, 4, h, w] -> [B, C * (n + 4), h, w], class by class."""
    B, C, _, h, w = colours.shape
    return torch.cat((features.view(B, C, -1, h, w), colours.to(features.dtype)), dim=2).flatten(1, 2)


@torch.no_grad()
def nearest_shown_cells(shown: Tensor, size: tuple[int, int]) -> Tensor:
    """Find, for each cell of a class's code, the nearest cell that shows enough of the class: itself, where it does.

    Of cells that are equally near, the first in reading order is taken. An absent class keeps its cells.

    Args:
        shown: bool [B, C, H, W], where the pictures that the encoder sees show their class.
        size: (h, w) of the code, which divide H and W.

    Returns:
        int64 [B, C, h * w], places among the h * w cells, row by row.
    """
    height, width = shown.shape[2] // size[0], shown.shape[3] // size[1]
    fraction = F.avg_pool2d(shown.float(), (height, width)).flatten(2)
    enough = fraction >= _ENOUGH * fraction.amax(dim=-1, keepdim=True)
    rows, columns = (
        torch.arange(count, device=shown.device, dtype=torch.float32) * side
        for count, side in zip(size, (height, width), strict=True)
    )
    places = torch.cartesian_prod(rows, columns)
    squared = (places[:, None] - places[None]).square().sum(dim=-1)
    # Farther than any other cell, whatever the picture's size.
    away = squared.max() + 1
    return (squared + away * ~enough[:, :, None]).argmin(dim=-1)


def filled(values: Tensor, cells: Tensor) -> Tensor:
    """Return values [B, C, z, h, w] with each cell's from the cell that :func:`nearest_shown_cells` names."""
    flat = values.flatten(3)
    return flat.gather(3, cells[:, :, None].expand_as(flat)).view_as(values)
