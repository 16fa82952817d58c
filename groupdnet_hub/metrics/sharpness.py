"""Sharpness: are drawn clothes as finely structured as those of photos?"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from groupdnet_hub.metrics.estimates import Estimate, divide, estimate
from groupdnet_hub.metrics.roughness import inner_region, roughness, scaled

# Pixels of a class's border that do not count, in pictures 256 pixels high: its edge is no texture.
_BORDER = 2


@dataclass(frozen=True)
class Sharpness:
    """Mean roughness (see :func:`roughness`) inside some classes: 1 is that of the photos, less is blurred.

    Attributes:
        images: label maps that show one of the classes.
        ratio: that of the drawn pictures over that of the photos, both over all pixels of all label maps.
        photos: that of the photos, of 255.
    """

    images: int
    ratio: Estimate
    photos: float


def measure_sharpness(
    pictures: Tensor, photo: Tensor, label: Tensor, class_ids: Collection[int]
) -> np.ndarray:
    """One label map's part.

    Args:
        pictures: uint8 [K, 3, H, W].
        photo: uint8 [3, H, W], of the same label map.
        label: int64 [H, W].
        class_ids: garments.

    Returns:
        float64 [3]: roughness summed over the inner pixels of the classes, of the pictures (their mean) and the photo;
        the number of these pixels.
    """
    inside = inner_region(label, class_ids, scaled(_BORDER, label.shape[0]))
    drawn = roughness(pictures).cpu()[:, inside].double().sum(dim=1).mean()
    photographed = roughness(photo[None]).cpu()[0, inside].double().sum()
    return np.array([float(drawn), float(photographed), float(inside.sum())])


def summarise_sharpness(rows: np.ndarray) -> Sharpness:
    """The figure of the rows [N, 3] of all label maps.

    Raises:
        ValueError: if no label map shows one of the classes.
    """
    drawn, photographed, pixels = rows[rows[:, 2] > 0].T
    if not len(pixels):
        raise ValueError("no label map shows the classes whose sharpness is measured: name others")
    ratio = estimate(len(pixels), lambda counts: divide(counts @ drawn, counts @ photographed))
    return Sharpness(len(pixels), ratio, float(photographed.sum() / pixels.sum()))
