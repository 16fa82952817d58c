"""Sharpness: are drawn clothes as finely structured as those of photos?"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub.metrics.estimates import Estimate, divide, estimate

# Width of a class's border that does not count, in pictures 256 pixels high: an edge is not texture.
_BORDER = 2
# Luma of ITU-R BT.601.
_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Sharpness:
    """Mean roughness (see :func:`roughness`) inside some classes: 1 as in the photos, less if blurred.

    Attributes:
        images: number of label maps that show one of the classes.
        ratio: roughness of the drawn pictures over that of the photos, both over all pixels of all label maps.
        photos: roughness of the photos, in steps of 255.
    """

    images: int
    ratio: Estimate
    photos: float


def roughness(pictures: Tensor) -> Tensor:
    """Return the absolute Laplacian of the luminance: four times a pixel minus its four neighbours.

    Args:
        pictures: uint8 [B, 3, H, W].

    Returns:
        float32 [B, H, W], on the pictures' device, in steps of 255; beyond the border it repeats the border.
    """
    weights = torch.tensor(_LUMA, device=pictures.device).view(1, 3, 1, 1)
    grey = F.pad((pictures.float() * weights).sum(dim=1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    around = grey[..., :-2, 1:-1] + grey[..., 2:, 1:-1] + grey[..., 1:-1, :-2] + grey[..., 1:-1, 2:]
    return (4 * grey[..., 1:-1, 1:-1] - around).abs()[:, 0]


def scaled(pixels: int, height: int, least: int = 1) -> int:
    """Return a length that is given for pictures 256 pixels high, in pixels of another height; ``least`` or more."""
    return max(least, round(pixels * height / 256))


def inner_region(label: Tensor, class_ids: Collection[int], radius: int) -> Tensor:
    """Return the pixels of some classes with only their own class up to ``radius`` pixels away on each side.

    Borders between two of the classes are borders too. Pixels outside the picture do not count.

    Args:
        label: int64 [H, W].
        class_ids: ids of the classes.
        radius: distance in pixels.

    Returns:
        bool [H, W].
    """
    inside = torch.zeros_like(label, dtype=torch.bool)
    side = 2 * radius + 1
    for class_id in class_ids:
        others = (label != class_id).float()[None, None]
        inside |= F.max_pool2d(others, side, stride=1, padding=radius)[0, 0] == 0
    return inside


def measure_sharpness(
    pictures: Tensor, photo: Tensor, label: Tensor, class_ids: Collection[int]
) -> np.ndarray:
    """Measure one label map.

    Args:
        pictures: uint8 [K, 3, H, W].
        photo: uint8 [3, H, W], of the same label map.
        label: int64 [H, W]; negative ids are unknown pixels, which are of no class.
        class_ids: ids of the garments.

    Returns:
        float64 [3]: roughness summed over the inner pixels of the classes, of the pictures (their mean) and the photo;
        the number of these pixels.
    """
    inside = inner_region(label, class_ids, scaled(_BORDER, label.shape[0]))
    drawn = roughness(pictures).cpu()[:, inside].double().sum(dim=1).mean()
    photographed = roughness(photo[None]).cpu()[0, inside].double().sum()
    return np.array([float(drawn), float(photographed), float(inside.sum())])


def summarise_sharpness(rows: np.ndarray) -> Sharpness:
    """Return the metric over the rows [N, 3] of all label maps.

    Raises:
        ValueError: if no label map shows one of the classes.
    """
    drawn, photographed, pixels = rows[rows[:, 2] > 0].T
    if not len(pixels):
        raise ValueError("no label map shows the classes whose sharpness is measured: name others")
    ratio = estimate(len(pixels), lambda counts: divide(counts @ drawn, counts @ photographed))
    return Sharpness(len(pixels), ratio, float(photographed.sum() / pixels.sum()))
