"""The pipeline on label maps with unknown pixels, of a model whose configuration says which values these are."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from groupdnet_hub import GroupDNet, GroupDNetConfig, GroupDNetPipeline, LabelSet, Look

NAMES = ("sky", "house", "road", "car")
VOID = (224, 224, 192)


def pipeline(*ignore: object, names: tuple[str, ...] = NAMES) -> GroupDNetPipeline:
    labels = LabelSet(names, LabelSet.from_names(names).palette, ignore)
    model = GroupDNet(GroupDNetConfig.for_labels(labels, image_size=(32, 48), width=4))
    for parameter in model.parameters():
        parameter.data.mul_(8 if parameter.ndim == 4 else 1)
    return GroupDNetPipeline(model)


@pytest.fixture(scope="module")
def pipe() -> GroupDNetPipeline:
    return pipeline(255, VOID)


@pytest.fixture
def known() -> np.ndarray:
    label = np.zeros((32, 48), dtype=np.int64)
    label[12:, 10:30] = 1
    label[24:] = 2
    return label


@pytest.fixture
def partial(known: np.ndarray) -> np.ndarray:
    """The left edge of the house, the road's middle and the corner of the sky are unknown."""
    label = known.copy()
    label[14:20, 10:12] = label[28:, 20:40] = label[:4, :4] = 255
    return label


def pixels(look: Look) -> np.ndarray:
    return np.asarray(look.image).astype(int)


def photo(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (32, 48, 3), dtype=np.uint8)


def test_unknown_pixels_are_drawn_as_the_nearest_class_and_the_log_says_so(
    pipe: GroupDNetPipeline, known: np.ndarray, partial: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    filled = known.copy()
    filled[14:20, 10] = 0  # the sky is nearer
    with caplog.at_level(logging.INFO, "groupdnet_hub"):
        look = pipe.sample(partial, seed=3)
    assert [record.message for record in caplog.records] == [
        f"{(partial == 255).sum()} unknown pixels (7.0 %) of the label map are drawn as the nearest class"
    ]
    assert np.array_equal(look.mask, filled)
    assert np.array_equal(pixels(look), pixels(pipe.sample(filled, seed=3)))
    caplog.clear()
    pipe.reroll(look, "house", seed=1)
    pipe.sample(known, seed=3)
    assert not caplog.records, "a look's own map is known, and so is a map without such pixels"


def test_colours_of_unknown_pixels_are_known_too(
    pipe: GroupDNetPipeline, partial: np.ndarray, tmp_path: Path
) -> None:
    colours = np.array(pipe.labels.palette, dtype=np.uint8)[np.where(partial == 255, 0, partial)]
    colours[partial == 255] = VOID
    Image.fromarray(colours).save(tmp_path / "map.png")
    assert np.array_equal(pipe.sample(tmp_path / "map.png", seed=0).mask, pipe.sample(partial, seed=0).mask)


def test_a_model_that_ignores_nothing_refuses_them(known: np.ndarray, partial: np.ndarray) -> None:
    with pytest.raises(ValueError, match="255 is not a class id"):
        pipeline().sample(partial)


def test_the_dont_care_class_takes_them(partial: np.ndarray, caplog: pytest.LogCaptureFixture) -> None:
    pipe = pipeline(255, 3)
    with caplog.at_level(logging.INFO, "groupdnet_hub"):
        look = pipe.sample(partial, seed=0)
    assert set(look.mask[partial == 255]) == {3}
    assert "are drawn as car" in caplog.text
    caplog.clear()
    pipe.sample(look.mask, seed=0)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_the_dont_care_class_of_cityscapes_takes_them(caplog: pytest.LogCaptureFixture) -> None:
    names = ("unlabeled", *(f"class {i}" for i in range(1, 35)))
    label = np.full((32, 48), 7)
    label[:8] = 255
    look = pipeline(255, names=names).sample(label, seed=0)
    assert (look.mask[:8] == 0).all()
    assert "are drawn as unlabeled" in caplog.text


def test_what_a_photo_shows_at_unknown_pixels_is_of_no_code(
    pipe: GroupDNetPipeline, partial: np.ndarray
) -> None:
    """Other pixels there give the same codes to the last bit; elsewhere they do not."""
    one, other = photo(), photo()
    other[partial == 255] = 255 - other[partial == 255]
    assert np.array_equal(pipe.encode(one, partial).codes.tensor, pipe.encode(other, partial).codes.tensor)
    other[5, 20] ^= 255
    assert not np.array_equal(
        pipe.encode(one, partial).codes.tensor, pipe.encode(other, partial).codes.tensor
    )
    filled = pipe.sample(partial, seed=0).mask
    assert not torch.equal(pipe.encode(one, partial).codes.tensor, pipe.encode(one, filled).codes.tensor)


def test_more_unknown_pixels_can_be_named(
    pipe: GroupDNetPipeline, known: np.ndarray, partial: np.ndarray
) -> None:
    by_map, by_name = pipe.encode(photo(), partial), pipe.encode(photo(), known, unknown=partial == 255)
    assert torch.equal(by_map.codes.pick("road"), by_name.codes.pick("road"))
    with pytest.raises(ValueError, match=r"unknown is bool \(4, 4\); it must be bool \(32, 48\)"):
        pipe.encode(photo(), known, unknown=np.zeros((4, 4), bool))


def test_a_class_that_only_unknown_pixels_are_drawn_as_keeps_its_drawn_code(partial: np.ndarray) -> None:
    pipe = pipeline(255, 3)
    encoded, drawn = pipe.encode(photo(), partial, seed=5), pipe.sample(partial, seed=5)
    assert torch.equal(encoded.codes.pick("car"), drawn.codes.pick("car"))
    assert not torch.equal(encoded.codes.pick("sky"), drawn.codes.pick("sky"))
    nothing = pipe.encode(photo(), np.full((32, 48), 255), seed=5)
    assert torch.equal(nothing.codes.tensor, drawn.codes.tensor)


def test_maps_of_other_sizes_edits_and_mixes(pipe: GroupDNetPipeline, partial: np.ndarray) -> None:
    look = pipe.sample(partial, seed=2)
    double = partial.repeat(2, axis=0).repeat(2, axis=1)
    assert np.array_equal(pipe.sample(double, seed=2).mask, look.mask)
    for other in (pipe.edit(look, partial), pipe.mix(partial, {"house": look}, base=look)):
        assert np.array_equal(pixels(other), pixels(look))
    fresh = pipe.edit(look, partial, seed=9)
    assert torch.equal(fresh.codes.tensor, look.codes.tensor), "no class is new to the map"


def test_a_map_without_a_known_pixel_is_refused(pipe: GroupDNetPipeline) -> None:
    with pytest.raises(ValueError, match="all pixels of the label map are unknown"):
        pipe.sample(np.full((32, 48), 255))


def test_a_saved_look_holds_what_was_drawn(
    pipe: GroupDNetPipeline, partial: np.ndarray, tmp_path: Path
) -> None:
    look = pipe.sample(partial, seed=4)
    look.save(tmp_path / "look")
    loaded = Look.load(tmp_path / "look")
    assert np.array_equal(loaded.mask, look.mask)
    assert np.array_equal(
        pixels(pipe.reroll(loaded, "road", seed=1)), pixels(pipe.reroll(look, "road", seed=1))
    )


def test_a_saved_model_still_knows_them(pipe: GroupDNetPipeline, partial: np.ndarray, tmp_path: Path) -> None:
    pipe.model.save_pretrained(tmp_path / "model")
    again = GroupDNetPipeline.from_pretrained(tmp_path / "model")
    assert again.labels.ignore == (255, VOID)
    assert np.array_equal(pixels(again.sample(partial, seed=1)), pixels(pipe.sample(partial, seed=1)))
    card = (tmp_path / "model" / "README.md").read_text()
    assert "| 255 | unknown, drawn as the nearest class |" in card
    assert "| | unknown, drawn as the nearest class | 224, 224, 192 |" in card
