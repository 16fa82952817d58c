"""A print stays on its cloth: a small network learns to draw marks from codes, and then the cloth moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub import AppearanceCodes, GroupDNet, GroupDNetConfig, GroupDNetPipeline, LabelSet, Look

SIDE = 32
LABELS = LabelSet.from_names(["background", "cloth"])
STEPS, BATCH = 120, 8
# Where the cloth lies at first: top, left, height, width; and the cell of the 4x4 code that has the mark.
BOX, CELL = (5, 4, 18, 16), (2, 1)
MOVES = [(1, 0), (3, 2), (5, 5), (8, 3)]


def cloth(box: Tensor) -> Tensor:
    """Label maps int64 [B, SIDE, SIDE] of boxes [B, 4] (top, left, height, width)."""
    places = torch.arange(SIDE)
    rows, columns = (
        (places >= box[:, axis, None]) & (places < (box[:, axis] + box[:, axis + 2])[:, None])
        for axis in (0, 1)
    )
    return (rows[:, :, None] & columns[:, None]).long()


def marked_codes(cell: Tensor) -> Tensor:
    """Codes [B, 2, 1, 4, 4] of cloths with a mark in one cell, [B, 2]."""
    codes = torch.zeros(len(cell), 2, 1, 4, 4)
    codes[torch.arange(len(cell)), 1, 0, cell[:, 0], cell[:, 1]] = 4
    return codes


def mark_centre(box: Tensor, cell: Tensor) -> Tensor:
    """Where the mark belongs, [B, 2] in pixels."""
    return box[:, :2] + box[:, 2:] * (cell + 0.5) / 4


def pictures(box: Tensor, cell: Tensor) -> Tensor:
    """Dark pictures [B, 3, SIDE, SIDE] with a bright mark on the cloth."""
    places = torch.arange(SIDE) + 0.5
    rows, columns = (places - centre[:, None] for centre in mark_centre(box, cell).unbind(1))
    mark = torch.exp(-(rows[:, :, None] ** 2 + columns[:, None] ** 2) / 8)
    return (1.6 * mark * cloth(box) - 0.8)[:, None].expand(-1, 3, -1, -1)


def trained(placement: str) -> GroupDNet:
    """A network that has seen marks on cloths of many places and sizes."""
    model = GroupDNet(
        GroupDNetConfig.for_labels(LABELS, (SIDE, SIDE), 6, code_placement=placement, latent_channels=1)
    ).train()
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(model.decoder.parameters())
    for step in range(STEPS):
        size = torch.randint(14, 20, (BATCH, 2), generator=generator)
        corner = (torch.rand(BATCH, 2, generator=generator) * (SIDE - size + 1)).long()
        box, cell = torch.cat((corner, size), dim=1), torch.randint(0, 4, (BATCH, 2), generator=generator)
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - step / STEPS)
        loss = F.mse_loss(model.decode(marked_codes(cell), cloth(box)), pictures(box, cell))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def seen_mark(picture: Tensor) -> tuple[np.ndarray, float]:
    """(centre (row, column), brightness) of the mark in a picture [3, H, W] in [-1, 1]."""
    grey = picture.mean(dim=0)
    weight = (grey + 0.5).clamp(min=0) + 1e-9
    places = torch.arange(SIDE) + 0.5
    centre = [float((weight.sum(dim) * places).sum() / weight.sum()) for dim in (1, 0)]
    return np.array(centre), float(grey.max())


@torch.no_grad()
def drawn(model: GroupDNet, by: tuple[int, int]) -> tuple[np.ndarray, float]:
    box = torch.tensor([BOX]) + torch.tensor([[*by, 0, 0]])
    return seen_mark(model.decode(marked_codes(torch.tensor([CELL])), cloth(box))[0])


@pytest.fixture(scope="module")
def in_box() -> GroupDNet:
    return trained("box")


def test_a_mark_moves_with_its_box_by_as_many_pixels(in_box: GroupDNet) -> None:
    start, bright = drawn(in_box, (0, 0))
    assert bright > 0.3
    assert start == pytest.approx(mark_centre(torch.tensor([BOX]), torch.tensor([CELL]))[0].numpy(), abs=0.6)
    for by in MOVES:
        centre, bright = drawn(in_box, by)
        assert bright > 0.3
        assert centre - start == pytest.approx(by, abs=0.6)


def test_codes_over_the_frame_give_no_mark_that_moves_along() -> None:
    """The same network, training and codes but for the placement: the mark is faint, or stays."""
    model = trained("frame")
    start, _ = drawn(model, (0, 0))
    errors = []
    for by in MOVES:
        centre, bright = drawn(model, by)
        assert bright < 0.2
        errors.append(np.abs(centre - start - by).max())
    assert max(errors) > 1


def look(model: GroupDNet, cell: tuple[int, int]) -> Look:
    """A look with a mark in some cell of the cloth's code."""
    codes = AppearanceCodes(marked_codes(torch.tensor([cell]))[0], LABELS)
    mask = cloth(torch.tensor([BOX]))[0].numpy()
    return GroupDNetPipeline(model).mix(mask, {}, Look(Image.new("RGB", (SIDE, SIDE)), codes, mask))


def seen_in(look: Look) -> np.ndarray:
    return seen_mark(torch.from_numpy(np.asarray(look.image) / 127.5 - 1).permute(2, 0, 1))[0]


def test_edit_and_mix_keep_the_print_on_the_cloth(in_box: GroupDNet) -> None:
    pipe = GroupDNetPipeline(in_box)
    base, other = look(in_box, CELL), look(in_box, (0, 2))
    for box in ((9, 12, 18, 16), (3, 8, 24, 20), (14, 3, 14, 14)):
        mask = cloth(torch.tensor([box]))[0].numpy()
        for seen, cell in ((pipe.edit(base, mask), CELL), (pipe.mix(mask, {"cloth": other}, base), (0, 2))):
            wanted = mark_centre(torch.tensor([box]), torch.tensor([cell]))[0].numpy()
            assert seen_in(seen) == pytest.approx(wanted, abs=1)
