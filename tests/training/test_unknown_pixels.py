"""Unknown pixels in training: what a photo shows there changes nothing, and no loss asks what is drawn there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from groupdnet_hub.baselines import SYSTEMS
from groupdnet_hub.data.unknown import mark_unknown
from groupdnet_hub.models.discriminator import MultiScaleDiscriminator
from groupdnet_hub.models.segmentation_discriminator import SegmentationDiscriminator
from groupdnet_hub.training.augment.class_crops import ClassCrops, Windows
from groupdnet_hub.training.fast.step_form import StepForm
from groupdnet_hub.training.objectives.code_memory import CodeMemory
from groupdnet_hub.training.objectives.discriminator_inputs import label_input
from groupdnet_hub.training.objectives.gradient_penalty import LazyR1
from groupdnet_hub.training.objectives.redraw_loss import ClassExchange, change_outside
from groupdnet_hub.training.objectives.segmentation_losses import consistency_loss
from groupdnet_hub.training.prior_fitting import region_differences
from groupdnet_hub.training.shared_stream import RunSeed
from tests.helpers.step_forms import (
    FORMS,
    PLAIN,
    RUNS,
    rates_on_the_device,
    record_step,
    state_of,
    taped,
)
from tests.helpers.step_runs import StepRun, step_run

# Of all objectives, with all extras.
OBJECTIVES = {
    "hinge": RUNS["everything"],
    "redraw window": RUNS["redraw window"],
    "segmentation": RUNS["segmentation"]
    + " --feature_matching_weight 10 --l1_weight 1 --class_balance 0.5 --r1_weight 5 --r1_interval 1",
    **{name: RUNS[name] for name in ("pix2pixHD", "BicycleGAN", "DSCGAN")},
}
ROUNDED = StepForm(working=True, dense=True, dtype=torch.bfloat16)


def repainted(batch: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    """The batch with other photos at unknown pixels."""
    noise = torch.rand(batch["image"].shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return {**batch, "image": torch.where(batch["unknown"][:, None], noise, batch["image"])}


def trained(
    flags: str, form: StepForm, change: Callable[[dict[str, Tensor], int], dict[str, Tensor]], steps: int = 2
) -> tuple[list[dict[str, Tensor]], list[Tensor]]:
    """Losses of some steps on changed batches, and all that the steps change."""
    with step_run(flags.split(), form, unknown=True) as (run, batches):
        if steps > 2:
            rates_on_the_device(run)
            run.make_step = record_step(run, taped(lambda: state_of(run)))
        losses = []
        for step in range(steps):
            run.step = step
            found = run.update(change(batches[step % 2], step))
            losses.append({name: value.clone() for name, value in found.items()})
        return losses, [value.clone() for value in state_of(run)]


def assert_same_training(flags: str, form: StepForm, steps: int = 2) -> None:
    (one, state), (other, other_state) = (
        trained(flags, form, change, steps) for change in (lambda batch, _: batch, repainted)
    )
    for step, (losses, others) in enumerate(zip(one, other, strict=True)):
        assert losses.keys() == others.keys()
        for name, loss in losses.items():
            assert torch.equal(loss, others[name]), f"{name} of step {step}"
    assert all(torch.equal(a, b) for a, b in zip(state, other_state, strict=True))


@pytest.mark.parametrize("form", [PLAIN, *FORMS.values()], ids=["plain", *FORMS])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_what_a_photo_shows_at_unknown_pixels_changes_nothing(objective: str, form: StepForm) -> None:
    assert_same_training(OBJECTIVES[objective], form)


# Each system has an encoder of its own, whatever its objective.
SYSTEM_RUNS = {name: f"{RUNS['pix2pixHD'].partition('--model')[0]} --model {name}" for name in SYSTEMS}


@pytest.mark.parametrize("system", SYSTEMS)
def test_nor_does_it_for_any_system(system: str) -> None:
    assert_same_training(SYSTEM_RUNS[system], FORMS["working"])


@pytest.mark.parametrize("objective", ["hinge", "segmentation"])
def test_nor_does_it_where_networks_are_rounded_or_steps_recorded(objective: str) -> None:
    assert_same_training(OBJECTIVES[objective], ROUNDED)
    assert_same_training(OBJECTIVES[objective], FORMS["dense"], steps=6)


def test_what_it_shows_at_known_pixels_does() -> None:
    """What the tests above would find."""

    def elsewhere(batch: dict[str, Tensor], step: int) -> dict[str, Tensor]:
        unknown = {**batch, "unknown": ~batch["unknown"]}
        return {**batch, "image": repainted(unknown, step)["image"]}

    (one, _), (other, _) = (
        trained(OBJECTIVES["hinge"], PLAIN, change) for change in (elsewhere, lambda batch, _: batch)
    )
    assert not torch.equal(one[0]["l1"], other[0]["l1"])


def drawn_pictures(run: StepRun) -> list[Tensor]:
    """Where pictures go that the model draws as large as the label maps; they keep their gradients."""
    found: list[Tensor] = []
    model: Any = run.learner.accelerator.unwrap_model(run.learner.model)
    name = "decoder" if hasattr(model, "decoder") else "draw"
    draw = getattr(model, name)

    def note(picture: Tensor) -> Tensor:
        picture.retain_grad()
        found.append(picture)
        return picture

    if name == "draw":
        model.draw = lambda *args: note(draw(*args))
    else:
        draw.register_forward_hook(lambda _, __, picture: note(picture))
    return found


@pytest.mark.parametrize("objective", [name for name in OBJECTIVES if name != "redraw window"])
def test_no_loss_asks_what_is_drawn_at_unknown_pixels(objective: str) -> None:
    with step_run(OBJECTIVES[objective].split(), PLAIN, unknown=True) as (run, batches):
        pictures = drawn_pictures(run)
        for step, batch in enumerate(batches):
            run.step = step
            run.update(batch)
        # In the second of them a memory of codes has something to redraw with.
        redraws = 2 if "--redraw" in OBJECTIVES[objective] or objective in ("BicycleGAN", "DSCGAN") else 1
        assert len(pictures) == 2 * redraws
        for i, picture in enumerate(pictures):
            unknown = batches[i // redraws]["unknown"][:, None].expand_as(picture)
            assert picture.grad is not None
            assert not picture.grad[unknown].any()
            assert picture.grad[~unknown].any()


def test_the_segmentation_discriminator_learns_nothing_at_unknown_pixels() -> None:
    flags = (
        OBJECTIVES["segmentation"].replace("--diffaugment", "").replace("--r1_weight 5 --r1_interval 1", "")
    )
    with step_run(flags.split(), PLAIN, unknown=True) as (run, batches):
        found: list[Tensor] = []

        def note(_: nn.Module, __: Any, logits: Tensor) -> None:
            logits.retain_grad()
            found.append(logits)

        run.learner.discriminator.register_forward_hook(note)
        run.update(batches[0])
        # Of generated, real and mixed pictures.
        logits = found[-1]
        unknown = batches[0]["unknown"].repeat(3, 1, 1)[:, None].expand_as(logits)
        assert logits.grad is not None
        assert logits.shape == unknown.shape
        assert not logits.grad[unknown].any()
        assert logits.grad[~unknown].any()


@pytest.mark.parametrize("objective", ["hinge", "pix2pixHD", "BicycleGAN", "DSCGAN"])
def test_patches_without_a_known_pixel_count_in_no_adversarial_loss(objective: str) -> None:
    """Neither for the discriminator nor for the generator, at any scale."""
    flags = OBJECTIVES[objective].replace("--diffaugment_target 0.6", "").replace("--diffaugment ", "")
    flags = flags.replace("--discriminator_crop 16", "").replace("--r1_weight 5 --r1_interval 1", "")
    with step_run(flags.split(), PLAIN, unknown=True) as (run, batches):
        found: list[Tensor] = []

        def note(_: nn.Module, __: Any, outputs: list[list[Tensor]]) -> None:
            for scale in outputs:
                if scale[-1].requires_grad:
                    scale[-1].retain_grad()
                    found.append(scale[-1])

        for module in run.learner.discriminator.modules():
            if isinstance(module, MultiScaleDiscriminator):
                module.register_forward_hook(note)
        unknown = torch.zeros_like(batches[0]["unknown"])
        unknown[:, :, :16] = True
        run.update({**batches[0], "unknown": unknown})
        assert len(found) >= 4
        for logits in found:
            places = nn.functional.adaptive_avg_pool2d(unknown[:1].float(), logits.shape[2:])
            blind = (places == 1).expand_as(logits)
            assert blind.any()
            assert logits.grad is not None
            assert not logits.grad[blind].any()
            assert logits.grad[~blind].any()


@pytest.mark.parametrize("objective", [name for name in OBJECTIVES if name != "redraw window"])
def test_what_is_said_of_unknown_pixels_does_not_adapt_the_augmentation(objective: str) -> None:
    """The discriminator is sure of known pixels and calls all unknown ones generated."""
    flags = OBJECTIVES[objective].replace("--diffaugment_target 0.6", "").replace("--diffaugment", "")
    flags = flags.replace("--discriminator_crop 16", "") + " --diffaugment --diffaugment_target 0.6"
    with step_run(flags.split(), PLAIN, unknown=True) as (run, batches):
        unknown = torch.zeros_like(batches[0]["unknown"])
        unknown[:, :, :16] = True

        def multi_scale(_: nn.Module, __: Any, outputs: list[list[Tensor]]) -> list[list[Tensor]]:
            return [[*scale[:-1], said(scale[-1])] for scale in outputs]

        def said(logits: Tensor) -> Tensor:
            known = nn.functional.interpolate((~unknown[:1, None]).float(), logits.shape[2:], mode="area")
            return 0 * logits + torch.where(known > 0, 9.0, -9.0)

        def per_pixel(_: nn.Module, __: Any, logits: Tensor) -> Tensor:
            known = said(logits[:, :1])
            return torch.cat((known.expand(-1, logits.shape[1] - 1, -1, -1), -known), dim=1)

        for module in run.learner.discriminator.modules():
            if isinstance(module, MultiScaleDiscriminator):
                module.register_forward_hook(multi_scale)
            elif isinstance(module, SegmentationDiscriminator):
                module.register_forward_hook(per_pixel)
        run.update({**batches[0], "unknown": unknown})
        augmentation = run.learner.streams.augmentation
        assert augmentation is not None
        report = augmentation.report()
        assert report["augment_overfitting"] == pytest.approx(2 / 256)


def test_the_gradient_penalty_leaves_unknown_pixels_out() -> None:
    class Linear(nn.Module):
        def forward(self, x: Tensor) -> list[list[Tensor]]:
            return [[(x[:, -3:] * torch.arange(1.0, 5)).sum(dim=1, keepdim=True)]]

    with step_run(RUNS["pix2pixHD"].split(), PLAIN) as (run, _):
        objective = run.learner.objective
    label = torch.zeros(1, 1, 4, dtype=torch.int64)
    batch = {"image": torch.zeros(1, 3, 1, 4), "label": label}
    unknown = torch.tensor([[[False, True, False, False]]])
    penalties = [
        float(LazyR1(2.0, 1).loss(objective, Linear(), {**batch, **more}))
        for more in ({}, {"unknown": unknown})
    ]
    # Squares of a quarter of 1, 2, 3 and 4, for each of three colours.
    assert penalties == pytest.approx([3 * 30 / 16, 3 * (30 - 4) / 16])


# -- classes that are shown at unknown pixels alone --------------------------------------------------------------------


@pytest.fixture
def maps() -> tuple[Tensor, Tensor]:
    """Two maps that show 0 and 1, the first one 2 as well, and the second one 3: both at unknown pixels alone."""
    label = torch.zeros(2, 8, 8, dtype=torch.int64)
    label[:, 4:] = 1
    label[0, :2], label[1, :2] = 2, 3
    unknown = torch.zeros(2, 8, 8, dtype=torch.bool)
    unknown[:, :2] = True
    return label, unknown


def test_they_are_not_redrawn(maps: tuple[Tensor, Tensor]) -> None:
    label, unknown = maps
    known = mark_unknown(label, unknown)
    label[:, :2] = 2  # on both maps now
    exchange, memory = ClassExchange(4, RunSeed(0)), CodeMemory((4, 1, 1, 1), 2, RunSeed(0))
    assert 2 in torch.stack([exchange.choose(label) for _ in range(40)])
    assert set(torch.stack([exchange.choose(known) for _ in range(40)]).unique().tolist()) == {0, 1}
    memory.remember(torch.ones(2, 4, 1, 1, 1), known)
    assert memory.seen.tolist() == [2, 2, 0, 0]
    drawn = torch.stack([memory.redraw(torch.ones(2, 4, 1, 1, 1), known)[1] for _ in range(40)])
    assert set(drawn.unique().tolist()) == {0, 1}


def test_no_window_is_cut_around_them(maps: tuple[Tensor, Tensor]) -> None:
    label, unknown = maps
    crops = ClassCrops(2, 4, RunSeed(0))
    seen = torch.cat([crops.draw(mark_unknown(label, unknown)).maps(unknown) for _ in range(40)])
    # A window of two rows may reach into an unknown one.
    assert not seen.all(dim=(1, 2)).any()
    assert torch.cat([crops.draw(label).maps(unknown) for _ in range(40)]).all(dim=(1, 2)).any()


@pytest.mark.parametrize("objective", ["hinge", "segmentation"])
def test_all_windows_of_a_step_are_cut_around_known_pixels(
    objective: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the perceptual loss, of the discriminator in both halves of a step, and of its penalty."""
    flags = OBJECTIVES[objective].replace("--discriminator_crop 16", "") + " --discriminator_crop 16"
    with step_run(flags.split(), PLAIN, unknown=True) as (run, batches):
        given: list[Tensor] = []
        streams = (run.learner.objective.parts.windows, run.learner.streams.crops)
        for stream in filter(None, streams):
            draw = stream.draw

            def note(label: Tensor, draw: Callable[[Tensor], Windows] = draw) -> Windows:
                given.append(label)
                return draw(label)

            monkeypatch.setattr(stream, "draw", note)
        run.update(batches[0])
        assert len(given) == sum(stream is not None for stream in streams) + 2
        expected = mark_unknown(batches[0]["label"], batches[0]["unknown"])
        assert all(torch.equal(label, expected) for label in given)


def test_a_batch_without_a_known_pixel_is_survived() -> None:
    """A label set with a don't-care class allows such maps."""
    for objective in ("hinge", "segmentation"):
        with step_run(OBJECTIVES[objective].split(), FORMS["dense"], unknown=True) as (run, batches):
            for step, batch in enumerate(batches):
                run.step = step
                losses = run.update({**batch, "unknown": torch.ones_like(batch["unknown"])})
                assert all(torch.isfinite(loss) for loss in losses.values()), losses
            assert all(torch.isfinite(value).all() for value in state_of(run))


def test_change_outside_of_a_class_is_that_of_known_pixels(maps: tuple[Tensor, Tensor]) -> None:
    label, unknown = maps
    before, after = torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)
    after[:, :, :2], after[:, :, 2] = 9.0, 1.0
    classes = torch.tensor([1, 1])
    assert change_outside(before, after, mark_unknown(label, unknown), classes) == 0.5
    assert change_outside(before, after, label, classes) == (2 * 9 + 1) / 4


def test_the_distance_to_the_photo_by_class_is_that_of_known_pixels(maps: tuple[Tensor, Tensor]) -> None:
    label, unknown = maps
    label[:, 0] = 1
    one, other = torch.zeros(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)
    one[:, :, :2], one[:, :, 4:] = 9.0, 1.0
    assert region_differences(one, other, label, 4, unknown).tolist() == [[0, 1, 0, 0]] * 2
    assert region_differences(one, other, label, 4)[0, 1] == (9 + 4) / 5


def test_unknown_pixels_are_of_no_class_for_the_discriminator(maps: tuple[Tensor, Tensor]) -> None:
    label, unknown = maps
    with step_run(RUNS["pix2pixHD"].split(), PLAIN, classes=4) as (run, _):
        config = run.learner.accelerator.unwrap_model(run.learner.model).config
    channels = label_input({"label": label, "unknown": unknown}, config)
    assert torch.equal(channels.sum(dim=1), (~unknown).float())
    assert torch.equal(label_input({"label": label}, config).sum(dim=1), torch.ones(2, 8, 8))


def test_logits_of_mixed_pictures_are_compared_at_known_pixels() -> None:
    of_mixed, mixed = torch.zeros(1, 2, 1, 4), torch.tensor([1.0, 2, 3, 9]).expand(1, 2, 1, 4)
    counted = torch.tensor([[[[True, True, True, False]]]])
    assert consistency_loss(of_mixed, mixed, counted) == pytest.approx(14 / 3)
    assert consistency_loss(of_mixed, mixed) == consistency_loss(of_mixed, mixed, torch.ones_like(counted))
    assert consistency_loss(of_mixed, mixed, torch.zeros_like(counted)) == 0
