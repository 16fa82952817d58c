"""One training step in its plain form: a generator step, then a discriminator step on the same pictures (section 3.5).

:mod:`groupdnet_hub.training.fast` makes the same step faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from groupdnet_hub.data.unknown import with_grey_unknown
from groupdnet_hub.training.gradient_clip import GradientClip
from groupdnet_hub.training.objectives.discriminator_inputs import Batch
from groupdnet_hub.training.objectives.gradient_penalty import LazyR1
from groupdnet_hub.training.objectives.loss_weights import LossWeights
from groupdnet_hub.training.objectives.objective import Objective
from groupdnet_hub.training.random_streams import Streams


@dataclass(frozen=True)
class Learner:
    """What a step reads and updates.

    Attributes:
        accelerator: the devices and processes of the run.
        model, discriminator: the networks, as ``accelerator.prepare`` gave them.
        optimizer, discr_optimizer: their optimisers, from the same call.
        objective: the losses.
        streams: the random numbers.
        penalty: the penalty on the discriminator's gradient.
        clip: limits the gradients' lengths.
    """

    accelerator: Accelerator
    model: nn.Module
    discriminator: nn.Module
    optimizer: torch.optim.Optimizer
    discr_optimizer: torch.optim.Optimizer
    objective: Objective
    streams: Streams
    penalty: LazyR1
    clip: GradientClip


@dataclass(frozen=True)
class StepKind:
    """What differs between steps, all known before a step begins: steps of one kind do the same work.

    Attributes:
        generator: whether the generator learns, or only draws for the discriminator.
        penalty: whether the discriminator's gradient penalty is due.
        weighted: names of the losses that count.
    """

    generator: bool
    penalty: bool
    weighted: frozenset[str]


# Updates the networks on a batch, with the weights of the losses, and returns these by name.
MakeStep = Callable[[Batch, LossWeights, StepKind], dict[str, Tensor]]


class TrainingStep:
    """A generator step and a discriminator step on a batch.

    Args:
        learner: what is read and updated.
    """

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        # Unwrapped: while the generator learns, gradients of the discriminator are not wanted, and so nothing is to be
        # shared between processes.
        self.bare_discriminator: nn.Module = learner.accelerator.unwrap_model(learner.discriminator)

    def __call__(self, batch: Batch, weights: LossWeights, kind: StepKind) -> dict[str, Tensor]:
        """Update both networks on a batch.

        Returns:
            The losses by name, weighted as they are minimised, detached.
        """
        learner, streams = self.learner, self.learner.streams
        batch = with_grey_unknown(batch)
        if streams.colours is not None:
            batch = {**batch, "image": streams.colours(batch["image"], batch["label"])}
        shape = len(batch["label"]), *learner.objective.noise_shape()
        noise = streams.noise.draw(shape, learner.accelerator.device)
        with learner.accelerator.accumulate(learner.model, learner.discriminator):
            losses, fakes = self.generator_step(batch, noise, weights, kind)
            losses |= self.discriminator_step(batch, fakes, kind)
        return {name: loss.detach() for name, loss in losses.items()}

    def generator_step(
        self, batch: Batch, noise: Tensor, weights: LossWeights, kind: StepKind
    ) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """Update encoder and decoder by Eq. 6, with the discriminator as it is.

        Returns:
            (the losses, none if the generator only draws; the pictures).
        """
        learner, objective = self.learner, self.learner.objective
        frozen_discriminator = self.bare_discriminator.requires_grad_(False)
        if not kind.generator:
            with self.generator_forward(), torch.no_grad():
                return {}, objective.draw(learner.model, batch, noise)
        with self.generator_forward():
            losses, fakes = objective.generator_losses(
                learner.model, frozen_discriminator, batch, noise, weights
            )
        learner.accelerator.backward(total(losses.values()))
        learner.clip("grad_norm", learner.model)
        learner.optimizer.step()
        learner.optimizer.zero_grad()
        return losses, fakes

    def discriminator_step(
        self, batch: Batch, fakes: tuple[Tensor, ...], kind: StepKind
    ) -> dict[str, Tensor]:
        """Update the discriminator on the pictures of the generator step and the real ones; return the losses."""
        learner, objective = self.learner, self.learner.objective
        bare_discriminator = self.bare_discriminator.requires_grad_(True)
        with self.discriminator_forward():
            losses = objective.discriminator_losses(learner.discriminator, fakes, batch)
        loss = total(losses.values())
        if kind.penalty:
            with self.penalty_forward():
                loss = loss + learner.penalty.loss(objective, bare_discriminator, batch)
        learner.accelerator.backward(loss)
        learner.clip("discr_grad_norm", learner.discriminator)
        learner.discr_optimizer.step()
        learner.discr_optimizer.zero_grad()
        return losses

    def generator_forward(self) -> AbstractContextManager[None]:
        """Return the context in which the generator's losses are computed."""
        return self.learner.accelerator.autocast()

    def discriminator_forward(self) -> AbstractContextManager[None]:
        """Return the context in which the discriminator's losses are computed."""
        return self.learner.accelerator.autocast()

    def penalty_forward(self) -> AbstractContextManager[None]:
        """Return the context in which the gradient penalty is computed; it leaves autocast by itself."""
        return nullcontext()


def total(losses: Iterable[Tensor]) -> Tensor:
    """Return the sum of scalar losses."""
    return torch.stack(list(losses)).sum()
