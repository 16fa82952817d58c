"""Semantically multi-modal diversity: mCSD and mOCD (Eq. 7), and LPIPS of fully redrawn pictures (section 4.3)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from groupdnet_hub.data.unknown import grey_unknown, mark_unknown
from groupdnet_hub.metrics.estimates import (
    Estimate,
    ImageRows,
    by_name,
    divide,
    estimate_mean,
    estimate_with_parts,
)
from groupdnet_hub.models.interface import ImageSynthesisSystem

# Maps two batches [B, 3, H, W] in [-1, 1] to per-pixel distances [B, 1, H, W], such as alexnet_lpips(spatial=True).
SpatialDistance = Callable[[Tensor, Tensor], Tensor]

# Random streams of the codes of an image: the common ones, all codes, and those of class c at _FIRST_CLASS + c.
_BASE, _ALL, _FIRST_CLASS = 0, 1, 2


@dataclass(frozen=True)
class Redrawing:
    """The pictures on which one label map is measured: from codes that differ in one class, or in all.

    Attributes:
        system: system that draws.
        label: int64 [H, W].
        seed: seed of this label map; every class has its own stream of codes, whichever others are drawn.
        instance: int64 [H, W], for a system that needs it.
        batch_size: number of pictures decoded at a time.
        unknown: bool [H, W], pixels of which the class is not known; None for none.
    """

    system: ImageSynthesisSystem
    label: Tensor
    seed: int
    instance: Tensor | None = None
    batch_size: int = 8
    unknown: Tensor | None = None

    @property
    def known_label(self) -> Tensor:
        """The label map on the CPU, with UNKNOWN at unknown pixels, int64 [H, W]."""
        return mark_unknown(self.label, self.unknown).cpu()

    @property
    def known_pixels(self) -> int:
        """Number of pixels that are not unknown."""
        return self.label.numel() - (0 if self.unknown is None else int(self.unknown.sum()))

    def codes(self, class_id: int | None, count: int) -> Tensor:
        """Return codes [count, ...] that differ in one class (with None, in all of the code) and agree in the rest."""
        stream = self._generator(_ALL if class_id is None else _FIRST_CLASS + class_id)
        size = (self.label.shape[0], self.label.shape[1])
        if class_id is None:
            return self.system.sample_codes(count, generator=stream, label_size=size)
        base = self.system.sample_codes(1, generator=self._generator(_BASE), label_size=size)
        return self.system.redraw(base.expand(count, *base.shape[1:]), class_id, generator=stream)

    def prepare(self) -> Any:
        """Return the prepared label map, for :meth:`pictures`."""
        instance = None if self.instance is None else self.instance[None]
        return self.system.prepare(self.label[None], instance)

    def pictures(self, prepared: Any, codes: Tensor) -> Iterator[Tensor]:
        """Yield the pictures of codes in batches [b, 3, H, W]."""
        for start in range(0, len(codes), self.batch_size):
            yield self.system.decode(codes[start : start + self.batch_size], prepared).float()

    def pairs(self, prepared: Any, class_id: int | None, count: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield ``count`` pairs of pictures in batches [b, 3, H, W]: each picture and the next one.

        Both are grey at unknown pixels.
        """
        last: Tensor | None = None
        for drawn in self.pictures(prepared, self.codes(class_id, count + 1)):
            batch = grey_unknown(drawn, self.unknown)
            row = batch if last is None else torch.cat([last, batch])
            last = batch[-1:]
            if len(row) > 1:
                yield row[:-1], row[1:]

    def _generator(self, stream: int) -> torch.Generator:
        state = np.random.SeedSequence((self.seed, stream)).generate_state(1, np.uint64)
        # On the CPU, so that one seed gives the same codes on every device.
        return torch.Generator().manual_seed(int(state[0]) >> 1)


def measure_classes(
    redrawing: Redrawing, distance: SpatialDistance, *, num_pairs: int = 19, ignored: Collection[int] = ()
) -> np.ndarray:
    """Measure one label map for mCSD and mOCD.

    For each class c, ``num_pairs + 1`` pictures differ in the code of c alone; a pair is a picture and the next one.
    A system without per-class codes redraws all of its code, and one set of pairs serves all classes. Unknown pixels
    are left out: what is said here of the image and its pixels is meant of the others.

    Args:
        redrawing: pictures of the label map.
        distance: distance of two pictures at each pixel.
        num_pairs: number of pairs per class.
        ignored: ids of classes that stand for unknown pixels, which are not measured.

    Returns:
        float64 [5, C]: the fraction of the image that c covers (0 where it is absent); the distance summed over the
        pixels of c, and over all others; the distance of the pictures with all pixels but those of c set to 0, and with
        those of c set to 0, summed over all pixels. Sums are divided by the number of pixels of the *image*;
        means over the pairs. NaN for the distances of ignored classes.

    Raises:
        ValueError: for a label map without a known pixel.
    """
    system, label, pixels = redrawing.system, redrawing.known_label, _some_pixels(redrawing)
    classes = range(len(system.labels))
    prepared = redrawing.prepare()
    regions = [label == class_id for class_id in classes]
    found = np.zeros((5, len(classes)))
    found[0] = [float(region.double().sum()) / pixels for region in regions]
    found[1:, list(ignored)] = np.nan
    scored = [class_id for class_id in classes if class_id not in ignored]
    # The class that is redrawn (None for all), and the classes that are measured by it.
    turns = [(c, [c]) for c in scored] if system.has_class_codes else [(None, scored)]
    known_distance = _KnownDistance(distance, redrawing.unknown)
    for redrawn, measured in turns:
        for pair in redrawing.pairs(prepared, redrawn, num_pairs):
            maps = known_distance(*pair)
            for class_id in measured:
                found[1:, class_id] += _split(known_distance, pair, maps, regions[class_id])
    found[1:] /= num_pairs * pixels
    return found


def measure_image(redrawing: Redrawing, distance: SpatialDistance, *, num_pairs: int = 19) -> np.ndarray:
    """Measure the LPIPS diversity of one label map: mean distance of pairs with all codes redrawn, float64 [].

    Unknown pixels are left out.

    Raises:
        ValueError: for a label map without a known pixel.
    """
    pixels, known_distance = _some_pixels(redrawing), _KnownDistance(distance, redrawing.unknown)
    pairs = redrawing.pairs(redrawing.prepare(), None, num_pairs)
    total = sum(float(known_distance(*pair).sum()) for pair in pairs)
    return np.array(total / (num_pairs * pixels))


def _some_pixels(redrawing: Redrawing) -> int:
    pixels = redrawing.known_pixels
    if not pixels:
        raise ValueError("all pixels of the label map are unknown: leave this map out")
    return pixels


@dataclass(frozen=True)
class _KnownDistance:
    """A distance of two pictures at each pixel, float64 [B, H, W] on the CPU, 0 at unknown pixels."""

    distance: SpatialDistance
    unknown: Tensor | None

    def __call__(self, one: Tensor, other: Tensor) -> Tensor:
        maps = self.distance(one, other)[:, 0].cpu().double()
        # Features see beyond a pixel: next to known ones, even equal unknown ones differ.
        return maps if self.unknown is None else maps.masked_fill(self.unknown.cpu(), 0)


def _split(
    distance: _KnownDistance, pair: tuple[Tensor, Tensor], maps: Tensor, region: Tensor
) -> tuple[float, float, float, float]:
    """Return sums inside and outside of a region [H, W]: of distance maps, and of those of masked pictures."""
    if not region.any():  # masked by it, the pictures of a pair are equal
        return 0.0, float(maps.sum()), 0.0, float(maps.sum())
    if region.all():
        return float(maps.sum()), 0.0, float(maps.sum()), 0.0
    mask = region.to(pair[0])
    inside, outside = (float(distance(pair[0] * part, pair[1] * part).sum()) for part in (mask, 1 - mask))
    # Two sums instead of a difference, so that no change gives exactly 0.
    return float(maps[:, region].sum()), float(maps[:, ~region].sum()), inside, outside


@dataclass(frozen=True)
class Reading:
    """One reading of Eq. 7: mCSD and mOCD, and CSD and OCD by class name."""

    mcsd: Estimate
    mocd: Estimate
    csd: Mapping[str, Estimate]
    ocd: Mapping[str, Estimate]


@dataclass(frozen=True)
class ClassDiversity:
    """mCSD and mOCD (Eq. 7), in three readings of "the average LPIPS distance of the semantic area".

    Classes that stand for unknown pixels have no CSD and OCD, and the means leave them out.

    Attributes:
        images: number of label maps.
        image_mean: with d the spatial LPIPS map of a pair, ``CSD_c = sum of d over the pixels of c / number of pixels
            of the image``, and ``OCD_c`` the same over all other pixels. A class that is absent from a label map has
            an empty region there, and so CSD 0; what redrawing it changes nevertheless counts as OCD. Means are over
            *all* label maps and *all* classes: for a system that changes everything, mCSD + mOCD is the LPIPS of its
            pairs. Features see far beyond a region, so that even a system that changes no pixel outside has an mOCD.
        region_mean: the same divided by the number of pixels of the region instead of the image. An empty region has
            no mean: a class is averaged over the label maps that show it, and the mean is over the classes that any of
            them shows.
        masked: the LPIPS of the pictures with all pixels outside the region set to 0 (mid-grey), and with those inside
            set to 0; means as for ``image_mean``. mOCD is 0 exactly if no pixel outside changes.
        shown_in: number of label maps that show a class, by name.
    """

    images: int
    image_mean: Reading
    region_mean: Reading
    masked: Reading
    shown_in: Mapping[str, int]


class ClassDiversityMeter:
    """Collects :func:`measure_classes` of many label maps, in any order and on any number of processes."""

    def __init__(self, class_names: tuple[str, ...]) -> None:
        self.class_names = class_names
        self.rows = ImageRows((5, len(class_names)))

    def update(self, index: int, measured: np.ndarray) -> None:
        """Add label map ``index``, once."""
        self.rows.add(index, measured)

    def merge(self, other: ClassDiversityMeter) -> None:
        """Add what another shard measured."""
        self.rows.merge(other.rows)

    def result(self, *, intervals: bool = True) -> ClassDiversity:
        """Return the metrics of the label maps so far.

        Args:
            intervals: whether estimates have an interval.

        Raises:
            ValueError: if there are none.
        """
        fraction, inside, outside, masked_inside, masked_outside = np.moveaxis(self.rows.stacked(), 1, 0)
        shown = fraction > 0
        reading = partial(self._reading, intervals=intervals)
        return ClassDiversity(
            images=len(fraction),
            image_mean=reading(inside, outside),
            region_mean=reading(
                np.where(shown, divide(inside, fraction), np.nan),
                np.where(shown, divide(outside, 1 - fraction), np.nan),
            ),
            masked=reading(masked_inside, masked_outside),
            shown_in=dict(zip(self.class_names, (int(count) for count in shown.sum(axis=0)), strict=True)),
        )

    def _reading(self, csd: np.ndarray, ocd: np.ndarray, intervals: bool) -> Reading:
        mcsd, csd_by_class = _over_images(csd, intervals)
        mocd, ocd_by_class = _over_images(ocd, intervals)
        return Reading(
            mcsd, mocd, by_name(self.class_names, csd_by_class), by_name(self.class_names, ocd_by_class)
        )


def _over_images(values: np.ndarray, intervals: bool) -> tuple[Estimate, list[Estimate]]:
    """Return the mean of the per-class means over images, and these, of float64 [N, C] with NaN where undefined."""
    defined = ~np.isnan(values)
    known, counted = np.where(defined, values, 0), defined.astype(np.float64)

    def by_class(counts: np.ndarray) -> np.ndarray:
        return divide(counts @ known, counts @ counted)

    return estimate_with_parts(len(values), by_class, intervals=intervals)


@dataclass(frozen=True)
class ImageDiversity:
    """LPIPS diversity: the mean distance of two pictures of one label map, all codes redrawn."""

    images: int
    lpips: Estimate


class ImageDiversityMeter:
    """Collects :func:`measure_image` of many label maps, in any order and on any number of processes."""

    def __init__(self) -> None:
        self.rows = ImageRows(())

    def update(self, index: int, measured: np.ndarray) -> None:
        """Add label map ``index``, once."""
        self.rows.add(index, measured)

    def merge(self, other: ImageDiversityMeter) -> None:
        """Add what another shard measured."""
        self.rows.merge(other.rows)

    def result(self, *, intervals: bool = True) -> ImageDiversity:
        """Return the metric of the label maps so far.

        Args:
            intervals: whether the estimate has an interval.

        Raises:
            ValueError: if there are none.
        """
        values = self.rows.stacked()
        return ImageDiversity(len(values), estimate_mean(values, intervals=intervals))
