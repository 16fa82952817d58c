"""Which form a training step takes, what a run says of it, and the parts that it is made of."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from torch import nn

from groupdnet_hub.runs.accelerators import device_type, only_deterministic_algorithms
from groupdnet_hub.training.config import TrainConfig
from groupdnet_hub.training.ema import MovingAverage
from groupdnet_hub.training.fast import step_form
from groupdnet_hub.training.fast.draws_ahead import DrawsAhead
from groupdnet_hub.training.fast.step_form import StepForm, choose_form
from groupdnet_hub.training.objectives.feature_distance import sum_of_distances
from groupdnet_hub.training.objectives.loss_weights import LossWeights
from groupdnet_hub.training.schedules import make_optimizer, set_rate
from groupdnet_hub.training.shared_stream import NoiseSource, RunSeed


def asked(**values: Any) -> TrainConfig:
    return TrainConfig(train_data_dir=(".",), **({"mixed_precision": "bf16"} | values))


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_form, "against_compiler", lambda: None)


@pytest.mark.usefixtures("compiler")
def test_cuda_takes_all_that_is_fast() -> None:
    form, notes = choose_form(asked(), "cuda")
    assert form == StepForm(working=True, dense=True, dtype=torch.bfloat16, compiled=True, recorded=True)
    assert form.line(notes) == (
        "training step: weights normalised once a step, label maps whole, bfloat16 throughout, compiled, CUDA graphs"
    )


def test_a_cpu_keeps_its_look_up() -> None:
    form, notes = choose_form(asked(), "cpu")
    assert form == StepForm(working=True, dtype=torch.bfloat16)
    assert form.line(notes) == (
        "training step: weights normalised once a step, label maps by look-up, bfloat16 throughout"
    )
    assert choose_form(asked(mixed_precision="no"), "cpu")[0] == StepForm(working=True)


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    ("values", "processes", "reason"),
    [
        ({}, 2, "several processes"),
        ({"gradient_accumulation_steps": 2}, 1, "--gradient_accumulation_steps"),
        ({"mixed_precision": "fp16"}, 1, "fp16"),
        ({"optimizer": "sgd"}, 1, "plain SGD"),
    ],
)
def test_what_cannot_be_recorded_is_not_and_the_run_says_why(
    values: dict[str, Any], processes: int, reason: str
) -> None:
    form, notes = choose_form(asked(**values), "cuda", processes)
    assert not form.recorded
    assert form.dense
    assert reason in form.line(notes)
    with pytest.raises(ValueError, match=reason):
        choose_form(asked(**values, cuda_graphs=True), "cuda", processes)


def test_flags_turn_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    form, notes = choose_form(asked(compile=False, cuda_graphs=False), "cuda")
    assert (form.compiled, form.recorded, notes) == (False, False, ())
    assert choose_form(asked(plain_step=True), "cuda")[0] == StepForm(working=False)
    monkeypatch.setattr(step_form.shutil, "which", lambda name: None)
    form, notes = choose_form(asked(), "cuda")
    assert not form.compiled
    assert "not compiled: torch.compile needs" in form.line(notes)


def test_cuda_graphs_without_cuda_are_refused() -> None:
    with pytest.raises(ValueError, match="--cuda_graphs: a CUDA device is needed"):
        choose_form(asked(cuda_graphs=True), "cpu")


@pytest.mark.parametrize("fields", [{"working": False, "dense": True}, {"working": True, "recorded": True}])
def test_forms_that_are_none(fields: dict[str, bool]) -> None:
    with pytest.raises(ValueError, match="step"):
        StepForm(**fields)


def test_numbers_drawn_ahead_are_those_that_would_be_drawn() -> None:
    device = torch.device("cpu")
    sources = [NoiseSource(RunSeed(3, 1, 2)), NoiseSource(RunSeed(3, 1, 2))]
    ahead = DrawsAhead(device)
    sources[1].ahead = ahead
    shapes = {"long": [(2, 3), (4,)], "short": [(5,)]}
    for kind in ("long", "short", "long", "long", "short"):
        ahead.send(kind)
        with ahead.step(kind):
            for shape in shapes[kind]:
                numbers = [source.draw(shape, device) for source in sources]
                assert torch.equal(*numbers)
                uniform = [source.uniform(*shape, device=device) for source in sources]
                assert torch.equal(*uniform)
    # Outside of a step, as for a sample grid.
    assert torch.equal(*(source.draw((2,), device) for source in sources))


@pytest.mark.parametrize("shapes", [[(2,)], [(2,), (3,), (4,)], [(3,), (2,)]])
def test_a_step_that_draws_other_numbers_than_its_kind_is_refused(shapes: list[tuple[int, ...]]) -> None:
    source, ahead = NoiseSource(RunSeed(0)), DrawsAhead(torch.device("cpu"))
    source.ahead = ahead

    def step(shapes: list[tuple[int, ...]]) -> None:
        ahead.send("kind")
        with ahead.step("kind"):
            for shape in shapes:
                source.draw(shape, torch.device("cpu"))

    step([(2,), (3,)])
    step([(2,), (3,)])
    with pytest.raises(RuntimeError, match="random numbers"):
        step(shapes)


def test_the_average_follows_and_buffers_are_the_models_own() -> None:
    with torch.random.fork_rng():
        model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = MovingAverage(model, 0.9)
    wanted = None
    for n in range(120):
        with torch.no_grad():
            model[0].weight.copy_(torch.full((2, 2), float(n % 7)))
            model[1].running_mean.fill_(n)
            model[1].num_batches_tracked.fill_(n)
        average.update_parameters(model)
        value = model[0].weight[0, 0].item()
        share = 1 - min(0.9, (1 + n) / (10 + n))
        wanted = value if wanted is None else wanted + share * (value - wanted)
        if n == 60:  # what a checkpoint resumes from
            other = MovingAverage(model, 0.9)
            other.load_state_dict(average.state_dict())
            average = other
    torch.testing.assert_close(average.module[0].weight, torch.full((2, 2), wanted))
    assert average.module[1].running_mean.tolist() == [119, 119]
    assert int(average.module[1].num_batches_tracked) == 119
    assert int(average.n_averaged) == 120


def test_rates_stay_where_the_optimiser_has_them() -> None:
    with torch.random.fork_rng():
        network = nn.Linear(2, 2)
    optimizer = make_optimizer("adam", network, 0.1, (0.0, 0.9), "cpu")
    set_rate(optimizer, 0.05)
    assert optimizer.param_groups[0]["lr"] == 0.05
    rate = optimizer.param_groups[0]["lr"] = torch.tensor(0.1)
    set_rate(optimizer, 0.02)
    assert optimizer.param_groups[0]["lr"] is rate
    torch.testing.assert_close(rate, torch.tensor(0.02))


def test_weights_on_the_device_are_those_that_count() -> None:
    weights = LossWeights(adversarial=0.5, l1=0.0, redraw=3.0)
    numbers = torch.tensor(weights.numbers())
    sent = weights.on_device(numbers)
    assert sent.weighted() == weights.weighted() == {
        "adversarial", "feature_matching", "perceptual", "kl", "latent", "diversity", "redraw"
    }  # fmt: skip
    assert (float(sent.adversarial), sent.l1, float(sent.redraw)) == (0.5, 0.0, 3.0)
    numbers[0] = 0.25
    assert float(sent.adversarial) == 0.25


@pytest.mark.parametrize("weighted", [False, True])
def test_sum_of_distances_is_what_its_formula_says(weighted: bool) -> None:
    generator = torch.Generator().manual_seed(0)

    def features(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    shapes = [(2, 3, 8, 8), (2, 5, 4, 4)]
    found = [features(*shape).requires_grad_() for shape in shapes]
    wanted = [features(*shape) for shape in shapes]
    weights = features(2, 1, 8, 8).abs() if weighted else None
    terms = []
    for factor, a, b in zip((0.5, 2.0), found, wanted, strict=True):
        places = 1.0 if weights is None else nn.functional.adaptive_avg_pool2d(weights, a.shape[2:])
        terms.append(factor * ((a - b).abs() * places).mean())
    expected = torch.autograd.grad(3 * sum(terms), found)
    result = sum_of_distances(found, wanted, (0.5, 2.0), weights)
    torch.testing.assert_close(result, sum(terms).detach())
    for gradient, other in zip(torch.autograd.grad(3 * result, found), expected, strict=True):
        torch.testing.assert_close(gradient, other)


def test_deterministic_algorithms_for_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    try:
        only_deterministic_algorithms()
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]


@pytest.mark.parametrize("use_cpu", ["true", "1"])
def test_a_run_on_the_cpu_of_a_machine_with_a_gpu(use_cpu: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    assert device_type() == "cuda"
    monkeypatch.setenv("ACCELERATE_USE_CPU", use_cpu)
    assert device_type() == "cpu"
