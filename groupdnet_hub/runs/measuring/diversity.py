"""mCSD and mOCD, and LPIPS of redrawn pictures, as parts of a measurement: rows of label maps, then results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from groupdnet_hub.metrics import (
    ClassDiversity,
    ClassDiversityMeter,
    ImageDiversity,
    ImageDiversityMeter,
    Redrawing,
    SpatialDistance,
    measure_classes,
    measure_image,
)

# Names of the parts: of mCSD and mOCD, which are measured together, and of LPIPS.
CLASSES, LPIPS = "classes", "lpips"


@dataclass(frozen=True)
class DiversityPart:
    """How one part is measured.

    Attributes:
        measure: function of a label map's redrawing that returns its row.
        meter: makes what collects the rows.
    """

    measure: Callable[[Redrawing], np.ndarray]
    meter: Callable[[], ClassDiversityMeter | ImageDiversityMeter]

    def result(self, rows: Mapping[int, np.ndarray], *, intervals: bool = True) -> Any:
        """Return :class:`ClassDiversity` or :class:`ImageDiversity` of the rows by item index.

        Args:
            rows: rows of the label maps.
            intervals: whether estimates have an interval.
        """
        meter = self.meter()
        for index, row in rows.items():
            meter.update(index, row)
        found: ClassDiversity | ImageDiversity = meter.result(intervals=intervals)
        return found


def diversity_part(
    name: str, class_names: tuple[str, ...], distance: SpatialDistance, num_pairs: int, ignored: Sequence[int]
) -> DiversityPart:
    """Return the part ``classes`` or ``lpips``.

    Args:
        name: its name.
        class_names: names of the system's classes.
        distance: LPIPS at each pixel.
        num_pairs: number of pairs of each label map, and of each class.
        ignored: ids of classes that stand for unknown pixels.
    """
    if name == CLASSES:
        measure = partial(measure_classes, distance=distance, num_pairs=num_pairs, ignored=ignored)
        return DiversityPart(measure, partial(ClassDiversityMeter, class_names))
    return DiversityPart(partial(measure_image, distance=distance, num_pairs=num_pairs), ImageDiversityMeter)
