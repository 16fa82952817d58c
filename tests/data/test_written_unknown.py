"""What stands for unknown pixels in label maps that are written: an id beside the classes, a colour that none has."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groupdnet_hub import LabelSet
from groupdnet_hub.config.presets import free_colour, numbered_palette
from groupdnet_hub.data.label_maps import read_partial_label_map
from groupdnet_hub.data.labels import colour_picture, label_picture
from groupdnet_hub.data.unknown import (
    UNKNOWN,
    describe_unknown,
    grey_unknown,
    mark_unknown,
    percent_unknown,
    written_labels,
)

VOID = (224, 224, 192)


def labels_of(count: int, *ignore: object) -> LabelSet:
    return LabelSet(tuple(f"class {i}" for i in range(count)), numbered_palette(count), ignore)


@pytest.mark.parametrize("ignore", [(255,), ((9, 200, 9),), (0, 4000), (40000, 255)])
@pytest.mark.parametrize("count", [2, 35, 255, 256, 300])
def test_pictures_are_read_as_they_were_drawn(count: int, ignore: tuple[object, ...]) -> None:
    if count > 255:
        ignore = tuple(60000 if value == 255 else value for value in ignore)
    labels = written_labels(labels_of(count, *ignore))
    ids = np.random.default_rng(count).integers(0, count, (9, 7))
    unknown = np.random.default_rng(1).random((9, 7)) < 0.3
    for draw in (label_picture, colour_picture):
        read, found = read_partial_label_map(draw(ids, labels, unknown), labels)
        assert np.array_equal(found, unknown | np.isin(ids, labels.ignored_ids))
        assert np.array_equal(read[~unknown], ids[~unknown])


def test_the_written_label_set_adds_what_is_missing_only() -> None:
    assert written_labels(labels_of(3)) == labels_of(3)
    assert written_labels(labels_of(3, 1)).ignore == (1,)
    assert written_labels(labels_of(3, 255, VOID)).ignore == (255, VOID)
    assert written_labels(labels_of(3, 7)).ignore == (7, VOID)
    assert written_labels(labels_of(256, 255, (1, 2, 3))).ignore == (255, (1, 2, 3), 65535)


def test_unknown_pixels_need_an_id() -> None:
    unknown = np.eye(3, dtype=bool)
    with pytest.raises(ValueError, match="has no id for unknown pixels"):
        label_picture(np.zeros((3, 3), np.int64), labels_of(3), unknown)
    assert label_picture(np.zeros((3, 3), np.int64), labels_of(3), ~unknown & unknown).mode == "P"


def test_a_free_colour_is_that_of_no_class() -> None:
    assert free_colour(numbered_palette(35)) == VOID
    for palette in ([VOID], [(220, 230, 190), (0, 0, 0)], numbered_palette(4096)):
        colour = free_colour(palette)
        assert min(max(abs(a - b) for a, b in zip(colour, one, strict=True)) for one in palette) >= 8
    coarse = [
        (r, g, b) for r in (*range(0, 256, 32), 255) for g in (*range(0, 256, 32), 255) for b in (0, 255)
    ]
    assert free_colour([*coarse, VOID]) not in coarse


def test_the_sentence_counts_and_says_what_is_drawn() -> None:
    label, unknown = np.zeros((10, 100), np.int64), np.zeros((10, 100), bool)
    assert describe_unknown(label, unknown, labels_of(3, 255)) == ""
    unknown[0, 0] = True
    found = describe_unknown(label, unknown, labels_of(3, 255))
    assert found == "1 unknown pixel (0.1 %) of the label map is drawn as the nearest class"
    unknown[1] = True
    label[1] = 2
    found = describe_unknown(label, unknown, labels_of(3, 0, 2))
    assert found == "101 unknown pixels (10.1 %) of the label map are drawn as class 0, class 2"
    assert percent_unknown(1e-6) == "less than 0.1 %"
    assert percent_unknown(0) == "0.0 %"


def test_pictures_and_maps_at_unknown_pixels() -> None:
    unknown = torch.tensor([[True, False], [False, False]])
    picture = torch.full((2, 3, 2, 2), 0.5)
    grey = grey_unknown(picture, unknown)
    assert (grey[:, :, 0, 0] == 0).all()
    assert (grey.flatten(2)[..., 1:] == 0.5).all()
    assert grey_unknown(picture, None) is picture
    label = torch.tensor([[2, 2], [1, 0]])
    assert mark_unknown(label, unknown).tolist() == [[UNKNOWN, 2], [1, 0]]
    assert mark_unknown(label, None) is label
