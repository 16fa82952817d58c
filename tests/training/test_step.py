"""A training step in its forms: the same losses and gradients, no wait for the device, networks that compile whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from groupdnet_hub.models.layers import GroupedConv2d
from groupdnet_hub.training.fast.build_step import compile_networks
from groupdnet_hub.training.fast.step_form import StepForm
from tests.helpers.host_waits import NoHostWaits
from tests.helpers.step_forms import (
    EVERYTHING,
    FORMS,
    PLAIN,
    RUNS,
    rates_on_the_device,
    record_step,
    state_of,
    taped,
)
from tests.helpers.step_runs import step_run


def settle(network: nn.Module) -> None:
    """Bring singular vectors to where another iteration changes nothing: forms iterate differently often."""
    for layer in network.modules():
        if isinstance(layer, GroupedConv2d) and layer.spectral_norm:
            for _ in range(400):
                layer.iterate()


def gradients_of(optimizer: Any) -> list[dict[int, Tensor]]:
    """Where gradients go when an optimiser makes its steps."""
    found: list[dict[int, Tensor]] = []

    def note(inner: Any, *_: Any) -> None:
        parameters = [p for group in inner.param_groups for p in group["params"]]
        found.append({i: p.grad.clone() for i, p in enumerate(parameters) if p.grad is not None})

    optimizer.optimizer.register_step_pre_hook(note)
    return found


def one_step(flags: str, form: StepForm) -> tuple[dict[str, Tensor], list[dict[int, Tensor]]]:
    """Losses and gradients of the second of two steps that change nothing, in double precision.

    In the first one a memory of codes may be empty: a loss on the difference of two pictures that are the same but for
    rounding has gradients of rounding errors.
    """
    rates = ["--learning_rate", "0", "--discr_learning_rate", "0"]
    with step_run([*flags.split(), *rates], form) as (run, batches):
        for network in run.networks:
            network.double()
            settle(network)
        perceptual = run.learner.objective.parts.perceptual
        if perceptual is not None:
            perceptual.double()
        found = [gradients_of(optimizer) for optimizer in run.optimizers]
        for batch in batches:
            losses = run.update({**batch, "image": batch["image"].double()})
        return losses, [of_network[1] for of_network in found]


@pytest.mark.parametrize("flags_of", RUNS)
def test_losses_and_gradients_are_those_of_the_plain_form(flags_of: str) -> None:
    plain = one_step(RUNS[flags_of], PLAIN)
    for form in FORMS.values():
        assert_alike(one_step(RUNS[flags_of], form), plain)


@pytest.mark.parametrize("flags_of", ["redraw window", pytest.param("everything", marks=pytest.mark.slow)])
def test_gradients_of_what_is_computed_again_are_those_of_the_plain_form(flags_of: str) -> None:
    plain = one_step(RUNS[flags_of], PLAIN)
    for form in FORMS.values():
        assert_alike(one_step(f"{RUNS[flags_of]} --gradient_checkpointing", form), plain)


def assert_alike(
    step: tuple[dict[str, Tensor], list[dict[int, Tensor]]],
    other: tuple[dict[str, Tensor], list[dict[int, Tensor]]],
) -> None:
    (found_losses, found_gradients), (losses, gradients) = step, other
    assert losses.keys() == found_losses.keys()
    for name, loss in losses.items():
        torch.testing.assert_close(found_losses[name].double(), loss.double(), rtol=1e-5, atol=1e-9, msg=name)
    for network, wanted in zip(found_gradients, gradients, strict=True):
        assert network.keys() == wanted.keys()
        whole = torch.stack([value.norm() for value in wanted.values()]).norm()
        for i, value in wanted.items():
            # A bias in front of a batch norm has a gradient of rounding errors.
            assert (network[i] - value).norm() <= 1e-5 * value.norm() + 1e-9 * whole, i


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize("flags_of", RUNS)
def test_no_step_of_the_dense_form_waits_for_the_device(flags_of: str, unknown: bool) -> None:
    with step_run(RUNS[flags_of].split(), FORMS["dense"], unknown=unknown) as (run, batches):
        run.update(batches[0])
        run.step = 1
        run.update(batches[1])
        with NoHostWaits():
            run.update(batches[0])


def test_the_look_up_does_wait() -> None:
    """What the test above would find."""
    started = step_run(RUNS["everything"].split(), FORMS["working"])
    with started as (run, batches), NoHostWaits(collect=True) as waits:
        run.update(batches[0])
    assert any("_unique2" in wait for wait in waits.waits)


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("flags_of", RUNS)
def test_rounded_networks_learn_the_same_but_for_rounding(flags_of: str, dense: bool) -> None:
    losses: list[Mapping[str, Tensor]] = []
    for form in (PLAIN, StepForm(working=True, dense=dense, dtype=torch.bfloat16)):
        with step_run(RUNS[flags_of].split(), form) as (run, batches):
            for network in run.networks:
                settle(network)
            losses.append(run.update(batches[0]))
            assert all(p.dtype == torch.float32 for p in run.learner.model.parameters())
    for name, loss in losses[0].items():
        torch.testing.assert_close(losses[1][name].float(), loss, rtol=0.05, atol=0.02, msg=name)


def test_a_benchmark_compares_roundings_in_one_process() -> None:
    rounded = StepForm(working=True, dtype=torch.bfloat16)
    flags = RUNS["paper"].split()
    with (
        step_run(flags, PLAIN, mixed_precision="bf16") as (plain, batches),
        step_run(flags, rounded, mixed_precision="bf16") as (fast, _),
        step_run(flags, PLAIN) as (exact, _),
    ):
        losses = [run.update(batches[0]) for run in (plain, fast, exact)]
    for name, loss in losses[2].items():
        for found in losses[:2]:
            assert 0 < abs(float(found[name]) - float(loss)) < 0.05 + 0.1 * abs(float(loss)), name


@pytest.mark.slow
def test_networks_compile_whole() -> None:
    """With ``fullgraph=True``, forward and backward, and the result stays."""
    flags = [*EVERYTHING.replace("--resolution 32", "--resolution 64").split(), "--redraw_window", "0.5"]
    results = []
    for compiled in (False, True):
        with step_run(flags, FORMS["dense"]) as (run, batches):
            if compiled:
                compile_networks(run.learner, run.form, backend="aot_eager", fullgraph=True)
            results.append(run.update(batches[0]))
    for name, loss in results[0].items():
        torch.testing.assert_close(results[1][name], loss, rtol=1e-4, atol=1e-5, msg=name)


# -- recorded steps ------------------------------------------------------------------------------------------------


SCHEDULE = (
    " --max_train_steps 9 --lr_decay_start 0.2 --kl_weight_start 0.01 --kl_weight 0.5 --kl_warmup_steps 9 "
    "--redraw_interval 2 --r1_weight 5 --r1_interval 4 --adversarial_warmup_steps 6 --discriminator_warmup_steps 1"
)


@pytest.mark.parametrize(
    ("flags_of", "more"),
    [
        ("everything", ""),
        ("redraw window", ""),
        ("redraw window", " --gradient_checkpointing --max_grad_norm 1"),
    ],
)
def test_a_recorded_run_is_the_run_itself(flags_of: str, more: str) -> None:
    """With rates, weights and random numbers that change, of several kinds of steps in turn."""
    flags = (RUNS[flags_of] + SCHEDULE + more).replace("--r1_interval 1", "").split()
    found = []
    for recorded in (False, True):
        with step_run(flags, FORMS["dense"]) as (run, batches):
            rates_on_the_device(run)
            recordings = 0
            if recorded:
                own = taped(lambda run=run: state_of(run))

                def counted(work: Callable[[], None], own: Any = own) -> Callable[[], None]:
                    nonlocal recordings
                    recordings += 1
                    return own(work)

                run.make_step = record_step(run, counted)
            losses = []
            for step in range(18):
                run.step = step % 9
                losses.append({name: value.clone() for name, value in run.update(batches[step % 2]).items()})
            found.append((losses, [tensor.clone() for tensor in state_of(run)]))
            if recorded:
                assert recordings >= 2
    for step, (plain, replayed) in enumerate(zip(found[0][0], found[1][0], strict=True)):
        assert plain.keys() == replayed.keys()
        for name, loss in plain.items():
            torch.testing.assert_close(replayed[name], loss, rtol=0, atol=0, msg=f"{name} of step {step}")
    assert all(torch.equal(a, b) for a, b in zip(found[0][1], found[1][1], strict=True))


def test_a_batch_of_another_size_is_trained_on_unrecorded() -> None:
    with step_run(RUNS["paper"].split(), FORMS["dense"]) as (run, batches):
        rates_on_the_device(run)
        run.make_step = record_step(run, taped(lambda: state_of(run)))
        for _ in range(5):
            run.update(batches[0])
        with pytest.warns(UserWarning, match="without CUDA graphs"):
            losses = run.update({name: value[:1] for name, value in batches[0].items()})
    assert all(torch.isfinite(loss) for loss in losses.values())
