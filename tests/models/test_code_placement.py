"""Codes in their class's box: where they are pasted, that a pattern moves with its box, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from groupdnet_hub import GroupDNet, GroupDNetConfig
from groupdnet_hub.baselines import build_system, system_config, system_preset
from groupdnet_hub.models.code_placement import code_placement
from groupdnet_hub.models.encoder import split_by_class
from groupdnet_hub.models.encoder_options import cell_colours
from tests.helpers.label_examples import numbered
from tests.helpers.network_models import generator, make_model, maps

BOX = {"code_placement": "box"}


def boxed(size: tuple[int, int], top: int, left: int, height: int, width: int) -> Tensor:
    """A label map [1, H, W] of class 0 with a box of class 1."""
    label = torch.zeros(1, *size, dtype=torch.int64)
    label[:, top : top + height, left : left + width] = 1
    return label


def sampled(first: int, extent: int, step: int, cells: int, places: int, fine: int = 200) -> np.ndarray:
    """The matrix of one axis by many samples of the interpolated code in each cell."""
    shares = np.zeros((cells, places))
    for cell in range(cells):
        for k in range(fine):
            y = (cell + (k + 0.5) / fine) * step
            if first <= y < first + extent:
                place = min(max((y - first) / extent * places - 0.5, 0), places - 1)
                before = min(int(place), places - 2) if places > 1 else 0
                shares[cell, before] += (1 - (place - before)) / fine
                if places > 1:
                    shares[cell, before + 1] += (place - before) / fine
    return shares


@settings(max_examples=30, deadline=None)
@given(data=st.data(), places=st.integers(1, 8))
def test_each_cell_has_the_mean_of_the_code_stretched_over_the_box(data: st.DataObject, places: int) -> None:
    size, grid = (64, 48), (16, 6)
    height, width = (data.draw(st.integers(1, side)) for side in size)
    top, left = data.draw(st.integers(0, 64 - height)), data.draw(st.integers(0, 48 - width))
    placement = code_placement(
        boxed(size, top, left, height, width), 3, grid, (places, places), torch.float64
    )
    rows, columns = placement.rows[0], placement.columns[0]
    np.testing.assert_allclose(rows[1], sampled(top, height, 4, 16, places), atol=0.02)
    np.testing.assert_allclose(columns[1], sampled(left, width, 8, 6, places), atol=0.02)
    assert rows[1].sum() == pytest.approx(height / 4, abs=1e-4)
    assert not rows[2].any()
    assert not columns[2].any()


@pytest.mark.parametrize("by", [1, 3, 8])
def test_the_pasted_code_moves_by_as_many_pixels_as_its_box(by: int) -> None:
    codes = torch.zeros(1, 2, 1, 4, 4, dtype=torch.float64)
    codes[0, 1, 0, 1, 2] = 1
    centres = []
    for shift in (0, by):
        label = boxed((64, 64), 10 + shift, 21 - shift, 30, 24)
        pasted = code_placement(label, 2, (32, 32), (4, 4), torch.float64).paste(codes)[0, 1, 0]
        places = torch.arange(32, dtype=torch.float64) * 2 + 1
        total = pasted.sum()
        assert total == pytest.approx(30 * 24 / 16 / 4, rel=1e-4)
        centres.append([float((pasted.sum(dim) * places).sum() / total) for dim in (1, 0)])
    assert centres[0] == pytest.approx([10 + 30 * 1.5 / 4, 21 + 24 * 2.5 / 4], abs=0.05)
    assert np.subtract(centres[1], centres[0]) == pytest.approx([by, -by], abs=0.05)


@pytest.mark.parametrize("at", [(12, 24), (30, 38), (24, 30)])
def test_what_the_encoder_sees_is_put_back_where_it_was(at: tuple[int, int]) -> None:
    """The mean of each cell of the encoder's crop, as a code, lies where the cell came from."""
    label = boxed((64, 64), 10, 21, 30, 24)
    image = torch.zeros(1, 3, 64, 64)
    image[:, :, at[0] : at[0] + 2, at[1] : at[1] + 2] = 1
    crop = split_by_class(image, label, 2, "crop")[0].view(1, 2, 3, 64, 64)[:, :, :1]
    codes = torch.nn.functional.avg_pool2d(crop.flatten(0, 1), 4).view(1, 2, 1, 16, 16)
    pasted = code_placement(label, 2, (32, 32), (16, 16), torch.float32).paste(codes)[0, 1, 0]
    places = torch.arange(32) * 2 + 1
    centre = [float((pasted.sum(dim) * places).sum() / pasted.sum()) for dim in (1, 0)]
    assert centre == pytest.approx([at[0] + 1, at[1] + 1], abs=1)


@torch.no_grad()
def test_a_box_that_moves_by_a_cell_takes_the_whole_picture_along() -> None:
    """Codes over the frame stay, those in boxes move: with any weights, where the edges are far enough."""
    moved = {}
    for placement in ("box", "frame"):
        model = make_model(2, (512, 64), 2, code_placement=placement, groups=[2, 2, 2, 2, 2])
        first, second = model.sample_codes(2, generator=generator(3)).split(1)
        second[:, 0] = first[:, 0]
        if placement == "box":  # the background's box is the frame
            first[:, 0] = second[:, 0] = 0
        marks = []
        for top in (224, 240):
            label = boxed((512, 64), top, 16, 32, 32)
            label[:, top + 8 : top + 16] = 0
            drawn = [model.decode(codes, label) for codes in (first, second)]
            marks.append((drawn[0] - drawn[1])[0].abs().sum(dim=0))
        moved[placement] = float((marks[1][16:] - marks[0][:-16]).abs().max() / marks[0].max())
    assert moved["box"] < 1e-4 < 0.1 < moved["frame"]


@settings(max_examples=8, deadline=None)
@given(
    kind=st.sampled_from(["one class", "noise", "one pixel", "cells"]),
    count=st.sampled_from([1, 3, 7, 11]),
    batch=st.integers(1, 3),
    size=st.sampled_from([(32, 32), (64, 32), (96, 64)]),
    fields=st.fixed_dictionaries(
        {},
        optional={
            "latent_mode": st.just("vector"),
            "instance_edges": st.just(True),
            "code_grid": st.sampled_from([1, 2, 4]),
            "latent_channels": st.integers(1, 5),
        },
    ),
)
@torch.no_grad()
def test_fast_forms_draw_what_the_plain_network_draws(
    kind: str, count: int, batch: int, size: tuple[int, int], fields: dict
) -> None:
    model = make_model(count, size, 4, **BOX, **fields)
    label = maps(kind, batch, count, size)
    instance = maps("noise", batch, 3, size) if "instance_edges" in fields else None
    codes = model.sample_codes(batch, generator=generator(0))
    redrawn = model.redraw(codes, count - 1, generator=generator(1))
    prepared = model.prepare(label, instance)
    assert prepared.folded
    for drawn in (codes, redrawn, codes):
        expected = model.decode(drawn, model.prepare(label, instance, lookup=False))
        torch.testing.assert_close(model.decode(drawn, prepared), expected, rtol=0, atol=1e-4)
    one = (label[:1], None if instance is None else instance[:1])
    alone = [model.decode(code, *one) for code in redrawn.split(1)]
    one_map = model.prepare(*one)
    torch.testing.assert_close(model.decode(redrawn, one_map), torch.cat(alone), rtol=0, atol=1e-4)


@torch.no_grad()
def test_a_reroll_has_the_bits_of_a_picture_from_the_start() -> None:
    model = make_model(7, (64, 32), 4, **BOX, class_order=(4, 2, 3, 1, 0, 6, 5))
    label = maps("cells", 1, 7, (64, 32))
    codes = model.sample_codes(1, generator=generator(0))
    prepared = model.prepare(label, keep=2)
    pictures = [model.decode(codes, prepared)]
    for class_id in (3, 6, 3, 0):
        codes = model.redraw(codes, class_id, generator=generator(class_id + len(pictures)))
        pictures.append(model.decode(codes, prepared))
        assert pictures[-1].equal(model.decode(codes, model.prepare(label)))
        assert not pictures[-1].equal(pictures[-2])


@pytest.mark.parametrize("fields", [{}, {"latent_mode": "vector"}, {"norm_kind": "group"}], ids=str)
@torch.no_grad()
def test_redrawing_a_class_that_the_map_lacks_changes_nothing(fields: dict) -> None:
    model = make_model(6, (64, 32), 4, **BOX, **fields)
    label = maps("cells", 1, 4, (64, 32))
    codes = model.sample_codes(1, generator=generator(0))
    for lookup in (True, False):
        prepared = model.prepare(label, lookup=lookup)
        before = model.decode(codes, prepared)
        for absent in (4, 5):
            redrawn = model.redraw(codes, absent, generator=generator(absent))
            assert not redrawn.equal(codes)
            assert model.decode(redrawn, prepared).equal(before)
        assert not model.decode(model.redraw(codes, 1, generator=generator(1)), prepared).equal(before)


def test_gradients_reach_the_codes_of_classes_that_are_shown() -> None:
    model = make_model(4, (32, 32), 4, **BOX).requires_grad_(False)
    label = maps("cells", 2, 3, (32, 32))
    codes = model.sample_codes(2, generator=generator(0)).requires_grad_()
    model.decode(codes, label).square().sum().backward()
    assert codes.grad is not None
    assert not codes.grad[:, 3].any()
    assert codes.grad[:, :3].flatten(3).abs().sum(dim=3).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"code_placement": "hat"}, "code_placement is 'hat'; it must be one of 'frame', 'box'"),
        ({"code_grid": 2}, "code_grid is 2 and code_placement 'frame'"),
        ({**BOX, "code_grid": 3}, "code_grid is 3; it must be a power of two"),
        ({**BOX, "code_grid": 16}, "code_grid is 16; it must be a whole number from 1 to 8"),
        ({**BOX, "code_grid": 0}, "code_grid is 0"),
        ({**BOX, "split_mode": "mask"}, "code_placement is 'box' and split_mode 'mask'"),
        ({**BOX, "latent_channels": 4096}, "latent_channels x code_grid x code_grid is 65536"),
    ],
)
def test_refusals(fields: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GroupDNetConfig.for_labels(numbered(4), (32, 32), 4, **fields)


def test_configurations_keep_the_placement() -> None:
    config = GroupDNetConfig.for_labels(numbered(4), (32, 16), 4, **BOX)
    assert (config.code_grid, config.code_channels) == (4, 8 * 16)
    assert GroupDNetConfig.from_json(config.to_json()) == config
    older = GroupDNetConfig.for_labels(numbered(4), (32, 16), 4).to_dict()
    for name in ("code_placement", "code_grid", "encoder_colours"):
        del older[name]
    assert GroupDNetConfig.from_dict(older) == GroupDNetConfig.for_labels(numbered(4), (32, 16), 4)


def test_nothing_breaks_a_compiled_graph_or_waits_for_values() -> None:
    def pasted(codes: Tensor, label: Tensor) -> Tensor:
        return code_placement(label, 4, (16, 16), (4, 4), torch.float32).paste(codes)

    def seen(image: Tensor, label: Tensor) -> Tensor:
        return cell_colours(*split_by_class(image, label, 4, "crop"), (4, 4))

    label, codes = maps("cells", 2, 4, (32, 32)), torch.randn(2, 4, 3, 4, 4, generator=generator(0))
    image = torch.rand(2, 3, 32, 32, generator=generator(1))
    for function, first in ((pasted, codes), (seen, image)):
        whole = torch.compile(function, backend="eager", fullgraph=True)
        assert whole(first, label).equal(function(first, label))
        # Tensors without values: whatever asks for one fails.
        assert function(first.to("meta"), label.to("meta")).shape == function(first, label).shape


@torch.no_grad()
def test_a_model_is_saved_and_loaded_and_its_card_says_so(tmp_path: Path) -> None:
    model = make_model(4, (32, 16), 4, **BOX, encoder_colours=True, prior_rank=1)
    model.save_pretrained(tmp_path / "model")
    again = GroupDNet.from_pretrained(tmp_path / "model")
    assert again.config == model.config
    label, codes = maps("cells", 1, 4, (32, 16)), model.sample_codes(1, generator=generator(0))
    assert again.decode(codes, label).equal(model.decode(codes, label))
    said = "the class's bounding box in the label map"
    assert said in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    make_model(4, (32, 16), 4).save_pretrained(tmp_path / "frame")
    assert said not in (tmp_path / "frame" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name",
    ["GroupDNet", "MulNet", "GroupNet", "GroupEnc", "GroupDNet-without-map", "GroupDNet-with-GroupNorm"],
)
@torch.no_grad()
def test_systems_with_codes_of_classes_can_have_it(name: str) -> None:
    config = system_config(name, numbered(3), (32, 32), 4, **BOX, encoder_colours=True)
    model = build_system(config)
    label = boxed((32, 32), 5, 9, 14, 12).expand(2, -1, -1)
    image = torch.rand(2, 3, 32, 32, generator=generator(0)) * 2 - 1
    noise = torch.randn(2, *config.code_shape, generator=generator(1))
    picture, posterior = model(image, label, noise=noise)
    assert picture.shape == image.shape
    codes = posterior.mode()
    moved = codes.clone()
    moved[:, 2] += 1  # not on the map
    prepared = model.eval().prepare(label)
    assert model.decode(moved, prepared).equal(model.decode(codes, prepared))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("GroupDec", "split_mode 'none': codes belong in their class's box only where"),
        ("GroupDNet-without-split", "split_mode 'none': codes belong in their class's box only where"),
        ("SPADE", "SPADE cannot be configured so"),
        ("pix2pixHD", "pix2pixHD cannot be configured so"),
    ],
)
def test_systems_without_them_refuse(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        system_config(name, numbered(3), (32, 32), 4, **BOX)


def test_a_preset_can_have_boxes() -> None:
    preset = GroupDNetConfig.preset("deepfashion")
    assert system_preset("GroupDNet", "deepfashion") == preset
    assert system_preset("GroupDNet", "deepfashion", **BOX) == preset.replace(**BOX, code_grid=4)
