"""Simplified label maps: plainer outlines, the same classes, the requested fraction, the same for one seed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from groupdnet_hub.data.labels import shown_classes
from groupdnet_hub.data.transforms.moves import Moves, MoveTable, move_item
from groupdnet_hub.data.transforms.placement import Placement
from groupdnet_hub.data.transforms.simplified_maps import Simplification, restore_lost_classes, simplify
from tests.helpers.network_models import generator as seeded
from tests.helpers.placed_items import figure, item, ragged


def simplified(label: Tensor, generator: torch.Generator) -> Tensor:
    item = {"image": torch.zeros(3, *label.shape), "label": label}
    return move_item(item, Moves(simplification=Simplification.draw(generator)))["label"]


def outline(label: Tensor) -> int:
    """How many pairs of neighbouring pixels are of two classes."""
    return int((label[1:] != label[:-1]).sum() + (label[:, 1:] != label[:, :-1]).sum())


def test_outlines_are_shorter_and_regions_stay_where_they_are() -> None:
    ratios, agreement = [], []
    for seed in range(12):
        label = ragged(seed)
        simple = simplified(label, seeded(seed))
        ratios.append(outline(simple) / outline(label))
        agreement.append(float((simple == label).float().mean()))
    assert max(ratios) < 0.8
    assert sum(ratios) / len(ratios) < 0.7
    assert min(agreement) > 0.88


def test_the_same_classes_are_shown() -> None:
    for seed in range(40):
        label = ragged(seed)
        simple = simplified(label, seeded(seed))
        assert simple.dtype == torch.int64
        assert simple.shape == label.shape
        assert torch.equal(shown_classes(simple[None], 10), shown_classes(label[None], 10))


def test_a_thin_class_stays_a_line_rather_than_specks() -> None:
    label = torch.zeros(128, 64, dtype=torch.int64)
    label[60:] = 1
    label[58:60] = 2
    for seed in range(20):
        simple = simplified(label, seeded(seed))
        assert bool((simple == 2).any(dim=0).all()), "the belt goes all the way across"
        assert (simple == 2).sum(dim=0).float().mean() < 12


def test_the_smallest_classes_are_never_lost() -> None:
    """Noise of many classes, single pixels among them, and maps of one class or a few pixels."""
    for seed in range(20):
        label = torch.randint(0, 12, (24, 12), generator=seeded(seed))
        assert torch.equal(simplified(label, seeded(seed)).unique(), label.unique())
    plain = torch.full((32, 16), 7)
    assert torch.equal(simplified(plain, seeded(0)), plain)


def test_classes_that_are_lost_are_put_back() -> None:
    label = torch.tensor([[0, 0, 1, 1, 2]])
    shown = torch.tensor([[True, True, True, False]])
    assert restore_lost_classes(label, shown, torch.tensor([[0, 0, 0, 2, 2]])).tolist() == [[0, 0, 1, 1, 2]]
    assert restore_lost_classes(label, shown, torch.tensor([[0, 2, 2, 2, 0]])).tolist() == [[0, 2, 1, 1, 0]]
    # Class 2 is seen only where class 1 has to be put back.
    assert restore_lost_classes(label, shown, torch.tensor([[0, 0, 2, 2, 0]])).tolist() == label.tolist()


def test_a_map_depends_neither_on_its_batch_nor_on_classes_that_it_does_not_show() -> None:
    fewer, more = [], []
    for seed in range(12):
        label = torch.randint(0, 3, (16, 16), generator=seeded(seed)).repeat_interleave(4, 0)
        label = label.repeat_interleave(4, 1)
        plan = Simplification(seed / 12, seed % 2 == 0, (0.3, 0.6))
        table = MoveTable.of([Moves(simplification=plan)], [0], (64, 64))
        fewer.append(simplify(label[None], torch.tensor([[0, 1, 2]]), table.simplifications(), 300))
        every = [Moves(simplification=plan), Moves(simplification=Simplification(0.0, True, (0.0, 0.0)))]
        table = MoveTable.of(every, [0, 1], (64, 64))
        classes = torch.arange(250).expand(2, 250)
        both = torch.stack((label, label.T))
        more.append(simplify(both, classes, table.simplifications(), 300)[:1])
    assert torch.equal(torch.cat(fewer), torch.cat(more))


def test_they_are_seeded_and_differ_in_kind() -> None:
    label = ragged(0)
    first = simplified(label, seeded(1))
    assert torch.equal(first, simplified(label, seeded(1)))
    lengths = {outline(simplified(label, seeded(seed))) for seed in range(10)}
    assert len(lengths) > 5


def test_the_share_is_as_given_and_the_picture_stays() -> None:
    given = {name: value for name, value in item(ragged(3)).items() if name != "instance"}
    for fraction in (0.0, 0.25, 1.0):
        placement = Placement(simplified_maps=fraction, seed=4)
        items = [placement(given, 0, index) for index in range(300)]
        assert all(torch.equal(one["image"], given["image"]) for one in items)
        changed = [not torch.equal(one["label"], given["label"]) for one in items]
        assert abs(sum(changed) / 300 - fraction) < 0.08
    assert torch.equal(placement(given, 2, 5)["label"], placement(given, 2, 5)["label"])
    assert not torch.equal(placement(given, 2, 5)["label"], placement(given, 3, 5)["label"])


def test_moves_stay_what_they_are_without() -> None:
    given = {name: value for name, value in item(figure()).items() if name != "instance"}
    moves = {"random_flip": True, "random_shift": 0.2, "random_turn": 10.0, "random_scale": 0.1, "seed": 5}
    for index in range(10):
        plain = Placement(**moves)(given, 0, index)
        both = Placement(**moves, simplified_maps=1.0)(given, 0, index)
        assert torch.equal(plain["image"], both["image"])
        assert torch.equal(simplified(plain["label"], seeded(0)).unique(), both["label"].unique())


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"simplified_maps is 1.5; it must lie from 0 to 1"):
        Placement(simplified_maps=1.5)
    with pytest.raises(ValueError, match="label maps with instance maps cannot be simplified"):
        Placement(simplified_maps=0.01)(item(figure()), 0, 0)
