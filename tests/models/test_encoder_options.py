"""The encoder's options.

Colours for its last layers: what they are, and that codes tell colours apart that norms take away. Codes that are whole
on another label map: which cell each takes its code from, and what a model makes of it.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from groupdnet_hub import GroupDNet, GroupDNetConfig
from groupdnet_hub.models.encoder import split_by_class
from groupdnet_hub.models.encoder_options import cell_colours, filled, nearest_shown_cells
from tests.helpers.label_examples import numbered
from tests.helpers.network_models import generator, make_model, maps

SIZE = (64, 32)


def two_pictures() -> tuple[Tensor, Tensor]:
    """(pictures [2, 3, H, W], label maps): plain colours a class; class 2 is twice as bright in the second."""
    label = maps("cells", 1, 4, SIZE).expand(2, -1, -1)
    colours = torch.tensor([[0.1, -0.3, 0.2], [0.5, 0.2, -0.4], [0.3, 0.15, 0.05], [-0.6, 0.7, 0.1]])
    image = colours[label].permute(0, 3, 1, 2).clone()
    image[1] *= torch.where(label[1] == 2, 2.0, 1.0)
    return image, label


def changes(model: GroupDNet) -> Tensor:
    """Largest difference of the two pictures' codes, for each class [C]."""
    with torch.no_grad():
        mean = model.encode(*two_pictures()).mean
    return (mean[0] - mean[1]).abs().flatten(1).amax(dim=1)


@pytest.mark.parametrize(
    "fields",
    [{}, {"split_mode": "mask"}, {"latent_mode": "vector"}, {"class_order": (2, 3, 0, 1)}],
    ids=str,
)
def test_the_brightness_of_a_plain_garment_shows_in_its_code_alone(fields: dict[str, object]) -> None:
    without = changes(make_model(4, SIZE, 4, **fields))
    with_colours = changes(make_model(4, SIZE, 4, encoder_colours=True, **fields))
    # Without them only the epsilon of the norms tells.
    assert with_colours[2] > 0.02
    assert with_colours[2] > 20 * without[2]
    assert not with_colours[[0, 1, 3]].any()


@pytest.mark.parametrize("mode", ["crop", "mask"])
def test_cells_hold_the_mean_of_their_pixels_and_their_share(mode: str) -> None:
    label = maps("noise", 2, 3, (16, 8)).clamp(max=1)
    label[1] = 0
    label[1, 3:7, 2:5] = 1
    image = torch.rand(2, 3, 16, 8, generator=generator(0)) * 2 - 1
    split, shown = split_by_class(image, label, 3, mode)
    colours = cell_colours(split, shown, (4, 2))
    assert colours.shape == (2, 3, 4, 4, 2)
    assert not colours[:, 2].any()  # nothing is class 2
    for b, c, y, x in ((0, 0, 1, 1), (0, 1, 3, 0), (1, 1, 0, 1), (1, 1, 1, 0), (1, 0, 2, 1)):
        here = (slice(4 * y, 4 * y + 4), slice(4 * x, 4 * x + 4))
        mask = shown[b, c][here]
        assert float(colours[b, c, 3, y, x]) == pytest.approx(float(mask.float().mean()))
        pixels = split[b, 3 * c : 3 * c + 3][:, here[0], here[1]][:, mask]
        expected = pixels.mean(dim=1) if mask.any() else torch.zeros(3)
        torch.testing.assert_close(colours[b, c, :3, y, x], expected)


def test_gradients_reach_the_new_weights_of_every_class() -> None:
    model = make_model(4, SIZE, 4, encoder_colours=True).train()
    model.encode(*two_pictures()).kl().sum().backward()
    grad = model.encoder.mean.weight.grad
    assert grad is not None
    assert grad[:, -4:].flatten(1).abs().sum(dim=1).all()


@pytest.mark.parametrize(
    "fields",
    [{"split_mode": "none"}, {"encoder_grouped": False}, {"encoder_grouped": False, "split_mode": "none"}],
    ids=str,
)
def test_an_encoder_that_does_not_keep_classes_apart_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(
        ValueError, match="encoder_colours gives each class's group the colours of its pixels"
    ):
        GroupDNetConfig.for_labels(numbered(4), SIZE, 4, encoder_colours=True, **fields)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="encoder_colours is 1; it must be one of True, False"):
        GroupDNetConfig.for_labels(numbered(4), SIZE, 4, encoder_colours=1)


# -- codes of places where a class is not shown -------------------------------------------------------------------


def test_cells_that_show_little_take_the_nearest_that_shows_enough() -> None:
    shown = torch.zeros(1, 2, 8, 8, dtype=torch.bool)
    shown[0, 0, :2, :2] = True  # the first cell, whole
    shown[0, 0, 6:, 6:] = True  # the last one, whole
    shown[0, 0, 2, 0] = True  # a quarter of the cell below the first: not enough
    cells = nearest_shown_cells(shown, (4, 4)).view(2, 4, 4)
    assert cells[0].tolist() == [[0, 0, 0, 0], [0, 0, 0, 15], [0, 0, 15, 15], [0, 15, 15, 15]]
    assert cells[1].flatten().tolist() == list(range(16)), "an absent class keeps its own"


def test_distances_are_those_of_the_picture() -> None:
    """Cells of a code are as high and wide as their part of the picture."""
    shown = torch.zeros(1, 1, 16, 4, dtype=torch.bool)
    shown[0, 0, :4, :2] = shown[0, 0, 12:, 2:] = True
    cells = nearest_shown_cells(shown, (4, 2)).view(4, 2)
    assert cells.tolist() == [[0, 0], [0, 0], [7, 7], [7, 7]]


def test_values_come_from_these_cells() -> None:
    values = torch.arange(2 * 3 * 4, dtype=torch.float32).view(1, 2, 3, 2, 2)
    cells = torch.tensor([[[0, 0, 3, 3], [1, 1, 1, 1]]])
    found = filled(values, cells)
    assert torch.equal(found[0, 0, :, 0, 1], values[0, 0, :, 0, 0])
    assert torch.equal(found[0, 0, :, 1], values[0, 0, :, 1, 1:].expand(-1, 2))
    assert torch.equal(found[0, 1], values[0, 1, :, 0, 1][:, None, None].expand(-1, 2, 2))


@torch.no_grad()
def test_what_covers_a_garment_leaves_no_hole_in_its_code() -> None:
    """A garment of one colour, part of which something else covers, has one code everywhere."""
    fields = {"encoder_colours": True, "code_placement": "box", "code_grid": 2}
    label = torch.zeros(1, 64, 64, dtype=torch.int64)
    label[:, 8:56, 8:56] = 1
    label[:, 8:40, 24:40] = 2  # an arm before it
    image = torch.tensor([-1.0, 0.6, 0.1])[label][:, None].expand(-1, 3, -1, -1).contiguous()
    spreads = []
    for filling in ("none", "nearest"):
        model = make_model(3, (64, 64), 4, **fields, code_filling=filling)
        mean = model.encode(image, label).mean[0, 1]
        corner = mean[:, -1:, :1]
        spreads.append((mean - corner).abs().amax(dim=(1, 2)).sum().item())
    assert spreads[1] < spreads[0]
    posterior = model.encode(image, label)
    top_middle, beside = (
        posterior.mean[0, 1, :, 0, posterior.mean.shape[-1] // 2],
        posterior.mean[0, 1, :, 0, 0],
    )
    assert torch.equal(top_middle, beside) or torch.equal(top_middle, posterior.mean[0, 1, :, 0, -1])


def test_it_trains_and_compiles_whole() -> None:
    model = make_model(4, (32, 32), 4, code_filling="nearest").train()
    label = maps("cells", 2, 4, (32, 32))
    image = torch.rand(2, 3, 32, 32, generator=generator(0)) * 2 - 1
    posterior = model.encode(image, label)
    (posterior.mean.square().sum() + posterior.logvar.square().sum()).backward()
    assert all(parameter.grad is not None for parameter in model.encoder.parameters())

    def cells(shown: torch.Tensor) -> torch.Tensor:
        return nearest_shown_cells(shown, (2, 2))

    shown = torch.rand(2, 4, 32, 32, generator=generator(1)) > 0.5
    assert torch.compile(cells, backend="eager", fullgraph=True)(shown).equal(cells(shown))
    assert cells(shown.to("meta")).shape == (2, 4, 4)


def test_older_configurations_have_none_and_wrong_ones_are_refused() -> None:
    older = GroupDNetConfig.for_labels(numbered(4), (32, 16), 4).to_dict()
    del older["code_filling"]
    assert GroupDNetConfig.from_dict(older).code_filling == "none"
    with pytest.raises(ValueError, match="code_filling is 'all'; it must be one of 'none', 'nearest'"):
        GroupDNetConfig.for_labels(numbered(4), (32, 16), 4, code_filling="all")
    with pytest.raises(ValueError, match="code_filling is 'nearest': it needs encoder_grouped"):
        GroupDNetConfig.for_labels(numbered(4), (32, 16), 4, code_filling="nearest", split_mode="none")
