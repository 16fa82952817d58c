"""How rough pictures are, pixel by pixel, and regions without their borders."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor
from torch.nn import functional as F

# Luma of ITU-R BT.601.
_LUMA = (0.299, 0.587, 0.114)


def roughness(pictures: Tensor) -> Tensor:
    """The absolute Laplacian of the luminance: four times a pixel less its four neighbours.

    Args:
        pictures: uint8 [B, 3, H, W].

    Returns:
        float32 [B, H, W], on the pictures' device, in steps of 255; a border pixel is its own neighbour outside.
    """
    weights = torch.tensor(_LUMA, device=pictures.device).view(1, 3, 1, 1)
    grey = F.pad((pictures.float() * weights).sum(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    around = grey[..., :-2, 1:-1] + grey[..., 2:, 1:-1] + grey[..., 1:-1, :-2] + grey[..., 1:-1, 2:]
    return (4 * grey[..., 1:-1, 1:-1] - around).abs()[:, 0]


def scaled(pixels: int, height: int, least: int = 1) -> int:
    """A length that is given for pictures 256 pixels high, in pixels of pictures of another height."""
    return max(least, round(pixels * height / 256))


def inner_region(label: Tensor, class_ids: Collection[int], radius: int) -> Tensor:
    """Pixels around which, ``radius`` pixels far to each side, all others are of the same one of some classes.

    Borders between two of the classes are borders too. What lies outside of the picture does not count.

    Args:
        label: int64 [H, W].

    Returns:
        bool [H, W].
    """
    inside = torch.zeros_like(label, dtype=torch.bool)
    side = 2 * radius + 1
    for class_id in class_ids:
        others = (label != class_id).float()[None, None]
        inside |= F.max_pool2d(others, side, stride=1, padding=radius)[0, 0] == 0
    return inside
