"""Steps whose losses or gradients are not finite: their updates are not made, and the run says so or goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("accelerate")
from safetensors.torch import load_file

from groupdnet_hub import GroupDNet
from groupdnet_hub.models.fast.cuda_graphs import Record
from groupdnet_hub.training.config import parse_train_config
from groupdnet_hub.training.fast.step_form import StepForm
from groupdnet_hub.training.finite import MOST_IN_A_ROW, FiniteGuard
from groupdnet_hub.training.objectives import loss_weights
from groupdnet_hub.training.state.checkpoints import list_checkpoints
from tests.helpers.host_waits import NoHostWaits
from tests.helpers.step_forms import (
    EVERYTHING,
    FORMS,
    PLAIN,
    rates_on_the_device,
    record_step,
    state_of,
    taped,
)
from tests.helpers.step_runs import StepRun, step_run
from tests.helpers.train_runs import train_here

FLAGS = ("--perceptual_net", "none", "--max_train_steps", "6", "--logging_steps", "50")
NAN = float("nan")


@pytest.fixture
def bad_steps(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Numbers of the steps, from 1, at which the KL divergence is not a number."""
    chosen: set[int] = set()
    usual = loss_weights.kl_weight_at
    monkeypatch.setattr(
        loss_weights, "kl_weight_at", lambda step, *given: NAN if step + 1 in chosen else usual(step, *given)
    )
    return chosen


def all_finite(folder: Path) -> bool:
    return all(
        bool(tensor.isfinite().all())
        for path in folder.rglob("*.safetensors")
        for tensor in load_file(path).values()
        if tensor.is_floating_point()
    )


def test_a_run_stops_before_a_checkpoint_and_names_loss_and_step(
    drawn: Path, tmp_path: Path, bad_steps: set[int]
) -> None:
    bad_steps.add(3)
    with pytest.raises(
        ValueError, match="stopped at step 4: a loss is not finite at step 3: kl: "
    ) as stopped:
        train_here(drawn, tmp_path / "run", *FLAGS, "--checkpointing_steps", "2")
    assert "--on_nan skip" in str(stopped.value)
    assert str(stopped.value).endswith(f"the last checkpoint is {tmp_path / 'run' / 'checkpoint-2'}")
    assert [path.name for path in (tmp_path / "run").glob("*checkpoint*")] == ["checkpoint-2"]
    assert all_finite(tmp_path / "run")


def test_a_step_is_left_out_and_the_run_goes_on(drawn: Path, tmp_path: Path, bad_steps: set[int]) -> None:
    bad_steps.add(3)
    run = tmp_path / "run"
    flags = ("--on_nan", "skip", "--checkpointing_steps", "1", "--redraw_weight", "1", "--redraw_memory", "2")
    said = train_here(drawn, run, *FLAGS, *flags)
    assert "1 update was left out: a loss is not finite at step 3: kl\n" in said
    assert (run / "model" / "model.safetensors").is_file()
    assert all_finite(run)
    model = [load_file(run / f"checkpoint-{step}" / "model.safetensors") for step in (2, 3, 4)]
    followed = [key for key in model[0] if "running" in key]
    learned = [key for key in model[0] if key.endswith("weight")]
    assert followed
    for key in (*followed, *learned):
        assert torch.equal(model[0][key], model[1][key]), key
    assert not all(torch.equal(model[1][key], model[2][key]) for key in learned)
    assert not all(torch.equal(model[1][key], model[2][key]) for key in followed)


def test_a_run_gives_up_after_many_in_a_row(drawn: Path, tmp_path: Path, bad_steps: set[int]) -> None:
    bad_steps.update(range(3, 99))
    flags = ("--on_nan", "skip", "--checkpointing_steps", "2", "--checkpoints_total_limit", "1")
    with pytest.raises(
        ValueError, match=rf"{MOST_IN_A_ROW} updates in a row were left out, a loss is not finite"
    ):
        train_here(drawn, tmp_path / "run", *FLAGS, *flags, "--max_train_steps", "60")
    assert all_finite(list_checkpoints(tmp_path / "run")[-1])


def test_a_class_whose_codes_are_not_finite_is_named(drawn: Path, tmp_path: Path) -> None:
    train_here(drawn, tmp_path / "start", *FLAGS, "--max_train_steps", "1")
    model = GroupDNet.from_pretrained(tmp_path / "start" / "model")
    size = model.config.latent_channels
    with torch.no_grad():
        model.encoder.logvar.bias[2 * size : 3 * size] = 1000
    model.save_pretrained(tmp_path / "bad")
    name = model.labels.names[2]
    flags = ("--pretrained_model_name_or_path", str(tmp_path / "bad"))
    with pytest.raises(ValueError, match=rf"at step 1: .*\(the codes of {name} are not finite\)"):
        train_here(drawn, tmp_path / "run", *FLAGS, *flags)


def test_loss_scaling_needs_no_help() -> None:
    flags = ["--train_data_dir", "x", "--on_nan", "skip", "--mixed_precision", "fp16"]
    with pytest.raises(SystemExit):
        parse_train_config(flags)


def update(run: StepRun, guard: FiniteGuard, batch: Any) -> None:
    losses = run.update(batch)
    run.step += 1
    guard.follow(run.step, losses, batch)


@pytest.mark.parametrize(
    ("form", "skips"), [(PLAIN, False), (FORMS["dense"], True)], ids=["plain, stop", "dense, skip"]
)
def test_a_finite_run_is_the_run_without_a_guard(form: StepForm, skips: bool) -> None:
    states = []
    for guarded in (False, True):
        with step_run(EVERYTHING.split(), form) as (run, batches):
            guard = FiniteGuard(run.learner, skips=skips) if guarded else None
            if guard is not None:
                guard.begin()
            for batch in batches:
                if guard is None:
                    run.update(batch)
                    run.step += 1
                else:
                    update(run, guard, batch)
            if guard is not None:
                assert guard.check() == ({"updates_left_out": 0.0} if skips else {})
            states.append([tensor.clone() for tensor in state_of(run)])
    assert all(torch.equal(one, other) for one, other in zip(*states, strict=True))


@pytest.mark.parametrize("skips", [False, True])
def test_a_recorded_step_is_left_out_without_waiting(skips: bool) -> None:
    with step_run(EVERYTHING.split(), FORMS["dense"]) as (run, batches):
        rates_on_the_device(run)
        guard = FiniteGuard(run.learner, skips=skips)
        record: Record = taped(lambda: state_of(run))
        run.make_step = record_step(run, record)
        guard.begin()
        for _ in range(5):  # the last two are replayed
            update(run, guard, batches[0])
        before = [tensor.clone() for tensor in state_of(run)]
        bad = {**batches[1], "image": torch.full_like(batches[1]["image"], NAN)}
        with NoHostWaits():
            update(run, guard, bad)
        state = state_of(run)
        assert all(bool(tensor.isfinite().all()) for tensor in run.networks[0].parameters())
        if skips:
            assert guard.check() == {"updates_left_out": 1.0}
            moved = [i for i, pair in enumerate(zip(before, state, strict=True)) if not torch.equal(*pair)]
            assert all(state[i].ndim == 1 for i in moved)  # singular vectors alone
            update(run, guard, batches[0])
            assert guard.check() == {"updates_left_out": 1.0}
        else:
            with pytest.raises(ValueError, match="a loss is not finite at step 6: "):
                guard.check()
