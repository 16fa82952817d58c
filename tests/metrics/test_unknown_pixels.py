"""Measures on label maps with unknown pixels: whatever pictures and predictions show there, the values are the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub.data.labels import LabelSet
from groupdnet_hub.data.unknown import UNKNOWN
from groupdnet_hub.metrics import (
    ClassDiversityMeter,
    LabelTable,
    Redrawing,
    SegmentationMeter,
    measure_chroma,
    measure_classes,
    measure_faces,
    measure_image,
    measure_pattern,
    measure_sharpness,
    measure_tone,
)
from tests.helpers.synthetic_systems import LABELS, ChangesEverything, RepaintsOneClass, difference

NAMES = LABELS.names  # sky, house, road, tree
# Of the twelve known pixels 8 are sky and 4 house; the last row, road to the networks, is unknown.
STREET = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2]])
UNKNOWN_ROW = torch.tensor([[False] * 4] * 3 + [[True] * 4])


class Noisy(RepaintsOneClass):
    """Draws noise at unknown pixels, another one in every picture."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def decode(self, codes: Tensor, label: Tensor, instance=None) -> Tensor:
        drawn = super().decode(codes, label, instance)
        return torch.where(UNKNOWN_ROW, torch.rand(drawn.shape, generator=self.generator), drawn)


def blurred(one: Tensor, other: Tensor) -> Tensor:
    """A distance that looks beyond a pixel, as LPIPS does, also at equal ones."""
    return F.avg_pool2d(difference(one, other), 3, stride=1, padding=1)


@pytest.mark.parametrize("distance", [difference, blurred])
def test_what_is_drawn_at_unknown_pixels_changes_no_diversity(distance: Callable[..., Tensor]) -> None:
    for measure in (measure_classes, measure_image):
        values = [
            measure(Redrawing(Noisy(seed), STREET, 0, unknown=UNKNOWN_ROW), distance, num_pairs=3)
            for seed in range(2)
        ]
        assert np.array_equal(*values)
        assert not np.array_equal(
            *(measure(Redrawing(Noisy(s), STREET, 0), distance, num_pairs=3) for s in (0, 1))
        )


def test_diversity_is_that_of_the_known_pixels() -> None:
    """As if the image ended above the unknown row."""
    whole = measure_classes(
        Redrawing(Noisy(0), STREET, 0, batch_size=2, unknown=UNKNOWN_ROW), difference, num_pairs=3
    )
    cut = measure_classes(Redrawing(RepaintsOneClass(), STREET[:3], 0), difference, num_pairs=3)
    assert np.allclose(whole, cut, rtol=1e-12)
    assert whole[0].tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0])
    assert whole[1].tolist() == pytest.approx([2 / 3, 2 / 3, 0, 0])

    everything = measure_image(
        Redrawing(ChangesEverything(), STREET, 0, unknown=~UNKNOWN_ROW), difference, num_pairs=4
    )
    assert 0.3 < float(everything) < 1.2, "a mean over the four known pixels, not over sixteen"
    with pytest.raises(ValueError, match="all pixels of the label map are unknown"):
        measure_image(Redrawing(ChangesEverything(), STREET, 0, unknown=STREET >= 0), difference)


def test_classes_that_stand_for_unknown_pixels_have_no_diversity() -> None:
    meter = ClassDiversityMeter(NAMES)
    redrawing = Redrawing(Noisy(0), STREET, 0, unknown=UNKNOWN_ROW)
    meter.update(0, measure_classes(redrawing, difference, num_pairs=3, ignored=(2,)))
    found = meter.result()
    for reading in (found.image_mean, found.region_mean, found.masked):
        assert reading.csd["road"].value is None
        assert reading.ocd["road"].value is None
    assert found.shown_in["road"] == 0
    # (2/3 + 2/3 + 0) / 3 classes, not 4.
    assert found.image_mean.mcsd.value == pytest.approx(4 / 9)


def test_predictions_at_unknown_pixels_count_in_no_score() -> None:
    label = torch.where(UNKNOWN_ROW, UNKNOWN, STREET)
    results = []
    for garbage in (0, 3):
        predicted = STREET.clone()
        predicted[0, 0], predicted[3] = 1, garbage
        meter = SegmentationMeter(NAMES)
        meter.update(0, label, predicted)
        results.append((meter.result(), meter.confusion.tolist()))
    assert results[0] == results[1]
    assert results[0][0].pixel_accuracy.value == pytest.approx(11 / 12)
    assert results[0][0].iou["road"].value is None
    with pytest.raises(ValueError, match="the label map holds ids from -2 to 1"):
        SegmentationMeter(NAMES).update(0, label - (label < 0).long(), STREET)
    with pytest.raises(ValueError, match="the prediction holds ids from -1"):
        SegmentationMeter(NAMES).update(0, STREET, label)


def test_a_table_needs_no_label_for_a_class_that_is_unknown() -> None:
    labels = LabelSet(NAMES, LABELS.palette, (255, 2))
    theirs = ("sky", "house", "tree", "lamp")
    assert LabelTable.same_names(labels, theirs).targets == {"sky": 0, "house": 1, "tree": 3}
    assert LabelTable.same_names(labels, NAMES).targets == {name: i for i, name in enumerate(NAMES)}
    with pytest.raises(ValueError, match="no label stands for tree"):
        LabelTable(labels, {"sky": 0, "house": 1}, frozenset())


def measured(pictures: Tensor, label: Tensor) -> dict[str, np.ndarray]:
    photo, drawn = pictures[0], pictures[1:]
    return {
        "sharpness": measure_sharpness(drawn, photo, label, [1, 2]),
        "pattern": measure_pattern(drawn, photo, label, [1, 2]),
        "tone": measure_tone(drawn, photo, label, [1, 2]),
        "chroma": measure_chroma(drawn, photo, label, [1, 2]),
    }


def test_regions_of_classes_end_at_unknown_pixels() -> None:
    random = torch.Generator().manual_seed(0)
    label = torch.ones(96, 96, dtype=torch.int64)
    label[:, 48:] = 2
    unknown = torch.zeros(96, 96, dtype=torch.bool)
    unknown[30:60, 20:70] = True
    pictures = torch.randint(0, 256, (3, 3, 96, 96), generator=random, dtype=torch.uint8)
    garbage = torch.where(unknown, 255 - pictures, pictures)
    marked = torch.where(unknown, UNKNOWN, label)
    one, other = measured(pictures, marked), measured(garbage, marked)
    known = measured(pictures, label), measured(garbage, label)
    for name in one:
        assert np.array_equal(one[name], other[name]), name
        assert np.isfinite(one[name]).all(), name
        if name != "chroma":  # a count
            assert not np.array_equal(known[0][name], known[1][name]), name


def test_a_head_is_where_it_is_known() -> None:
    label = torch.zeros(64, 64, dtype=torch.int64)
    label[10:60, 10:50] = 1
    label[40:] = UNKNOWN
    sizes = []

    def finder(pictures: Tensor) -> list[bool]:
        sizes.append(pictures)
        return [True] * len(pictures)

    pictures = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0)).to(
        torch.uint8
    )
    measure_faces(pictures[1:], pictures[0], label, [1], finder)
    cropped = label.clone()
    cropped[40:] = 0
    measure_faces(pictures[1:], pictures[0], cropped, [1], finder)
    assert torch.equal(*sizes)
