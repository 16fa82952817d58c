"""Semantically multi-modal diversity: mCSD and mOCD (Eq. 7), and LPIPS of wholly redrawn pictures (section 4.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from groupdnet_hub.metrics.estimates import (
    Estimate,
    ImageRows,
    by_name,
    divide,
    estimate,
    estimate_mean,
    mean_of_defined,
)
from groupdnet_hub.system import ImageSynthesisSystem

# Two batches [B, 3, H, W] in [-1, 1] -> a distance for each pixel [B, 1, H, W], such as alexnet_lpips(spatial=True).
SpatialDistance = Callable[[Tensor, Tensor], Tensor]

# What the codes of an image are drawn for; class c is _FIRST_CLASS + c.
_BASE, _WHOLE, _FIRST_CLASS = 0, 1, 2


@dataclass(frozen=True)
class Redrawing:
    """The pictures that one label map is measured on: some codes, and others that differ from them in one class.

    Attributes:
        label: int64 [H, W].
        instance: int64 [H, W], for a system that needs it.
        seed: of this label map; every class has its own stream of codes, whichever others are drawn.
        batch_size: pictures decoded at a time.
    """

    system: ImageSynthesisSystem
    label: Tensor
    seed: int
    instance: Tensor | None = None
    batch_size: int = 8

    def codes(self, class_id: int | None, count: int) -> Tensor:
        """Codes [count, ...] that differ in one class (``None``: in all of the code) and agree in the rest."""
        stream = self._generator(_WHOLE if class_id is None else _FIRST_CLASS + class_id)
        size = (self.label.shape[0], self.label.shape[1])
        if class_id is None:
            return self.system.sample_codes(count, generator=stream, label_size=size)
        base = self.system.sample_codes(1, generator=self._generator(_BASE), label_size=size)
        return self.system.redraw(base.expand(count, *base.shape[1:]), class_id, generator=stream)

    def scene(self) -> Any:
        """The prepared label map, for :meth:`pictures`."""
        instance = None if self.instance is None else self.instance[None]
        return self.system.prepare(self.label[None], instance)

    def pictures(self, scene: Any, codes: Tensor) -> Iterator[Tensor]:
        """Pictures [b, 3, H, W] of codes, in batches."""
        for start in range(0, len(codes), self.batch_size):
            yield self.system.decode(codes[start : start + self.batch_size], scene).float()

    def distances(
        self, scene: Any, class_id: int | None, pairs: int, distance: SpatialDistance
    ) -> Iterator[Tensor]:
        """Distance maps float64 [b, H, W] on the CPU of ``pairs`` pairs: each picture and the next one."""
        last: Tensor | None = None
        for batch in self.pictures(scene, self.codes(class_id, pairs + 1)):
            row = batch if last is None else torch.cat([last, batch])
            last = batch[-1:]
            if len(row) > 1:
                yield distance(row[:-1], row[1:])[:, 0].cpu().double()

    def _generator(self, stream: int) -> torch.Generator:
        state = np.random.SeedSequence((self.seed, stream)).generate_state(1, np.uint64)
        # On the CPU: one seed then means the same codes on every device.
        return torch.Generator().manual_seed(int(state[0]) >> 1)


def measure_classes(redrawing: Redrawing, distance: SpatialDistance, *, num_pairs: int = 19) -> np.ndarray:
    """One label map's part of mCSD and mOCD.

    For each class c, ``num_pairs + 1`` pictures differ in the code of c alone; a pair is a picture and the next one.
    A system without class codes redraws all of its code, and one set of pairs serves all classes.

    Returns:
        float64 [3, C]: the distance summed over the pixels of c and over all others, each divided by the number of
        pixels of the *image*, mean over the pairs; and the share of the image that c takes (0 where it is absent).
    """
    system, label = redrawing.system, redrawing.label.cpu()
    classes = range(len(system.labels))
    scene = redrawing.scene()
    regions = [label == class_id for class_id in classes]
    found = np.zeros((3, len(classes)))
    found[2] = [float(region.double().mean()) for region in regions]
    if system.has_class_codes:
        for class_id in classes:
            for maps in redrawing.distances(scene, class_id, num_pairs, distance):
                found[:2, class_id] += _split(maps, regions[class_id])
    else:
        for maps in redrawing.distances(scene, None, num_pairs, distance):
            for class_id in classes:
                found[:2, class_id] += _split(maps, regions[class_id])
    found[:2] /= num_pairs * label.numel()
    return found


def measure_image(redrawing: Redrawing, distance: SpatialDistance, *, num_pairs: int = 19) -> np.ndarray:
    """One label map's LPIPS diversity: the mean distance of pairs with all codes redrawn, float64 []."""
    total = sum(
        float(maps.sum()) for maps in redrawing.distances(redrawing.scene(), None, num_pairs, distance)
    )
    return np.array(total / (num_pairs * redrawing.label.numel()))


def _split(maps: Tensor, region: Tensor) -> tuple[float, float]:
    # Two sums and no difference, so that what did not change at all is exactly 0.
    return float(maps[:, region].sum()), float(maps[:, ~region].sum())


@dataclass(frozen=True)
class ClassDiversity:
    """mCSD and mOCD (Eq. 7) with their parts, by class name.

    With d the spatial LPIPS map of a pair, ``CSD_c = sum of d over the pixels of c / number of pixels of the image``
    and ``OCD_c`` the same over all other pixels; means over pairs, then over *all* images, then over *all* classes.
    A class that is absent from an image has an empty region there, and so CSD 0; what redrawing it changes all the
    same counts as OCD. For a system that changes everything, mCSD + mOCD is thus the LPIPS of its pairs.

    ``*_region_mean`` divide by the region's pixels in place of the image's. An empty region has no mean: a class is
    averaged over the images that show it, and the mean goes over the classes that any image shows (for OCD those that
    leave other pixels).
    """

    images: int
    mcsd: Estimate
    mocd: Estimate
    mcsd_region_mean: Estimate
    mocd_region_mean: Estimate
    csd: Mapping[str, Estimate]
    ocd: Mapping[str, Estimate]
    csd_region_mean: Mapping[str, Estimate]
    ocd_region_mean: Mapping[str, Estimate]
    shown_in: Mapping[str, int]


class ClassDiversityMeter:
    """Gathers :func:`measure_classes` of many label maps, in any order and on any number of processes."""

    def __init__(self, class_names: tuple[str, ...]) -> None:
        self.class_names = class_names
        self.rows = ImageRows((3, len(class_names)))

    def update(self, index: int, measured: np.ndarray) -> None:
        """Count label map ``index``, once."""
        self.rows.add(index, measured)

    def merge(self, other: ClassDiversityMeter) -> None:
        """Count what another shard measured."""
        self.rows.merge(other.rows)

    def result(self) -> ClassDiversity:
        """The figures so far.

        Raises:
            ValueError: if nothing was counted.
        """
        inside, outside, share = np.moveaxis(self.rows.stacked(), 1, 0)
        images, classes = share.shape
        shown = (share > 0).astype(np.float64)
        others = shown * (share < 1)
        means = (np.nan_to_num(divide(inside, share)), shown), (divide(outside, 1 - share), others)

        def over_images(values: np.ndarray) -> list[Estimate]:
            return [estimate_mean(values[:, class_id]) for class_id in range(classes)]

        def of_regions(values: np.ndarray, counted: np.ndarray) -> tuple[Estimate, list[Estimate]]:
            values = np.where(counted > 0, values, 0)

            def by_class(counts: np.ndarray) -> np.ndarray:
                return divide(counts @ values, counts @ counted)

            one_by_one = [
                estimate(images, lambda counts, class_id=class_id: by_class(counts)[:, class_id])  # type: ignore[misc]
                for class_id in range(classes)
            ]
            return estimate(images, lambda counts: mean_of_defined(by_class(counts))), one_by_one

        (region_csd, class_csd), (region_ocd, class_ocd) = (of_regions(*pair) for pair in means)
        return ClassDiversity(
            images=images,
            mcsd=estimate_mean(inside.mean(axis=1)),
            mocd=estimate_mean(outside.mean(axis=1)),
            mcsd_region_mean=region_csd,
            mocd_region_mean=region_ocd,
            csd=by_name(self.class_names, over_images(inside)),
            ocd=by_name(self.class_names, over_images(outside)),
            csd_region_mean=by_name(self.class_names, class_csd),
            ocd_region_mean=by_name(self.class_names, class_ocd),
            shown_in=dict(zip(self.class_names, (int(count) for count in shown.sum(axis=0)), strict=True)),
        )


@dataclass(frozen=True)
class ImageDiversity:
    """LPIPS diversity: the mean distance of two pictures of one label map, all codes redrawn."""

    images: int
    lpips: Estimate


class ImageDiversityMeter:
    """Gathers :func:`measure_image` of many label maps, in any order and on any number of processes."""

    def __init__(self) -> None:
        self.rows = ImageRows(())

    def update(self, index: int, measured: np.ndarray) -> None:
        """Count label map ``index``, once."""
        self.rows.add(index, measured)

    def merge(self, other: ImageDiversityMeter) -> None:
        """Count what another shard measured."""
        self.rows.merge(other.rows)

    def result(self) -> ImageDiversity:
        """The figure so far.

        Raises:
            ValueError: if nothing was counted.
        """
        values = self.rows.stacked()
        return ImageDiversity(len(values), estimate_mean(values))
