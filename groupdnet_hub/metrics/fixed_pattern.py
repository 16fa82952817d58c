"""Fixed pattern: is one place of a class rough whatever the codes?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub.metrics.estimates import Estimate, by_name, estimate_mean
from groupdnet_hub.metrics.roughness import inner_region, roughness, scaled

# In pictures 256 pixels high: the side of the window, and the pixels of a class's border that do not count.
_WINDOW, _BORDER = 12, 3
# What the median counts as at least: of 8-bit pictures, half a step says nothing.
_LEAST_MEDIAN = 0.5


@dataclass(frozen=True)
class FixedPattern:
    """The roughest window of a class over its median, in the mean roughness of many pictures of a label map.

    A pattern that every picture has at the same place stays in the mean, where what differs from picture to picture
    levels out. A blurred picture has none either: read it together with :class:`Sharpness`.

    Attributes:
        images: label maps that show each class well enough to hold a window, by name.
        pattern: by class name, the mean over these label maps.
        single: the same of single pictures, whose own details are not levelled out: what ``photos`` compares with.
        photos: of the photos, one of each label map; there is no second one of the same.
    """

    images: Mapping[str, int]
    pattern: Mapping[str, Estimate]
    single: Mapping[str, Estimate]
    photos: Mapping[str, Estimate]


def roughest_window(rough: Tensor, inside: Tensor, window: int) -> float:
    """The highest mean of a square window over the median pixel.

    Args:
        rough: float [H, W], as :func:`roughness`.
        inside: bool [H, W]; a window lies wholly inside.
        window: side in pixels.

    Returns:
        NaN if no window fits. A median below 0.5 counts as 0.5, so that flat cloth is no pattern.
    """
    fits = F.avg_pool2d(inside.float()[None, None], window, stride=1)[0, 0] > 1 - 0.5 / window**2
    if not fits.any():
        return float("nan")
    means = F.avg_pool2d(rough[None, None].double(), window, stride=1)[0, 0]
    median = float(rough[inside].double().quantile(0.5))
    return float(means[fits].max()) / max(median, _LEAST_MEDIAN)


def measure_pattern(pictures: Tensor, photo: Tensor, label: Tensor, class_ids: Collection[int]) -> np.ndarray:
    """One label map's part.

    Args:
        pictures: uint8 [K, 3, H, W]; twelve or so.
        photo: uint8 [3, H, W], of the same label map.
        label: int64 [H, W].
        class_ids: the classes that are looked at.

    Returns:
        float64 [3, classes]: :func:`roughest_window` of the mean of the pictures' roughness; its mean over single
        pictures; that of the photo. NaN for a class that is absent or too small.
    """
    height = label.shape[0]
    window, border = scaled(_WINDOW, height, least=3), scaled(_BORDER, height)
    rough, of_photo = roughness(pictures).cpu(), roughness(photo[None]).cpu()[0]
    rows = []
    for class_id in class_ids:
        inside = inner_region(label, [class_id], border)
        single = [roughest_window(one, inside, window) for one in rough]
        mean = roughest_window(rough.mean(dim=0), inside, window)
        rows.append([mean, float(np.mean(single)), roughest_window(of_photo, inside, window)])
    return np.array(rows).T


def summarise_pattern(rows: np.ndarray, names: Sequence[str]) -> FixedPattern:
    """The figures of the rows [N, 3, classes] of all label maps.

    Args:
        names: of the classes, in the same order.

    Raises:
        ValueError: if no label map shows any of the classes.
    """
    shown = np.isfinite(rows).all(axis=1)
    if not shown.any():
        raise ValueError(f"no label map shows {', '.join(names)} large enough for a window: name others")
    figures = [
        by_name(tuple(names), [_mean(rows[shown[:, c], kind, c]) for c in range(len(names))])
        for kind in range(3)
    ]
    counts = {name: int(count) for name, count in zip(names, shown.sum(axis=0), strict=True)}
    return FixedPattern(counts, *figures)


def _mean(values: np.ndarray) -> Estimate:
    return estimate_mean(values) if len(values) else Estimate(None)
