"""Fixed pattern: is one place of a class rough, whatever the codes are?"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub.metrics.estimates import Estimate, by_name, estimate_mean
from groupdnet_hub.metrics.sharpness import inner_region, roughness, scaled

# In pictures 256 pixels high: side of the window, and width of a class's border that does not count.
_WINDOW, _BORDER = 12, 3
# Lower bound of the median: half a step of 8-bit pictures means nothing.
_LEAST_MEDIAN = 0.5


@dataclass(frozen=True)
class FixedPattern:
    """The roughest window of a class relative to its median, in the mean roughness of many pictures of a label map.

    A pattern that every picture has at the same place stays in the mean, while differences between pictures average
    out. A blurred picture has none either: read it together with :class:`Sharpness`.

    Attributes:
        images: number of label maps on which the class is large enough for a window, by class name.
        pattern: mean over these label maps, by class name.
        single: the same of single pictures, whose own details do not average out; comparable with ``photos``.
        photos: the same of the photos, one of each label map; there is no second one of the same map.
    """

    images: Mapping[str, int]
    pattern: Mapping[str, Estimate]
    single: Mapping[str, Estimate]
    photos: Mapping[str, Estimate]


def roughest_window(rough: Tensor, inside: Tensor, window: int) -> float:
    """Return the highest mean of a square window relative to the median pixel.

    Args:
        rough: float [H, W], of :func:`roughness`.
        inside: bool [H, W], the region that must contain the window.
        window: side in pixels.

    Returns:
        The ratio; NaN if no window fits. A median below 0.5 counts as 0.5, so that flat cloth is not a pattern.
    """
    fits = F.avg_pool2d(inside.float()[None, None], window, stride=1)[0, 0] > 1 - 0.5 / window**2
    if not fits.any():
        return float("nan")
    means = F.avg_pool2d(rough[None, None].double(), window, stride=1)[0, 0]
    median = float(rough[inside].double().quantile(0.5))
    return float(means[fits].max()) / max(median, _LEAST_MEDIAN)


def measure_pattern(pictures: Tensor, photo: Tensor, label: Tensor, class_ids: Collection[int]) -> np.ndarray:
    """Measure one label map.

    Args:
        pictures: uint8 [K, 3, H, W]; about twelve.
        photo: uint8 [3, H, W], of the same label map.
        label: int64 [H, W]; negative ids are unknown pixels, which are of no class.
        class_ids: ids of the measured classes.

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
    """Return the metric over the rows [N, 3, classes] of all label maps.

    Args:
        rows: results of :func:`measure_pattern`.
        names: names of the classes, in the same order.

    Raises:
        ValueError: if no label map shows any of the classes.
    """
    shown = np.isfinite(rows).all(axis=1)
    if not shown.any():
        raise ValueError(f"no label map shows {', '.join(names)} large enough for a window: name others")
    values = [
        by_name(tuple(names), [_mean(rows[shown[:, c], kind, c]) for c in range(len(names))])
        for kind in range(3)
    ]
    counts = {name: int(count) for name, count in zip(names, shown.sum(axis=0), strict=True)}
    return FixedPattern(counts, *values)


def _mean(values: np.ndarray) -> Estimate:
    return estimate_mean(values) if len(values) else Estimate(None)
