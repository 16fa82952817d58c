"""Metrics with their uncertainty: what was measured on each image, 95 % intervals over images, and their texts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

# Resamples of the bootstrap; its generator is seeded, so that the same rows have the same interval.
_RESAMPLES = 2000
_CONFIDENCE = 95.0


@dataclass(frozen=True)
class Estimate:
    """A metric with its interval.

    Attributes:
        value: value; None where it is undefined.
        interval: 95 % percentile bootstrap over images: the metric is recomputed for 2000 draws, with replacement, of
            as many images. None for fewer than two images.
    """

    value: float | None
    interval: tuple[float, float] | None = None


class ImageRows:
    """Rows of numbers by image index.

    Shards of a measurement, of several processes or runs, merge into one; sums are over the images in the order of
    their indices, so that the result does not depend on how the images were distributed.

    Args:
        shape: shape of a row.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self._rows: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, index: int, row: np.ndarray) -> None:
        """Add the row of one image.

        Raises:
            ValueError: for an image that was added before, or a row of another shape.
        """
        if index in self._rows:
            raise ValueError(f"image {index} was counted already: give every image to one shard only")
        if row.shape != self.shape:
            raise ValueError(f"the row of image {index} has shape {row.shape}; it must be {self.shape}")
        self._rows[index] = row.astype(np.float64)

    def merge(self, other: ImageRows) -> None:
        """Add the rows of another shard.

        Raises:
            ValueError: for an image that is in both.
        """
        for index, row in other._rows.items():
            self.add(index, row)

    def stacked(self) -> np.ndarray:
        """Return the rows float64 [N, *shape], in the order of the images' indices.

        Raises:
            ValueError: if there are none.
        """
        if not self._rows:
            raise ValueError("no image was measured yet: update the metric first")
        return np.stack([self._rows[index] for index in sorted(self._rows)])


def estimate(
    images: int, statistic: Callable[[np.ndarray], np.ndarray], *, intervals: bool = True
) -> Estimate:
    """Return a statistic of the images with its interval.

    Args:
        images: N, the number of images.
        statistic: function of float64 [R, N], how often each of the N images counts in each of R draws, that returns
            [R], NaN where it is undefined.
        intervals: whether there is an interval, which of many classes takes seconds.
    """
    value = float(statistic(np.ones((1, images)))[0])
    if np.isnan(value):
        return Estimate(None)
    if images < 2 or not intervals:
        return Estimate(value)
    draws = np.random.default_rng(0).multinomial(images, np.full(images, 1 / images), size=_RESAMPLES)
    tail = (100 - _CONFIDENCE) / 2
    low, high = np.nanpercentile(statistic(draws.astype(np.float64)), (tail, 100 - tail))
    return Estimate(value, (float(low), float(high)))


def estimate_mean(values: np.ndarray, *, intervals: bool = True) -> Estimate:
    """Return the mean of float64 [N], one value per image, with its interval."""
    return estimate(len(values), lambda counts: counts @ values / counts.sum(axis=1), intervals=intervals)


def estimate_with_parts(
    images: int, parts: Callable[[np.ndarray], np.ndarray], *, intervals: bool = True
) -> tuple[Estimate, list[Estimate]]:
    """Return the mean over classes of a per-class statistic, and the statistic of each class.

    Args:
        images: N, the number of images.
        parts: as the statistic of :func:`estimate`, but returns [R, C]; the mean leaves out classes where it is NaN.
        intervals: as :func:`estimate` takes it.
    """
    classes = parts(np.ones((1, images))).shape[1]
    single = [
        estimate(images, lambda counts, id_=class_id: parts(counts)[:, id_], intervals=intervals)  # type: ignore[misc]
        for class_id in range(classes)
    ]
    return estimate(images, lambda counts: _mean_of_defined(parts(counts)), intervals=intervals), single


def _mean_of_defined(values: np.ndarray) -> np.ndarray:
    """Return the mean [R] over classes of values [R, C] that are not NaN; NaN if there is none."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Mean of empty slice")
        return np.asarray(np.nanmean(values, axis=1))


def divide(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divide elementwise, with NaN where the denominator is zero."""
    result = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), np.nan)
    return np.divide(numerator, denominator, out=result, where=denominator != 0)


def by_name(names: tuple[str, ...], values: list[Estimate]) -> Mapping[str, Estimate]:
    """Return per-class estimates by class name."""
    return dict(zip(names, values, strict=True))


# -- texts ------------------------------------------------------------------------------------------------------

# Text of a value that is undefined, or was not measured.
NONE = "-"


def estimate_text(estimate: Mapping[str, Any], digits: int, scale: float = 1.0) -> str:
    """Return the value of an :class:`Estimate`, given as a dictionary, with its 95 % interval if it has one."""
    text = number_text(estimate["value"], digits, scale)
    if estimate["interval"] is None:
        return text
    low, high = (number_text(bound, digits, scale) for bound in estimate["interval"])
    return f"{text} ({low} to {high})"


def number_text(value: float | None, digits: int, scale: float = 1.0) -> str:
    """Return a number with ``digits`` decimals; ``NONE`` for None."""
    return NONE if value is None else f"{value * scale:.{digits}f}"


def percent(fraction: float | None) -> str:
    """Return a fraction from 0 to 1 in percent, with one decimal; ``NONE`` for None."""
    return number_text(fraction, 1, 100)
