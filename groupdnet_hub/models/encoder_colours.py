"""Mean colours of each class for the encoder's last layers (``encoder_colours``).

The encoder's instance norms take away how strong a colour is: of a plainly coloured garment little more than the signs
of a few projections is left, and with few channels a class many colours look alike. With this, mean and log-variance
also come from the colours themselves, which no norm has touched.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Mean red, green and blue, and the share of the cell that shows the class.
COLOUR_CHANNELS = 4


def cell_colours(split: Tensor, shown: Tensor, size: tuple[int, int]) -> Tensor:
    """Mean colour of each class's pixels in each cell of a code, and the share of the cell's pixels that are its.

    Args:
        split: [B, 3C, H, W], the picture split by class, zero where it does not show the class.
        shown: bool [B, C, H, W], where it does.
        size: (h, w) of the code, which divide H and W.

    Returns:
        float32 [B, C, 4, h, w]; zero in cells that do not show the class.
    """
    B, C, H, W = shown.shape
    cell = (H // size[0], W // size[1])
    share = F.avg_pool2d(shown.float(), cell)[:, :, None]
    sums = F.avg_pool2d(split.float(), cell).view(B, C, 3, *size)
    # The smallest share above zero is that of one pixel.
    return torch.cat((sums / share.clamp(min=1 / (cell[0] * cell[1])), share), dim=2)


def with_colours(features: Tensor, colours: Tensor) -> Tensor:
    """features [B, C * n, h, w] and colours [B, C, 4, h, w] -> [B, C * (n + 4), h, w], class by class."""
    B, C, _, h, w = colours.shape
    return torch.cat((features.view(B, C, -1, h, w), colours.to(features.dtype)), dim=2).flatten(1, 2)
