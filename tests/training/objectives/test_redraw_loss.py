"""The loss on what else changes with a class's code: it measures that and nothing else, and training lowers it."""

from __future__ import annotations

import copy
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from groupdnet_hub import GroupDNet, GroupDNetConfig
from groupdnet_hub.models.fast.prepared_map import PreparedMap
from groupdnet_hub.training.objectives.groupdnet import MultiScaleObjective
from groupdnet_hub.training.objectives.loss_weights import LossWeights
from groupdnet_hub.training.objectives.objective import ObjectiveParts
from groupdnet_hub.training.objectives.redraw_loss import ClassExchange, change_outside, exchanged
from groupdnet_hub.training.shared_stream import RunSeed
from tests.helpers.label_examples import numbered
from tests.helpers.trained_models import random_inputs, trained_like


def test_the_class_is_one_that_both_maps_show() -> None:
    label = torch.zeros(3, 8, 8, dtype=torch.long)
    label[0, :4], label[1, :4], label[2, :4] = 1, 1, 2
    label[2, 4:] = 3
    exchange = ClassExchange(4, RunSeed(0))
    seen = torch.stack([exchange.choose(label) for _ in range(40)])
    assert set(seen[:, 1].tolist()) == {0, 1}
    assert set(seen[:, 2].tolist()) == {2, 3}  # the one before shows none of its classes
    assert set(seen[:, 0].tolist()) == {0, 1}


def test_only_that_class_gets_another_code() -> None:
    codes = torch.arange(3 * 4, dtype=torch.float32).view(3, 4, 1, 1, 1).expand(-1, -1, 2, 3, 3)
    classes = torch.tensor([0, 3, 1])
    mixed = exchanged(codes, classes)
    for i, class_id in enumerate(classes.tolist()):
        assert torch.equal(mixed[i, class_id], codes[i - 1, class_id])
        others = [c for c in range(4) if c != class_id]
        assert torch.equal(mixed[i, others], codes[i, others])


def test_changes_inside_cost_nothing() -> None:
    label = torch.zeros(2, 4, 4, dtype=torch.long)
    label[:, :, 2:] = 1
    before = torch.zeros(2, 3, 4, 4)
    after = before.clone()
    after[:, :, :, 2:] = 1.0
    classes = torch.tensor([1, 1])
    assert change_outside(before, after, label, classes) == 0
    after[0, :, :, :2] = 0.5
    torch.testing.assert_close(change_outside(before, after, label, classes), torch.tensor(0.25))
    assert change_outside(before, after, torch.ones_like(label), classes) == 0  # no pixel is outside


def test_the_stream_is_taken_up_again_and_shared_between_processes() -> None:
    label = torch.arange(4).repeat(4, 1)[:, None].expand(-1, 4, -1)
    first = ClassExchange(4, RunSeed(1))
    first.choose(label)
    state = first.state_dict()
    expected = first.choose(label)
    second = ClassExchange(4, RunSeed(2))
    second.load_state_dict(state)
    assert torch.equal(second.choose(label), expected)
    whole = ClassExchange(4, RunSeed(1)).choose(label)
    halves = [ClassExchange(4, RunSeed(1, rank, 2)).choose(label[:2]) for rank in range(2)]
    assert torch.equal(torch.cat(halves), whole)


def test_training_on_it_keeps_the_code_of_a_class_to_its_region() -> None:
    """Some steps on this loss alone: what changes outside falls to less than half."""
    model = trained_like(GroupDNetConfig.for_labels(numbered(4), (32, 32), 8)).train()
    image, label, noise = random_inputs(model.config)
    batch = {"image": image, "label": label}
    exchange = ClassExchange(4, RunSeed(0))
    start = exchange.state_dict()
    objective = MultiScaleObjective(model.config, ObjectiveParts(exchange=exchange))
    assert "redraw" in objective.used
    discriminator = objective.make_discriminator(torch.Generator().manual_seed(0)).requires_grad_(False)

    def loss() -> Tensor:
        losses, _ = objective.generator_losses(model, discriminator, batch, noise, LossWeights(redraw=1.0))
        return losses["redraw"]

    def average() -> float:
        exchange.load_state_dict(start)
        with torch.no_grad():
            return float(torch.stack([loss() for _ in range(8)]).mean())

    before = average()
    adam = torch.optim.Adam(model.decoder.parameters(), lr=1e-3)
    for _ in range(40):
        loss().backward()
        adam.step()
        adam.zero_grad()
    assert average() < 0.5 * before


def test_both_decodes_of_a_step_share_the_work_on_the_label_map(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss and gradients are those of a step that prepares the label map for each decode."""
    model = trained_like(GroupDNetConfig.for_labels(numbered(4), (32, 32), 8)).train()
    image, label, noise = random_inputs(model.config)
    exchange = ClassExchange(4, RunSeed(0))
    start = exchange.state_dict()
    prepared, prepare = [], GroupDNet.prepare

    def counted(*args: Any, **kwargs: Any) -> PreparedMap:
        prepared.append(prepare(*args, **kwargs))
        return prepared[-1]

    monkeypatch.setattr(GroupDNet, "prepare", counted)
    objective = MultiScaleObjective(model.config, ObjectiveParts(exchange=exchange))
    discriminator = objective.make_discriminator(torch.Generator().manual_seed(0)).requires_grad_(False)
    state = copy.deepcopy(model.state_dict())
    losses, _ = objective.generator_losses(
        model, discriminator, {"image": image, "label": label}, noise, LossWeights(0, 0, 0, 0, redraw=1.0)
    )
    losses["redraw"].backward()
    assert len(prepared) == 1
    found = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}

    model.load_state_dict(state)
    model.zero_grad()
    exchange.load_state_dict(start)
    picture, posterior = model(image, label, noise=noise)
    classes = exchange.choose(label)
    codes = exchanged(posterior.with_noise(noise).detach(), classes)
    expected = change_outside(picture, model.decode(codes, label), label, classes)
    expected.backward()
    assert len(prepared) == 3
    torch.testing.assert_close(losses["redraw"], expected)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(found.get(name), weight.grad)


@pytest.mark.slow
def test_processes_average_the_gradients_of_their_parts(tmp_path: Path) -> None:
    """The scene is prepared outside of the wrapper that sums gradients; they are summed all the same, and once."""
    with get_context("spawn").Pool(2) as processes:
        shared = processes.starmap(part_gradients, [(part, tmp_path / "meeting") for part in range(2)], 1)
        alone = processes.map(part_gradients, range(2), 1)
    assert any(float((alone[0][name] - alone[1][name]).abs().max()) > 1e-3 for name in alone[0])
    for name, first in alone[0].items():
        mean = (first + alone[1][name]) / 2
        for gradients in shared:
            torch.testing.assert_close(gradients[name], mean, rtol=1e-4, atol=1e-6, msg=name)


def part_gradients(part: int, meeting: Path | None = None) -> dict[str, Tensor]:
    """Gradients of one part of a batch, by itself or, with a file to meet at, as one of two processes."""
    torch.set_num_threads(1)  # how a sum is split over threads shows in its rounding
    model = trained_like(GroupDNetConfig.for_labels(numbered(4), (32, 32), 4)).train()
    image, label, noise = random_inputs(model.config, seed=part)
    wrapped: nn.Module = model
    if meeting is not None:
        dist.init_process_group(
            "gloo", init_method=meeting.as_uri(), rank=part, world_size=2, timeout=timedelta(minutes=2)
        )
        wrapped = DistributedDataParallel(model)
    objective = MultiScaleObjective(
        model.config, ObjectiveParts(exchange=ClassExchange(4, RunSeed(0, part, 2)))
    )
    discriminator = objective.make_discriminator(torch.Generator().manual_seed(0)).requires_grad_(False)
    batch = {"image": image, "label": label}
    losses, _ = objective.generator_losses(wrapped, discriminator, batch, noise, LossWeights(redraw=10.0))
    torch.stack(list(losses.values())).sum().backward()
    if meeting is not None:
        dist.destroy_process_group()
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


def test_without_it_nothing_is_added() -> None:
    objective = MultiScaleObjective(GroupDNetConfig.for_labels(numbered(4), (32, 32), 4))
    assert "redraw" not in objective.used
