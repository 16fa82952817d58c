"""The redraw loss on windows: inside of a window nothing differs from whole pictures, and its mean is their loss."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from groupdnet_hub import GroupDNet, GroupDNetConfig
from groupdnet_hub.models.fast.decode_window import (
    DecodeWindow,
    TilePlan,
    axis_tiles,
    decode_window,
    plan_tiles,
)
from groupdnet_hub.models.fast.prepared_map import PreparedMap
from groupdnet_hub.models.fast.unfolded_blocks import normalise
from groupdnet_hub.training.config import ResolvedTrainConfig, TrainConfig
from groupdnet_hub.training.distributed import synchronise_batch_norm
from groupdnet_hub.training.objectives.groupdnet import MultiScaleObjective
from groupdnet_hub.training.objectives.loss_weights import LossWeights
from groupdnet_hub.training.objectives.objective import ObjectiveParts
from groupdnet_hub.training.objectives.redraw_loss import ClassExchange, change_outside, exchanged
from groupdnet_hub.training.objectives.redraw_window import (
    RedrawWindows,
    change_in_window,
    plan_redraw_windows,
    tile_chances,
)
from groupdnet_hub.training.shared_stream import RunSeed
from tests.helpers.label_examples import numbered
from tests.helpers.trained_models import random_inputs, trained_like

SIZE = (64, 64)


def plan_of(config: GroupDNetConfig, tiles: int) -> TilePlan:
    """From the second last block on, whatever it saves."""
    border, blocks = 1 + config.fusion_layers, len(config.blocks)
    rows, columns = (axis_tiles(side, tiles, blocks, border) for side in config.image_size)
    return TilePlan(blocks - 2, rows, columns, config.image_size)


def windows_of_all_tiles(plan: TilePlan, items: int) -> Iterator[DecodeWindow]:
    for row in range(plan.tiles):
        for column in range(plan.tiles):
            places = (torch.full((items,), place) for place in (row, column))
            yield decode_window(plan, plan.tables(), *places, torch.full((items,), 1 / plan.tiles**2))


def case(**fields: object) -> tuple[GroupDNet, Tensor, Tensor, Tensor, Tensor]:
    """(model in double precision, label, codes, codes with a class exchanged, these classes)."""
    model = trained_like(GroupDNetConfig.for_labels(numbered(4), SIZE, 8, **fields)).double().train()
    label, codes = random_inputs(model.config)[1:]
    label[:, 16:48, 8:40] = 2
    classes = torch.tensor([2, 0])
    return model, label, codes.double(), exchanged(codes.double(), classes), classes


def decoded_before(
    model: GroupDNet, label: Tensor, codes: Tensor, first: int, *, lookup: bool
) -> tuple[PreparedMap, Tensor]:
    prepared = model.prepare(label, lookup=lookup).with_statistics(first)
    return prepared, model.decode(codes, prepared)


@pytest.mark.parametrize("tiles", [2, 3])
@pytest.mark.parametrize(("lookup", "fields"), [(True, {}), (False, {}), (True, {"fusion_layers": 1})])
def test_a_window_is_drawn_as_in_the_whole_picture(tiles: int, lookup: bool, fields: dict) -> None:
    model, label, codes, mixed, _ = case(**fields)
    plan, whole = plan_of(model.config, tiles), plan_of(model.config, 1)
    with torch.no_grad():
        prepared, _ = decoded_before(model, label, codes, plan.first, lookup=lookup)
        start = copy.deepcopy(model.state_dict())
        (all_of_it,) = windows_of_all_tiles(whole, 2)
        expected = model.decode(mixed, prepared.at(all_of_it))
        seen = torch.zeros(2, 1, *SIZE)
        for window in windows_of_all_tiles(plan, 2):
            model.load_state_dict(start)  # where the power iterations stand
            found = model.decode(mixed, prepared.at(window))
            inside = window.counted.expand_as(found)
            torch.testing.assert_close(found[inside], window.pictures.of(expected)[inside], rtol=0, atol=1e-9)
            seen.view(-1)[window.pictures.pixels] += window.counted.flatten(1)
    assert torch.equal(seen, torch.ones_like(seen))  # every place belongs to one tile


def test_the_mean_over_windows_is_the_loss_of_whole_pictures() -> None:
    """Loss and gradients, when whole pictures are normalised by the same statistics."""
    model, label, codes, mixed, classes = case()
    start = copy.deepcopy(model.state_dict())

    def measured(window: DecodeWindow, first: int) -> tuple[Tensor, dict[str, Tensor]]:
        model.load_state_dict(start)
        model.zero_grad()
        prepared, fake = decoded_before(model, label, codes, first, lookup=True)
        loss = change_in_window(fake, model.decode(mixed, prepared.at(window)), label, classes, window)
        loss.backward()
        grads = {n: p.grad.clone() for n, p in model.decoder.named_parameters() if p.grad is not None}
        return loss.detach(), grads

    plan = plan_of(model.config, 2)
    (all_of_it,) = windows_of_all_tiles(plan_of(model.config, 1), 2)
    expected, wanted = measured(all_of_it, plan.first)
    parts = [measured(window, plan.first) for window in windows_of_all_tiles(plan, 2)]
    torch.testing.assert_close(torch.stack([loss for loss, _ in parts]).mean(), expected)
    for name, grad in wanted.items():
        mean = torch.stack([grads[name] for _, grads in parts]).mean(dim=0)
        torch.testing.assert_close(mean, grad, rtol=1e-6, atol=1e-9, msg=name)


def test_its_gradient_points_where_that_of_whole_pictures_does() -> None:
    """Whole pictures are normalised by their own statistics there, which the exchanged codes have a part in."""
    model, label, codes, mixed, classes = case()
    start = copy.deepcopy(model.state_dict())

    def gradient(window: DecodeWindow | None) -> Tensor:
        model.load_state_dict(start)
        model.zero_grad()
        if window is None:
            prepared = model.prepare(label)
            change_outside(
                model.decode(codes, prepared), model.decode(mixed, prepared), label, classes
            ).backward()
        else:
            prepared, fake = decoded_before(model, label, codes, len(model.config.blocks) - 2, lookup=True)
            change_in_window(
                fake, model.decode(mixed, prepared.at(window)), label, classes, window
            ).backward()
        return torch.cat([p.grad.flatten() for p in model.decoder.parameters() if p.grad is not None])

    whole = gradient(None)
    mean = sum(gradient(window) for window in windows_of_all_tiles(plan_of(model.config, 2), 2)) / 4
    assert float(torch.cosine_similarity(whole, mean, dim=0)) > 0.8
    assert 0.7 < float(mean.norm() / whole.norm()) < 1.4


def test_what_a_norm_tells_has_gradients() -> None:
    norm = nn.BatchNorm2d(3, affine=False).double().train()
    x = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).double() * 2 + 1
    expected = copy.deepcopy(norm)(x)
    result, told = normalise(norm, x)
    assert torch.equal(result, expected)
    torch.testing.assert_close(told.mean, x.mean(dim=(0, 2, 3)))
    variance = x.var(dim=(0, 2, 3), unbiased=False)
    torch.testing.assert_close(told.deviation, torch.rsqrt(variance + norm.eps))

    def outputs(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        result, told = normalise(norm, x)
        return result, told.mean, told.deviation

    assert torch.autograd.gradcheck(outputs, (x.requires_grad_(),))
    with pytest.raises(TypeError, match="GroupNorm has no batch statistics"):
        normalise(nn.GroupNorm(2, 4, affine=False), torch.zeros(1, 4, 2, 2))


def test_a_window_needs_a_decode_of_whole_pictures_before() -> None:
    model, label, *_ = case()
    plan = plan_of(model.config, 2)
    window = next(windows_of_all_tiles(plan, 2))
    with pytest.raises(ValueError, match="no decode left the statistics"):
        model.prepare(label).with_statistics(plan.first).at(window)


def test_tiles_near_the_class_are_likelier_and_none_is_left_out() -> None:
    inside = torch.zeros(2, 8, 8, dtype=torch.bool)
    inside[0, :4, 4:] = True
    inside[0, 4:6, :4] = True
    torch.testing.assert_close(
        tile_chances(inside, 2), torch.tensor([[0.125, 0.125 + 1 / 3, 0.125 + 1 / 6, 0.125], [0.25] * 4])
    )


def test_draws_go_by_the_chances_and_processes_share_them() -> None:
    plan = plan_tiles((256, 256), 2, 7, 1)
    assert plan is not None
    label = torch.zeros(400, 256, 256, dtype=torch.int64)
    label[:, 128:, :128] = 1
    ones = torch.ones(400, dtype=torch.int64)

    def drawn_tiles(windows: RedrawWindows, items: int) -> DecodeWindow:
        return windows.draw(label[:items], ones[:items])

    found = drawn_tiles(RedrawWindows(plan, RunSeed(3)), 400)
    values, counts = found.chance.unique(return_counts=True)
    assert values.tolist() == [0.125, 0.625]
    assert 220 < int(counts[1]) < 280
    first = RedrawWindows(plan, RunSeed(1))
    drawn_tiles(first, 4)
    state = first.state_dict()
    expected = drawn_tiles(first, 8)
    second = RedrawWindows(plan, RunSeed(2))
    second.load_state_dict(state)
    assert torch.equal(drawn_tiles(second, 8).pictures.pixels, expected.pictures.pixels)
    halves = [drawn_tiles(RedrawWindows(plan, RunSeed(1, rank, 2)), 4).chance for rank in range(2)]
    assert torch.equal(torch.cat(halves), drawn_tiles(RedrawWindows(plan, RunSeed(1)), 8).chance)


def test_windows_cost_a_third() -> None:
    plan = plan_tiles((256, 256), 2, 7, 1)
    assert plan is not None
    # 16 of 32 features and 2 for what is looked at beyond, 33 and 1, 65 and 1
    assert {block: plan.rows.windows[block][1] for block in range(4, 7)} == {4: 18, 5: 34, 6: 66}
    assert plan.first == 4


def asked(share: float | None, parts: int = 1, weight: float = 1.0) -> ResolvedTrainConfig:
    settings = TrainConfig(
        train_data_dir=(".",), redraw_window=share, redraw_weight=weight, batch_norm_parts=parts
    )
    return settings.resolved("hinge", 1)


def test_which_runs_have_windows() -> None:
    labels = numbered(4)
    large, small = (GroupDNetConfig.for_labels(labels, (side, side), 8) for side in (64, 32))
    grouped = GroupDNetConfig.for_labels(labels, SIZE, 8, norm_kind="group")
    plan = plan_redraw_windows(asked(None), large)
    assert plan is not None
    assert plan.tiles == 2
    third = plan_redraw_windows(asked(0.4), large)
    assert third is not None
    assert third.tiles == 3
    for settings, config in ((asked(1.0), large), (asked(None, weight=0.0), large), (asked(None), small),
                         (asked(None), grouped), (asked(None, parts=2), large)):  # fmt: skip
        assert plan_redraw_windows(settings, config) is None
    for settings, config, told in ((asked(0.5), small, "32x32"), (asked(0.5), grouped, "kind group"),
                               (asked(0.5, parts=2), large, "--batch_norm_parts 2")):  # fmt: skip
        with pytest.raises(ValueError, match=told):
            plan_redraw_windows(settings, config)


@pytest.mark.slow
def test_training_on_windows_keeps_the_code_of_a_class_to_its_region() -> None:
    """Some steps on this loss alone: what changes outside, measured whole, falls to less than half."""
    model = trained_like(GroupDNetConfig.for_labels(numbered(4), SIZE, 8)).train()
    image, label, noise = random_inputs(model.config)
    batch = {"image": image, "label": label}
    windows = RedrawWindows(plan_of(model.config, 2), RunSeed(0))
    exchange = ClassExchange(4, RunSeed(0))
    objectives = {
        how: MultiScaleObjective(model.config, ObjectiveParts(exchange=exchange, redraw_windows=given))
        for how, given in (("whole", None), ("windows", windows))
    }
    discriminator = (
        objectives["whole"].make_discriminator(torch.Generator().manual_seed(0)).requires_grad_(False)
    )

    def loss(how: str) -> Tensor:
        weights = LossWeights(redraw=1.0)
        return objectives[how].generator_losses(model, discriminator, batch, noise, weights)[0]["redraw"]

    def average() -> float:
        exchange.load_state_dict(ClassExchange(4, RunSeed(0)).state_dict())
        with torch.no_grad():
            return float(torch.stack([loss("whole") for _ in range(8)]).mean())

    before = average()
    adam = torch.optim.Adam(model.decoder.parameters(), lr=1e-3)
    for _ in range(40):
        loss("windows").backward()
        adam.step()
        adam.zero_grad()
    assert average() < 0.5 * before


def test_processes_tell_what_one_would(tmp_path: Path) -> None:
    """Statistics of both parts of a batch together, and the gradients that come back through them."""
    with get_context("spawn").Pool(2) as processes:
        parts = processes.starmap(told_by_part, [(part, tmp_path / "meeting") for part in range(2)], 1)
    mean, deviation, grad = told(SHARED_X, batch_norm())
    for found, *_ in parts:
        torch.testing.assert_close(found, mean)
    for _, found, _ in parts:
        torch.testing.assert_close(found, deviation)
    # The norm itself works in single precision there.
    torch.testing.assert_close(torch.cat([found for *_, found in parts]), grad, rtol=1e-4, atol=1e-6)


SHARED_X = torch.randn(4, 3, 4, 5, generator=torch.Generator().manual_seed(0)).double() * 2 + 1


def batch_norm() -> nn.Module:
    return nn.BatchNorm2d(3, affine=False).double().train()


def told(x: Tensor, norm: nn.Module) -> tuple[Tensor, Tensor, Tensor]:
    """(mean, deviation, gradient at x of something that both have a part in)."""
    x = x.clone().requires_grad_()
    result, statistics = normalise(norm, x)
    weight = torch.arange(x[0].numel()).view(x[0].shape) / 60
    part = (result * weight).sum() + len(x) / 4 * (statistics.mean * 3 + statistics.deviation**2).sum()
    (grad,) = torch.autograd.grad(part, x)
    return statistics.mean.detach(), statistics.deviation.detach(), grad


def told_by_part(part: int, meeting: Path) -> tuple[Tensor, Tensor, Tensor]:
    """:func:`told`, by one of two processes."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=meeting.as_uri(), rank=part, world_size=2, timeout=timedelta(minutes=2)
    )
    norm = synchronise_batch_norm(nn.Sequential(batch_norm()), "cpu")[0]
    found = told(SHARED_X[2 * part :][:2], norm)
    dist.destroy_process_group()
    return found
