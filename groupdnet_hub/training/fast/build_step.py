"""A run's training steps in the form that was chosen."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from groupdnet_hub.models.fast.cuda_graphs import CudaGraphs
from groupdnet_hub.training.fast.draws_ahead import DrawsAhead
from groupdnet_hub.training.fast.recorded_step import RecordedStep
from groupdnet_hub.training.fast.step_form import StepForm
from groupdnet_hub.training.fast.working_step import WorkingStep
from groupdnet_hub.training.objectives.discriminator_inputs import Batch
from groupdnet_hub.training.objectives.loss_weights import LossWeights
from groupdnet_hub.training.step import Learner, MakeStep, StepKind, TrainingStep


def build_step(learner: Learner, form: StepForm) -> MakeStep:
    """Return what makes a run's steps, and compile its networks if the form says so."""
    if form.compiled:
        compile_networks(learner, form)
    step = WorkingStep(learner, form) if form.working else TrainingStep(learner)
    if not form.dense:
        return step
    device = learner.accelerator.device
    draws = DrawsAhead(device)
    learner.streams.draw_ahead(draws)
    if form.recorded:
        return RecordedStep(step, draws, CudaGraphs(warm_ups=0), device)

    def with_draws(batch: Batch, weights: LossWeights, kind: StepKind) -> dict[str, Tensor]:
        draws.send(kind)
        with draws.step(kind):
            return step(batch, weights, kind)

    return with_draws


def compile_networks(learner: Learner, form: StepForm, **options: Any) -> None:
    """Have ``torch.compile`` take networks and streams, in place, so that names stay."""
    model: nn.Module = learner.accelerator.unwrap_model(learner.model)
    # The look-up's decoder not: how many windows differ changes with every batch.
    parts = ("encoder", "decoder") if form.dense else ("encoder",)
    networks: list[nn.Module | None] = [getattr(model, part, None) for part in parts]
    networks += [
        learner.accelerator.unwrap_model(learner.discriminator),
        learner.objective.parts.perceptual,
    ]
    for network in networks:
        if network is not None:
            network.compile(**options)
    for stream in learner.streams.shared():
        stream.compile(**options)
