"""``--max_grad_norm`` and ``--gradient_checkpointing``: what reaches the optimisers, and what is kept for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from groupdnet_hub.training.config import parse_train_config
from groupdnet_hub.training.fast.step_form import StepForm, choose_form
from tests.helpers.step_forms import FORMS, PLAIN, RUNS
from tests.helpers.step_runs import StepRun, step_run


def lengths_at_the_optimisers(run: StepRun) -> list[float]:
    """Lengths of the gradients that optimisers see, in the order of their steps."""
    found: list[float] = []

    def note(inner: Any, *_: Any) -> None:
        grads = [p.grad for group in inner.param_groups for p in group["params"] if p.grad is not None]
        found.append(float(torch.stack([grad.norm() for grad in grads]).norm()))

    for optimizer in run.optimizers:
        optimizer.optimizer.register_step_pre_hook(note)
    return found


@pytest.mark.parametrize("form", [PLAIN, *FORMS.values()], ids=["plain", *FORMS])
def test_long_gradients_are_cut_and_short_ones_stay(form: StepForm) -> None:
    with step_run(RUNS["paper"].split(), form) as (run, batches):
        free = lengths_at_the_optimisers(run)
        run.update(batches[0])
        assert run.learner.clip.report() == {}
    # Between the two networks' lengths: one is cut.
    limit = sum(free) / 2
    with step_run([*RUNS["paper"].split(), "--max_grad_norm", str(limit)], form) as (run, batches):
        cut = lengths_at_the_optimisers(run)
        run.update(batches[0])
        report = run.learner.clip.report()
    assert min(free) < limit < max(free)
    assert max(cut) == pytest.approx(limit, rel=1e-4)
    told = [float(report["grad_norm"]), float(report["discr_grad_norm"])]
    assert told[0] == pytest.approx(free[0], rel=1e-4)
    if free[0] < limit:
        assert cut[0] == pytest.approx(free[0], rel=1e-4)


def kept_bytes(flags: str, form: StepForm) -> int:
    """Bytes that a generator's forward pass keeps for its gradients."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with step_run(flags.split(), form) as (run, batches):
        own = {p.untyped_storage().data_ptr() for network in run.networks for p in network.parameters()}
        image, label = batches[0]["image"], batches[0]["label"]
        noise = torch.zeros(len(image), *run.learner.objective.noise_shape())
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            picture, _ = run.learner.model(image, label, None, noise)
        del picture
    return sum(size for address, size in kept.items() if address not in own)


def test_blocks_that_compute_again_keep_less() -> None:
    flags = "--width 16 --resolution 64 --perceptual_net none --discriminator_width 4"
    whole = kept_bytes(flags, FORMS["working"])
    assert kept_bytes(f"{flags} --gradient_checkpointing", FORMS["working"]) < whole / 3


@pytest.mark.parametrize("form", [PLAIN, *FORMS.values()], ids=["plain", *FORMS])
@pytest.mark.parametrize("flags_of", ["paper", pytest.param("MulNet", marks=pytest.mark.slow), "VSPADE"])
def test_what_is_computed_again_is_the_same(flags_of: str, form: StepForm) -> None:
    """Bit for bit, with the singular vectors and batch statistics that the networks keep."""
    results = []
    for more in ([], ["--gradient_checkpointing"]):
        with step_run([*RUNS[flags_of].split(), *more], form) as (run, batches):
            for batch in (*batches, batches[0]):
                run.update(batch)
                run.step += 1
            results.append(
                [value.clone() for network in run.networks for value in network.state_dict().values()]
            )
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))


def test_systems_and_forms_without_it_are_told() -> None:
    with (
        pytest.raises(ValueError, match="--gradient_checkpointing has no effect: a BicycleGAN"),
        step_run([*RUNS["BicycleGAN"].split(), "--gradient_checkpointing"], FORMS["working"]),
    ):
        pass
    settings = parse_train_config(["--train_data_dir", ".", "--gradient_checkpointing", "--compile"])
    with pytest.raises(ValueError, match=r"--compile: torch\.compile cannot take"):
        choose_form(settings, "cpu")
