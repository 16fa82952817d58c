"""Codes that are whole on another label map: which cell each takes its code from, and what a model makes of it."""

from __future__ import annotations

import pytest
import torch

from groupdnet_hub import GroupDNetConfig
from groupdnet_hub.models.code_filling import filled, nearest_shown_cells
from tests.helpers.label_examples import numbered
from tests.helpers.network_models import generator, make_model, maps


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
