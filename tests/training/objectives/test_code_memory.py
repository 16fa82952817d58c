"""Donor codes from a memory: the latest ones of each class, rare classes more often, one memory for all processes."""

from __future__ import annotations

import torch
from torch import Tensor

from groupdnet_hub import GroupDNetConfig
from groupdnet_hub.training.augment.class_choice import choose_weighted
from groupdnet_hub.training.objectives.code_memory import CodeMemory
from groupdnet_hub.training.objectives.groupdnet import MultiScaleObjective
from groupdnet_hub.training.objectives.loss_weights import LossWeights, with_redraw_every
from groupdnet_hub.training.objectives.objective import ObjectiveParts
from groupdnet_hub.training.shared_stream import RunSeed
from tests.helpers.label_examples import numbered
from tests.helpers.trained_models import random_inputs, trained_like

SHAPE = (3, 2, 2, 2)


def numbered_codes(first: int, count: int) -> Tensor:
    """Codes [count, 3, 2, 2, 2] of pictures whose number every value tells."""
    numbers = torch.arange(first, first + count, dtype=torch.float32)
    return numbers.view(-1, 1, 1, 1, 1).expand(-1, *SHAPE).contiguous()


def maps(*shown: tuple[int, ...]) -> Tensor:
    """A label map for each tuple, which shows these classes."""
    return torch.stack([torch.tensor(classes).repeat(12)[:12].view(3, 4) for classes in shown])


def test_places_are_chosen_by_weight() -> None:
    weights = torch.tensor([0.0, 3.0, 0.0, 1.0, 0.0]).expand(400, -1)
    chosen = choose_weighted(weights, (torch.arange(400) + 0.5) / 400)
    assert torch.equal(chosen, torch.tensor([1, 3]).repeat_interleave(torch.tensor([300, 100])))
    assert choose_weighted(weights[:2], torch.tensor([0.0, 1 - 2**-24])).tolist() == [1, 3]


def test_the_latest_codes_of_each_class_are_kept() -> None:
    memory = CodeMemory(SHAPE, 3, RunSeed(0))
    memory.remember(numbered_codes(0, 2), maps((0, 1), (0, 2)))
    assert memory.seen.tolist() == [2, 1, 1]
    kept = memory.codes[..., 0, 0, 0]
    assert kept[0, :2].tolist() == [0, 1]
    assert kept[1:, 0].tolist() == [0, 1]
    memory.remember(numbered_codes(2, 5), maps((0,), (0, 1), (0,), (0,), (0, 1)))
    kept = memory.codes[..., 0, 0, 0]
    assert sorted(kept[0].tolist()) == [4, 5, 6], "of five at once the last three"
    assert kept[1].tolist() == [0, 3, 6]
    assert memory.seen.tolist() == [7, 3, 1]


def test_a_donor_is_a_picture_seen_before_that_shows_the_class() -> None:
    memory = CodeMemory(SHAPE, 8, RunSeed(0))
    first = numbered_codes(0, 2)
    label = maps((0, 1), (0, 2))
    same, _ = memory.redraw(first, label)
    assert torch.equal(same, first), "nothing was seen before: nothing is exchanged"
    memory.remember(first, label)
    donors: dict[tuple[int, int], set[float]] = {}
    for _ in range(60):
        now = numbered_codes(10, 2)
        mixed, classes = memory.redraw(now, maps((0, 1), (1,)))
        for item, class_id in enumerate(classes.tolist()):
            others = [c for c in range(3) if c != class_id]
            assert torch.equal(mixed[item, others], now[item, others])
            assert len(mixed[item, class_id].unique()) == 1
            donors.setdefault((item, class_id), set()).add(float(mixed[item, class_id].mean()))
    assert donors == {(0, 0): {0, 1}, (0, 1): {0}, (1, 1): {0}}


def test_rare_classes_are_redrawn_more_often_by_the_root() -> None:
    """One picture in a hundred shows class 1: where it is shown, it is ten times as likely as class 0."""
    memory = CodeMemory(SHAPE, 4, RunSeed(0))
    memory.seen = torch.tensor([1000, 10, 0])
    label = maps(*[(0, 1, 2)] * 50)
    counts = torch.zeros(3)
    for _ in range(80):
        _, classes = memory.redraw(numbered_codes(0, 50), label)
        counts += torch.bincount(classes, minlength=3)
    assert counts[2] == 0, "a class without a donor is not drawn"
    assert 8 < counts[1] / counts[0] < 12.5


def test_it_is_taken_up_again_and_shared_between_processes() -> None:
    label = maps((0, 1), (0, 2), (1,), (2, 0))
    first = CodeMemory(SHAPE, 3, RunSeed(1))
    first.remember(numbered_codes(0, 4), label)
    first.redraw(numbered_codes(4, 4), label)
    state = {name: value.clone() for name, value in first.state_dict().items()}
    expected = first.redraw(numbered_codes(8, 4), label)
    second = CodeMemory(SHAPE, 3, RunSeed(2))
    second.load_state_dict(state)
    for found, wanted in zip(second.redraw(numbered_codes(8, 4), label), expected, strict=True):
        assert torch.equal(found, wanted)
    halves = []
    for rank in range(2):
        part = CodeMemory(SHAPE, 3, RunSeed(1, rank, 2))
        part.codes, part.seen = state["codes"], state["seen"]
        part.redraw(numbered_codes(4 + 2 * rank, 2), label[2 * rank :][:2])
        halves.append(part.redraw(numbered_codes(8 + 2 * rank, 2), label[2 * rank :][:2]))
    for found, wanted in zip(zip(*halves, strict=True), expected, strict=True):
        assert torch.equal(torch.cat(found), wanted)


def test_the_loss_is_measured_every_so_many_steps_and_then_counts_as_often() -> None:
    weights = LossWeights(redraw=10.0)
    assert [with_redraw_every(weights, step, 3).redraw for step in range(6)] == [0, 0, 30, 0, 0, 30]
    assert [with_redraw_every(weights, step, 1).redraw for step in range(3)] == [10, 10, 10]
    model = trained_like(GroupDNetConfig.for_labels(numbered(4), (32, 32), 4)).train()
    image, label, noise = random_inputs(model.config)
    memory = CodeMemory(model.config.code_shape, 4, RunSeed(0))
    objective = MultiScaleObjective(model.config, ObjectiveParts(exchange=memory))
    discriminator = objective.make_discriminator(torch.Generator().manual_seed(0)).requires_grad_(False)
    batch = {"image": image, "label": label}
    seen, state = [], memory.generator.get_state()
    for step in range(3):
        losses, _ = objective.generator_losses(
            model, discriminator, batch, noise, with_redraw_every(weights, step, 3)
        )
        seen.append(int(memory.seen.sum()))
        assert ("redraw" in losses) == (step == 2)
        assert torch.equal(state, memory.generator.get_state()) == (step < 2)
    assert losses["redraw"].item() > 0
    assert seen[0] < seen[1] < seen[2], "codes are remembered in every step"
    assert not memory.codes.requires_grad
