"""Mean colours of classes: do face and skin of a picture fit together, and do clothes have clear colours?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from groupdnet_hub.metrics.estimates import Estimate, divide, estimate, estimate_mean

# Fewest pixels of a class, in pictures of 256 x 256.
_LEAST_PIXELS = 64
# Least chroma of a clear colour, from 0 (grey) to 1.
_CLEAR = 0.25


@dataclass(frozen=True)
class Tone:
    """The distance of the colours of face and skin: 1 as in photos, more where they do not match in the pictures.

    Attributes:
        images: number of label maps that show both.
        ratio: mean distance in the drawn pictures over that in the photos.
        pictures, photos: these mean distances in CIE 1976 L*a*b* (white: D65).
    """

    images: int
    ratio: Estimate
    pictures: Estimate
    photos: Estimate


@dataclass(frozen=True)
class Chroma:
    """The fraction of garments with a clear mean colour: the largest minus the smallest of R, G, B exceeds 0.25 of 1.

    Attributes:
        garments: number of garments, summed over the label maps.
        pictures: fraction of clear ones in drawn pictures.
        photos: fraction of clear ones in the photos.
    """

    garments: int
    pictures: Estimate
    photos: Estimate


def mean_colours(pictures: Tensor, region: Tensor) -> Tensor:
    """Return mean colours [B, 3], 0 to 1, of uint8 [B, 3, H, W] in a region bool [H, W]; NaN for too few pixels."""
    least = _LEAST_PIXELS * region.numel() / 256**2
    if int(region.sum()) < max(1, least):
        return torch.full((len(pictures), 3), float("nan"), dtype=torch.float64)
    return pictures[:, :, region.to(pictures.device)].cpu().double().mean(dim=2) / 255


def to_lab(colours: Tensor) -> Tensor:
    """Convert sRGB [..., 3], 0 to 1, to CIE 1976 L*a*b* (IEC 61966-2-1; white: D65)."""
    linear = torch.where(colours > 0.04045, ((colours + 0.055) / 1.055) ** 2.4, colours / 12.92)
    matrix = colours.new_tensor(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = linear @ matrix.T / matrix.sum(dim=1)  # relative to white
    cube, straight = xyz.clamp(min=0) ** (1 / 3), xyz * (841 / 108) + 4 / 29
    x, y, z = torch.where(xyz > (6 / 29) ** 3, cube, straight).unbind(dim=-1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-1)


def measure_tone(pictures: Tensor, photo: Tensor, label: Tensor, class_ids: Sequence[int]) -> np.ndarray:
    """Measure the distance of two classes' mean colours on one label map.

    Args:
        pictures: uint8 [K, 3, H, W].
        photo: uint8 [3, H, W], of the same label map.
        label: int64 [H, W]; negative ids are unknown pixels, which are of no class.
        class_ids: ids of face and skin.

    Returns:
        float64 [2]: distance in the pictures (their mean) and in the photo; NaN where a class is absent or very small.
    """

    def distance(which: Tensor) -> float:
        one, other = (to_lab(mean_colours(which, label == class_id)) for class_id in class_ids)
        return float((one - other).norm(dim=1).mean())

    return np.array([distance(pictures), distance(photo[None])])


def summarise_tone(rows: np.ndarray) -> Tone:
    """Return the metric over the rows [N, 2] of all label maps.

    Raises:
        ValueError: if no label map shows both classes.
    """
    drawn, photographed = rows[np.isfinite(rows).all(axis=1)].T
    if not len(drawn):
        raise ValueError("no label map shows both face and skin: tone cannot be measured")
    ratio = estimate(len(drawn), lambda counts: divide(counts @ drawn, counts @ photographed))
    return Tone(len(drawn), ratio, estimate_mean(drawn), estimate_mean(photographed))


def measure_chroma(pictures: Tensor, photo: Tensor, label: Tensor, class_ids: Collection[int]) -> np.ndarray:
    """Count the classes with a clear colour on one label map.

    Args:
        pictures: uint8 [K, 3, H, W].
        photo: uint8 [3, H, W], of the same label map.
        label: int64 [H, W]; negative ids are unknown pixels, which are of no class.
        class_ids: ids of the garments.

    Returns:
        float64 [3]: number of clear ones in the pictures (their mean) and in the photo; number of the classes that the
        map shows.
    """
    found = np.zeros(3)
    for class_id in class_ids:
        region = label == class_id
        colours = [mean_colours(which, region) for which in (pictures, photo[None])]
        if bool(colours[1].isfinite().all()):
            clear = [float(((c.amax(dim=1) - c.amin(dim=1)) > _CLEAR).double().mean()) for c in colours]
            found += [*clear, 1]
    return found


def summarise_chroma(rows: np.ndarray) -> Chroma:
    """Return the metric over the rows [N, 3] of all label maps.

    Raises:
        ValueError: if no label map shows one of the classes.
    """
    drawn, photographed, shown = rows[rows[:, 2] > 0].T
    if not len(shown):
        raise ValueError("no label map shows the classes whose colours are measured: name others")
    fractions = (
        estimate(len(shown), lambda counts, clear=clear: divide(counts @ clear, counts @ shown))  # type: ignore[misc]
        for clear in (drawn, photographed)
    )
    return Chroma(int(shown.sum()), *fractions)
