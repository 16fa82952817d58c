"""A redrawn class in the picture it was drawn for, with every other pixel as it was."""

from __future__ import annotations

import numpy as np
from PIL import Image

# The edge is blended over this fraction of the picture's width.
FEATHER = 1 / 40


def keep_other_pixels(before: Image.Image, after: Image.Image, region: np.ndarray) -> Image.Image:
    """Return ``after`` inside a region, ``before`` outside of it, blended along the region's inner edge.

    Outside of the region not a single value differs from ``before``.

    Args:
        before: RGB.
        after: RGB, of the same size.
        region: bool [H, W], where the picture changes.
    """
    feather = max(2, round(region.shape[1] * FEATHER))
    weight = _ramp(region, feather)[..., None]
    old, new = (np.asarray(picture.convert("RGB"), dtype=np.float32) for picture in (before, after))
    return Image.fromarray((old + weight * (new - old)).round().astype(np.uint8))


def _ramp(region: np.ndarray, feather: int) -> np.ndarray:
    """Return float32 [H, W]: 0 outside, and 1/feather, 2/feather, ... 1 with the distance from the region's edge.

    The picture's own border is no edge.
    """
    weight = np.zeros(region.shape, np.float32)
    left = np.pad(region, 1, mode="edge")
    for _ in range(feather):
        weight += left[1:-1, 1:-1]
        left = np.pad(
            left[1:-1, 1:-1] & left[:-2, 1:-1] & left[2:, 1:-1] & left[1:-1, :-2] & left[1:-1, 2:],
            1,
            mode="edge",
        )
    return weight / feather
