"""Segmentation performance (section 4.3): do drawn pictures show the classes that they were drawn for?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from groupdnet_hub.data.unknown import UNKNOWN
from groupdnet_hub.metrics.estimates import (
    Estimate,
    ImageRows,
    by_name,
    divide,
    estimate,
    estimate_with_parts,
)

# Scores of a class that fewer photos show mean little.
FREQUENT = 10


@dataclass(frozen=True)
class SegmentationScores:
    """mIoU and pixel accuracy, fractions from 0 to 1.

    Pixels whose true class is ignored or unknown are left out. ``IoU_c = hits / (true + predicted - hits)`` over the
    pixels of all images; a class that is neither true nor predicted anywhere has none. The mean leaves out such classes
    and the ignored ones.

    Attributes:
        images: number of label maps.
        miou: mean of ``iou``.
        pixel_accuracy: fraction of pixels whose class is predicted.
        iou: IoU by class name.
        ignored: names of the ignored classes.
    """

    images: int
    miou: Estimate
    pixel_accuracy: Estimate
    iou: Mapping[str, Estimate]
    ignored: tuple[str, ...]


class SegmentationMeter:
    """Compares predicted classes with those of the label maps, in any order and on any number of processes.

    Args:
        class_names: class names of the label maps.
        ignored: ids of classes that are not scored.

    Attributes:
        confusion: int64 [C, C], pixels by true class (rows) and predicted class (columns).

    Raises:
        ValueError: for an ignored id that is not a class, or if no class is left.
    """

    def __init__(self, class_names: tuple[str, ...], ignored: Collection[int] = ()) -> None:
        self.class_names, classes = class_names, len(class_names)
        if not set(ignored) < set(range(classes)):
            raise ValueError(
                f"the ignored classes are {sorted(ignored)}; the ids are 0 to {classes - 1}, and one must be left"
            )
        self.scored = np.array([class_id not in ignored for class_id in range(classes)])
        self.confusion = torch.zeros(classes, classes, dtype=torch.int64)
        self.rows = ImageRows((3, classes))  # hits, true, predicted

    def update(self, index: int, label: Tensor, predicted: Tensor) -> None:
        """Add image ``index``, once.

        Args:
            index: number of the image in its data set.
            label: int64 [H, W], class ids that it should show, or UNKNOWN.
            predicted: int64 [H, W], class ids that it shows.

        Raises:
            ValueError: for different shapes, an id that is not a class, or an image that was added before.
        """
        label, predicted = label.cpu(), predicted.cpu()
        if label.shape != predicted.shape:
            raise ValueError(
                f"the label map is {tuple(label.shape)} and the prediction {tuple(predicted.shape)}"
            )
        classes = len(self.class_names)
        for what, ids, least in (("label map", label, UNKNOWN), ("prediction", predicted, 0)):
            if int(ids.min()) < least or int(ids.max()) >= classes:
                raise ValueError(
                    f"the {what} holds ids from {int(ids.min())} to {int(ids.max())}; there are {classes}"
                )
        counted = torch.from_numpy(self.scored)[label] & (label != UNKNOWN)
        pairs = (label * classes + predicted)[counted]
        confusion = torch.bincount(pairs, minlength=classes**2).view(classes, classes)
        self.rows.add(index, torch.stack((confusion.diag(), confusion.sum(1), confusion.sum(0))).numpy())
        self.confusion += confusion

    def merge(self, other: SegmentationMeter) -> None:
        """Add another shard."""
        self.rows.merge(other.rows)
        self.confusion += other.confusion

    def result(self) -> SegmentationScores:
        """Return the scores of the images so far.

        Raises:
            ValueError: if there are none.
        """
        hits, true, predicted = np.moveaxis(self.rows.stacked(), 1, 0)
        images = len(hits)

        def iou(counts: np.ndarray) -> np.ndarray:
            both = counts @ hits
            return np.where(self.scored, divide(both, counts @ true + counts @ predicted - both), np.nan)

        def accuracy(counts: np.ndarray) -> np.ndarray:
            return divide(counts @ hits.sum(axis=1), counts @ true.sum(axis=1))

        miou, by_class = estimate_with_parts(images, iou)
        return SegmentationScores(
            images=images,
            miou=miou,
            pixel_accuracy=estimate(images, accuracy),
            iou=by_name(self.class_names, by_class),
            ignored=tuple(n for n, scored in zip(self.class_names, self.scored, strict=True) if not scored),
        )


def frequent_miou(scores: SegmentationScores, photos: Mapping[str, int]) -> float | None:
    """Return the mean IoU over the classes that at least :data:`FREQUENT` photos show; None if there are none.

    Args:
        scores: scores of some photos.
        photos: number of photos that show a class, by class name.
    """
    values = [
        one.value for name, one in scores.iou.items() if photos[name] >= FREQUENT and one.value is not None
    ]
    return float(np.mean(values)) if values else None
