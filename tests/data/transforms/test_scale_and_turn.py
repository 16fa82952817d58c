"""Random scales and turns: picture and maps stay together, and people who are cut off do not continue."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from groupdnet_hub.data.transforms.moves import Moves, move_item
from groupdnet_hub.data.transforms.placement import Placement
from tests.helpers.placed_items import figure, item


def smooth(label: Tensor) -> dict[str, Tensor]:
    """An item whose picture tells the place (row, column) that each pixel was sampled at, and whose ids the pixel."""
    H, W = label.shape
    rows, columns = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    image = torch.stack((rows, columns, label)).float()
    return {"image": image, "label": label, "instance": rows * W + columns}


def test_picture_and_maps_are_sampled_at_the_same_places() -> None:
    label = figure()
    W = label.shape[1]
    for index in range(20):
        given = smooth(label)
        moved = Placement(random_scale=0.2, random_turn=15, random_flip=True)(given, 0, index)
        rows, columns = moved["image"][:2]
        assert torch.equal(moved["label"], label.flatten()[moved["instance"]])
        assert float((rows - moved["instance"] // W).abs().max()) <= 0.5 + 1e-3
        assert float((columns - moved["instance"] % W).abs().max()) <= 0.5 + 1e-3
        assert moved["label"].dtype == moved["instance"].dtype == torch.int64


def test_sides_and_angles_are_those_asked_for() -> None:
    given = smooth(figure(41, 31))
    larger = move_item(given, Moves(turn=(1.25, 0)))["image"]
    torch.testing.assert_close(larger[0, :, 15], (torch.arange(41) - 20) / 1.25 + 20)
    torch.testing.assert_close(larger[1, 20], (torch.arange(31) - 15) / 1.25 + 15)
    smaller = move_item(given, Moves(turn=(0.5, 0)))["image"]
    torch.testing.assert_close(smaller[1, 20], ((torch.arange(31) - 15) * 2.0 + 15).clamp(0, 30))
    turned = move_item(given, Moves(turn=(1, 90)))
    torch.testing.assert_close(turned["image"][1, :, 15], (35 - torch.arange(41.0)).clamp(0, 30))
    same = move_item(given, Moves(turn=(1, 0)))
    assert all(torch.allclose(same[name].float(), given[name].float(), atol=1e-4) for name in given)


def test_anticlockwise() -> None:
    """What is at the right goes up."""
    label = torch.zeros(21, 21, dtype=torch.int64)
    label[10, 16] = 1
    turned = move_item(item(label), Moves(turn=(1, 90)))["label"]
    assert turned.nonzero().tolist() == [[4, 10]]


def test_draws_are_seeded_and_fill_their_range() -> None:
    given = smooth(figure(41, 31))
    placement = Placement(random_scale=0.1, random_turn=4, seed=2)
    factors, angles = [], []
    for index in range(200):
        rows, columns = placement(given, 0, index)["image"][:2]
        down, right = rows[21, 15] - rows[19, 15], columns[21, 15] - columns[19, 15]
        factors.append(2 / float(torch.hypot(down, right)))
        angles.append(float(torch.rad2deg(torch.atan2(-right, down))))
    assert 0.9 - 1e-3 <= min(factors) < 0.91
    assert 1.09 < max(factors) <= 1.1 + 1e-3
    assert -4 - 1e-2 <= min(angles) < -3.8
    assert 3.8 < max(angles) <= 4 + 1e-2
    again = placement(given, 0, 7)["image"]
    assert torch.equal(again, placement(given, 0, 7)["image"])
    assert not torch.equal(again, placement(given, 1, 7)["image"])
    assert not torch.equal(again, Placement(random_scale=0.1, random_turn=4, seed=3)(given, 0, 7)["image"])


def test_flips_and_shifts_stay_what_they_are_without() -> None:
    given = item(figure())
    without = Placement(random_flip=True, random_shift=0.2, seed=5)
    tiny = Placement(random_flip=True, random_shift=0.2, random_turn=1e-6, seed=5)
    for index in range(10):
        assert torch.equal(without(given, 0, index)["instance"], tiny(given, 0, index)["instance"])


@pytest.mark.parametrize("cut", ["bottom", "left", "bottom and top", "bottom, left and right"])
def test_nothing_is_seen_beyond_an_edge_at_which_someone_is_cut_off(cut: str) -> None:
    label = figure()
    label[28:, 10:20] = 1
    if "top" in cut:
        label[:12, 10:20] = 1
    if "left" in cut:
        label[14:20, :10] = 1
        label[28:, 10:20] = 1 if "bottom" in cut else 0
    if "right" in cut:
        label[14:20, 20:] = 1
    placement = Placement(random_scale=0.2, random_turn=8)
    beyond = {"top": 0, "bottom": 0, "left": 0, "right": 0}
    for index in range(60):
        rows, columns = placement(smooth(label), 0, index)["image"][:2]
        # The edge's line seen twice is a place from beyond it.
        beyond["top"] += int((rows[0] == rows[1]).any())
        beyond["bottom"] += int((rows[-1] == rows[-2]).any())
        beyond["left"] += int((columns[:, 0] == columns[:, 1]).any())
        beyond["right"] += int((columns[:, -1] == columns[:, -2]).any())
    for side, times in beyond.items():
        if side in cut:
            assert times == 0, side
        elif (
            cut != "bottom, left and right"
        ):  # there the item is enlarged so far that the top is seldom reached
            assert times > 5, side


def test_a_turn_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"random_turn is 100; it must lie from 0 to 90 degrees"):
        Placement(random_turn=100)
    with pytest.raises(ValueError, match=r"random_scale is 1; it must lie from 0 up to less than 1"):
        Placement(random_scale=1)
