"""Figures with their uncertainty: what was measured of each image, and 95 % intervals over images."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

# Resamples of the bootstrap; its generator is seeded, so that the same rows have the same interval.
_RESAMPLES = 2000
_CONFIDENCE = 95.0


@dataclass(frozen=True)
class Estimate:
    """A figure.

    Attributes:
        value: ``None`` where it is not defined.
        interval: 95 % percentile bootstrap over images: the figure is computed anew for 2000 draws, with
            replacement, of as many images. ``None`` for fewer than two images.
    """

    value: float | None
    interval: tuple[float, float] | None = None


class ImageRows:
    """One row of numbers for each image, by the image's number.

    Shards of a measurement, on several processes or of several runs, are merged into one; sums go over the images in
    the order of their numbers, so that the result does not depend on how the images were shared out.

    Args:
        shape: that of a row.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self._rows: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, index: int, row: np.ndarray) -> None:
        """Count one image.

        Raises:
            ValueError: for an image that was counted already, or a row of another shape.
        """
        if index in self._rows:
            raise ValueError(f"image {index} was counted already: give every image to one shard only")
        if row.shape != self.shape:
            raise ValueError(f"the row of image {index} has shape {row.shape}; it must be {self.shape}")
        self._rows[index] = row.astype(np.float64)

    def merge(self, other: ImageRows) -> None:
        """Count another shard's images too.

        Raises:
            ValueError: for an image that both counted.
        """
        for index, row in other._rows.items():
            self.add(index, row)

    def stacked(self) -> np.ndarray:
        """float64 [N, *shape], in the order of the images' numbers.

        Raises:
            ValueError: if there is none.
        """
        if not self._rows:
            raise ValueError("no image was measured yet: update the metric first")
        return np.stack([self._rows[index] for index in sorted(self._rows)])


def estimate(images: int, statistic: Callable[[np.ndarray], np.ndarray]) -> Estimate:
    """A statistic of the images and its interval.

    Args:
        statistic: takes float64 [R, N], how often each of the N images counts in each of R draws; gives [R], NaN where
            it is not defined.
    """
    value = float(statistic(np.ones((1, images)))[0])
    if np.isnan(value):
        return Estimate(None)
    if images < 2:
        return Estimate(value)
    draws = np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), size=_RESAMPLES)
    tail = (100 - _CONFIDENCE) / 2
    low, high = np.nanpercentile(statistic(draws.astype(np.float64)), (tail, 100 - tail))
    return Estimate(value, (float(low), float(high)))


def estimate_mean(values: np.ndarray) -> Estimate:
    """The mean of float64 [N], one value for each image."""
    return estimate(len(values), lambda counts: counts @ values / counts.sum(axis=1))


def estimate_with_parts(
    images: int, parts: Callable[[np.ndarray], np.ndarray]
) -> tuple[Estimate, list[Estimate]]:
    """The mean over classes of a statistic that each class has, and the statistic of each.

    Args:
        parts: as the statistic of :func:`estimate`, but gives [R, C]; classes for which it is NaN are left out.
    """
    classes = parts(np.ones((1, images))).shape[1]
    single = [
        estimate(images, lambda counts, class_id=class_id: parts(counts)[:, class_id])  # type: ignore[misc]
        for class_id in range(classes)
    ]
    return estimate(images, lambda counts: _mean_of_defined(parts(counts))), single


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    """[R, C] -> [R]: the mean over the classes for which a value is defined (not NaN); NaN if there is none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Mean of empty slice")
        return np.asarray(np.nanmean(values, axis=1))


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Elementwise, NaN where the denominator is zero."""
    result = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    return np.divide(numerator, denominator, out=result, where=denominator != 0)


def by_name(names: tuple[str, ...], values: list[Estimate]) -> Mapping[str, Estimate]:
    """Estimates of the classes under their names."""
    return dict(zip(names, values, strict=True))
