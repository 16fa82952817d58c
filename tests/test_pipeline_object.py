"""The pipeline as an object: where it is, moving, saving and loading it; and how looks show themselves."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from groupdnet_hub import GroupDNet, GroupDNetConfig, GroupDNetPipeline, LabelSet, Looks
from tests.helpers.hub_models import fingerprint, make_model

MASK = np.arange(32 * 32).reshape(32, 32) // 350


@pytest.fixture
def pipe() -> GroupDNetPipeline:
    return GroupDNetPipeline(make_model())


def test_moving(pipe: GroupDNetPipeline) -> None:
    assert (pipe.device, pipe.dtype) == (torch.device("cpu"), torch.float32)
    before = pipe.sample(MASK, seed=0)
    assert pipe.prepared_maps.maps
    assert pipe.to("cpu", torch.bfloat16) is pipe
    assert pipe.dtype == pipe.model.dtype == torch.bfloat16
    assert not pipe.prepared_maps.maps, "prepared by weights that are no longer there"
    half = pipe.sample(MASK, seed=0)
    assert np.abs(np.asarray(half.image, int) - np.asarray(before.image, int)).max() < 16
    for places, named in (
        (["float16"], {}),
        ([], {"dtype": torch.float16}),
        ([torch.float16], {"device": "cpu"}),
    ):
        pipe.to(torch.float32)
        assert pipe.to(*places, **named).dtype == torch.float16


def test_the_default_cache_goes_with_the_device() -> None:
    pipe = GroupDNetPipeline(make_model())
    assert pipe.prepared_maps.limit == 512 * 2**20
    assert pipe.to("meta").prepared_maps.limit == 2048 * 2**20
    assert GroupDNetPipeline(make_model(), cache_bytes=7).to("meta").prepared_maps.limit == 7


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ((torch.int8,), r"dtype is torch.int8; it must be"),
        (("gpu",), "device is 'gpu', which is not a device"),
        (("cpu", "cpu"), "to is given 2 values for device: 'cpu', 'cpu'"),
        ((torch.float16, "float32"), "to is given 2 values for dtype"),
    ],
)
def test_places_that_are_none(pipe: GroupDNetPipeline, places: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pipe.to(*places)
    assert pipe.dtype == torch.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_generator_on_another_device_than_the_model(pipe: GroupDNetPipeline) -> None:
    drawn = [pipe.sample(MASK, generator=torch.Generator("cuda").manual_seed(0)) for _ in range(2)]
    assert torch.equal(drawn[0].codes.tensor, drawn[1].codes.tensor)


def test_saving_and_loading(pipe: GroupDNetPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path / "model")
    again = GroupDNetPipeline.from_pretrained(tmp_path / "model")
    assert fingerprint(again.model) == fingerprint(pipe.model)
    assert np.array_equal(np.asarray(again.sample(MASK, 1).image), np.asarray(pipe.sample(MASK, 1).image))
    assert (
        GroupDNetPipeline.from_pretrained(tmp_path, subfolder="model", torch_dtype=torch.float16).dtype
        == torch.float16
    )


def test_everything_says_what_it_is_in_one_line(pipe: GroupDNetPipeline) -> None:
    look = pipe.sample(MASK, seed=3)
    assert repr(look) == "Look(32x32, seed 3: sky, house, road)"
    assert repr(pipe.encode(look.image, MASK)) == "Look(32x32: sky, house, road)"
    assert (
        repr(look.codes)
        == f"AppearanceCodes(3 classes, {'x'.join(map(str, look.codes.tensor.shape[1:]))} each)"
    )
    assert repr(pipe) == "GroupDNetPipeline(3 classes, 32x32, cpu, float32)"
    names = [f"class {number}" for number in range(20)]
    many = GroupDNetPipeline(
        GroupDNet(GroupDNetConfig.for_labels(LabelSet.from_names(names), (32, 32), width=4))
    )
    shown = repr(many.sample(np.arange(32 * 32).reshape(32, 32) % 20, seed=0))
    assert shown.startswith("Look(32x32, seed 0: class 0, class 1, ")
    assert shown.endswith(", class 7 and 12 more)")


def test_pictures_show_themselves_in_notebooks(pipe: GroupDNetPipeline) -> None:
    looks = pipe.sample(MASK, seed=range(10))
    shown = Image.open(io.BytesIO(looks[0]._repr_png_()))
    assert np.array_equal(np.asarray(shown), np.asarray(looks[0].image))
    grid = Image.open(io.BytesIO(looks._repr_png_() or b""))
    assert grid.size == (8 * 36 - 4, 2 * 36 - 4)
    assert np.array_equal(np.asarray(grid)[36:, 36:68], np.asarray(looks[9].image))
    assert Looks()._repr_png_() is None
    many = Image.open(io.BytesIO(Looks([looks[0]] * 100)._repr_png_() or b""))
    assert many.size == (8 * 36 - 4, 8 * 36 - 4)


def test_a_list_of_looks_is_a_list(pipe: GroupDNetPipeline) -> None:
    looks = pipe.sample(MASK, seed=range(5))
    assert isinstance(looks, list)
    assert isinstance(looks[1:3], Looks)
    assert looks[1:3] == [looks[1], looks[2]]
    assert looks.images == [look.image for look in looks]
    assert looks.grid(columns=2, gap=0).size == (64, 96)
    with pytest.raises(ValueError, match="columns is 0"):
        looks.grid(columns=0)
