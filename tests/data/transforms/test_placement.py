"""Random flips and shifts: a picture and its maps move together, and people who are cut off do not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from groupdnet_hub.data.transforms.moves import Moves
from groupdnet_hub.data.transforms.placement import Placement
from tests.helpers.placed_items import figure, item


def moves(placement: Placement, given: dict[str, Tensor], draws: int = 60) -> list[tuple[int, int]]:
    """(down, right) of each draw; fails if picture and maps differ, or the edge is not repeated."""
    H, W = given["label"].shape
    found = []
    for index in range(draws):
        moved = placement(given, epoch=0, index=index)
        rows, columns = moved["instance"] // W, moved["instance"] % W
        down = int((torch.arange(H) - rows[:, 0])[H // 2])
        right = int((torch.arange(W) - columns[0])[W // 2])
        assert torch.equal(rows[:, 0], (torch.arange(H) - down).clamp(0, H - 1))
        assert torch.equal(columns[0], (torch.arange(W) - right).clamp(0, W - 1))
        assert torch.equal(moved["label"], given["label"][rows, columns])
        assert torch.equal(moved["image"], given["image"][:, rows, columns])
        found.append((down, right))
    return found


def test_a_shift_is_seeded_and_reaches_its_share_on_all_sides() -> None:
    given = item(figure())
    found = moves(Placement(random_shift=0.2, seed=3), given)
    downs, rights = zip(*found, strict=True)
    assert (min(downs), max(downs)) == (-8, 8)
    assert (min(rights), max(rights)) == (-6, 6)
    assert len(set(downs)) > 12
    assert len(set(rights)) > 9
    assert found == moves(Placement(random_shift=0.2, seed=3), given)
    assert found != moves(Placement(random_shift=0.2, seed=4), given)
    epochs = [Placement(random_shift=0.2, seed=3)(given, epoch, index=0)["instance"] for epoch in (0, 1, 0)]
    assert torch.equal(epochs[0], epochs[2])
    assert not torch.equal(epochs[0], epochs[1])


def test_who_is_cut_off_moves_away_from_the_other_edges_only() -> None:
    """Half a body is cut off by the bottom: moved up, it would have to continue."""
    label = figure()
    label[28:, 10:20] = 1
    downs, rights = zip(*moves(Placement(random_shift=0.2), item(label)), strict=True)
    assert min(downs) == 0
    assert max(downs) == 8
    assert len(set(downs)) > 6
    assert min(rights) < 0 < max(rights)


def test_between_two_crowded_edges_nothing_moves() -> None:
    label = figure()
    label[:, 10:20] = 1
    found = moves(Placement(random_shift=0.2), item(label))
    assert {down for down, _ in found} == {0}
    assert len({right for _, right in found}) > 5


def test_flips_and_shifts_go_together() -> None:
    """The same items are mirrored with a shift as without."""
    given = item(figure())
    flipped_alone = [
        Placement(random_flip=True)(given, 0, i)["instance"][20, 10] != given["instance"][20, 10]
        for i in range(20)
    ]
    both = Placement(random_flip=True, random_shift=0.1)
    flipped = []
    for i in range(20):
        row = both(given, 0, i)["instance"][20]
        flipped.append(bool(row[15] < row[14]))
    assert flipped == [bool(value) for value in flipped_alone]
    assert 3 < sum(flipped) < 17


def one_after_another(given: dict[str, Tensor], moves: Moves) -> dict[str, Tensor]:
    """Mirrored, moved down, then right, away from edges that show several classes as they are then."""
    item = {name: value.flip(-1) if moves.flip else value for name, value in given.items()}
    for dim, fraction in zip((-2, -1), moves.shift, strict=True):
        length = item["label"].shape[dim]
        by = round(fraction * length)
        first, last = (len(item["label"].select(dim, place).unique()) == 1 for place in (0, -1))
        if not (first if by > 0 else last):
            by = -by if (last if by > 0 else first) else 0
        places = (torch.arange(length) - by).clamp(0, length - 1)
        item = {name: value.index_select(dim, places) for name, value in item.items()}
    return item


@pytest.mark.parametrize("corner", [(slice(0, 3), 0), (slice(0, 3), -1), (slice(-3, None), 0), (9, -1)])
def test_edges_are_those_seen_once_mirrored_and_moved_down(corner: tuple[slice | int, int]) -> None:
    """Someone in a corner may be moved out of view, and the edge beside is then free."""
    label = figure()
    label[corner] = 1
    placement = Placement(random_flip=True, random_shift=0.2)
    for index in range(40):
        expected = one_after_another(item(label), placement.moves(0, index))
        found = placement(item(label), 0, index)
        assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_nothing_moves_unless_asked() -> None:
    given = item(figure())
    for index in range(5):
        same = Placement(seed=index)(given, epoch=index, index=index)
        assert all(same[name] is value for name, value in given.items())


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match=r"random_shift is .*; it must lie from 0 up to less than 1"):
        Placement(random_shift=fraction)
