"""One step of training: a generator step, then a discriminator step on the same generated pictures (section 3.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from groupdnet_hub.models.fast.cuda_graphs import CudaGraphs
from groupdnet_hub.models.fast.working_weights import SingularVectors, WorkingWeights
from groupdnet_hub.training.fast.draws_ahead import DrawsAhead
from groupdnet_hub.training.fast.recorded_step import RecordedStep
from groupdnet_hub.training.fast.step_form import StepForm, StepKind
from groupdnet_hub.training.objectives.discriminator_io import Batch
from groupdnet_hub.training.objectives.gradient_penalty import LazyR1
from groupdnet_hub.training.objectives.groupdnet import Objective
from groupdnet_hub.training.objectives.loss_weights import LossWeights
from groupdnet_hub.training.random_streams import Streams

# Updates the networks on a batch, with the weights of the losses, and returns these by name.
MakeStep = Callable[[Batch, LossWeights, StepKind], dict[str, Tensor]]


class TrainingStep:
    """Both halves of a step on the networks, optimisers and streams of a run.

    Args:
        model, discriminator: as ``accelerator.prepare`` gave them.
        optimizers: the generator's and the discriminator's, of the same.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        form: StepForm,
        model: nn.Module,
        discriminator: nn.Module,
        optimizers: tuple[torch.optim.Optimizer, torch.optim.Optimizer],
        objective: Objective,
        streams: Streams,
        penalty: LazyR1,
    ) -> None:
        self.accelerator, self.form = accelerator, form
        self.model, self.discriminator, self.optimizers = model, discriminator, optimizers
        self.objective, self.streams, self.penalty = objective, streams, penalty
        # Unwrapped: while the generator learns, the judge's gradients are not wanted, and so nothing is to be shared
        # between processes.
        self.judge = accelerator.unwrap_model(discriminator)
        self._weights = _Lent(accelerator.unwrap_model(model), form.working, form.dtype, joined=form.dense)
        self._judge_weights = _Lent(self.judge, form.working, form.dtype)
        self._judge_in_full = _Lent(self.judge, form.dtype is not None, None)

    def __call__(self, batch: Batch, weights: LossWeights, kind: StepKind) -> dict[str, Tensor]:
        """Update both networks on a batch.

        Returns:
            the losses by name, weighted as they are minimised.
        """
        accelerator, objective, streams = self.accelerator, self.objective, self.streams
        if streams.colours is not None:
            batch = {**batch, "image": streams.colours(batch["image"], batch["label"])}
        noise = streams.noise.draw((len(batch["label"]), *objective.noise_shape()), accelerator.device)
        generator_optimizer, discriminator_optimizer = self.optimizers
        with accelerator.accumulate(self.model, self.discriminator):
            self._judge_weights.make()
            losses, fakes = self._generator_half(batch, noise, weights, kind)
            if losses:
                generator_optimizer.step()
                generator_optimizer.zero_grad()
            discriminator_losses = self._discriminator_half(batch, fakes, kind)
            discriminator_optimizer.step()
            discriminator_optimizer.zero_grad()
            self._judge_weights.forget()
        return {name: loss.detach() for name, loss in (*losses.items(), *discriminator_losses.items())}

    def _generator_half(
        self, batch: Batch, noise: Tensor, weights: LossWeights, kind: StepKind
    ) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """Gradients of the generator's losses; (these losses, the pictures)."""
        objective, judge = self.objective, self.judge.requires_grad_(False)
        self._weights.make()
        with self._weights.lent(), self._judge_weights.lent(gradients=False), self._autocast():
            if kind.generator:
                losses, fakes = objective.generator_losses(self.model, judge, batch, noise, weights)
            else:
                with torch.no_grad():
                    losses, fakes = {}, objective.draw(self.model, batch, noise)
        if losses:
            self.accelerator.backward(_sum(losses.values()))
        self._weights.forget()
        return losses, fakes

    def _discriminator_half(
        self, batch: Batch, fakes: tuple[Tensor, ...], kind: StepKind
    ) -> dict[str, Tensor]:
        """Gradients of the discriminator's losses; these losses."""
        objective, judge = self.objective, self.judge.requires_grad_(True)
        with self._judge_weights.lent(), self._autocast():
            losses = objective.discriminator_losses(self.discriminator, fakes, batch)
        total = _sum(losses.values())
        if kind.penalty:
            # In single precision: second derivatives of rounded features would be noise.
            full = self._judge_weights if self.form.dtype is None else self._judge_in_full
            if self.form.dtype is not None:
                full.make(self._judge_weights.vectors)
            with full.lent():
                total = total + self.penalty.loss(objective, judge, batch)
        self.accelerator.backward(total)
        self._judge_in_full.forget()
        return losses

    def _autocast(self) -> AbstractContextManager[None]:
        return nullcontext() if self.form.dtype is not None else self.accelerator.autocast()


def build_step(
    accelerator: Accelerator,
    form: StepForm,
    networks: tuple[nn.Module, nn.Module],
    optimizers: tuple[torch.optim.Optimizer, torch.optim.Optimizer],
    objective: Objective,
    streams: Streams,
    penalty: LazyR1,
) -> MakeStep:
    """A run's steps in the form that is asked for; arguments as of :class:`TrainingStep`."""
    step = TrainingStep(accelerator, form, *networks, optimizers, objective, streams, penalty)
    if not form.dense:
        return step
    draws = DrawsAhead(accelerator.device)
    streams.draw_ahead(draws)
    if form.recorded:
        return RecordedStep(step, draws, CudaGraphs(warm_ups=0), accelerator.device)

    def with_draws(batch: Batch, weights: LossWeights, kind: StepKind) -> dict[str, Tensor]:
        draws.send(kind)
        with draws.step(kind):
            return step(batch, weights, kind)

    return with_draws


class _Lent:
    """The working weights of one network during a step; none, where the plain form is asked for.

    Attributes:
        vectors: the singular vectors of the step.
    """

    def __init__(
        self, network: nn.Module, on: bool, dtype: torch.dtype | None, *, joined: bool = False
    ) -> None:
        self._working = WorkingWeights(network, dtype, joined=joined) if on else None
        self.vectors: SingularVectors | None = None
        self._made: tuple[Tensor, ...] = ()

    def make(self, vectors: SingularVectors | None = None) -> None:
        """Normalise and round the present weights, by given singular vectors or after an iteration of its own."""
        if self._working is not None:
            self.vectors = self._working.iterate() if vectors is None else vectors
            self._made = self._working.make(self.vectors)

    def lent(self, *, gradients: bool = True) -> AbstractContextManager[None]:
        """Have the network's layers use them."""
        if self._working is None:
            return nullcontext()
        return self._working.lent(self._made, gradients=gradients)

    def forget(self) -> None:
        """Let their memory go."""
        self.vectors, self._made = None, ()


def _sum(losses: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(losses)).sum()
