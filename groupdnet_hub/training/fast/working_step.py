"""A training step whose weights are normalised, and rounded, once: not in every forward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from groupdnet_hub.models.fast.working_weights import SingularVectors, WorkingWeights
from groupdnet_hub.training.fast.step_form import StepForm
from groupdnet_hub.training.objectives.discriminator_inputs import Batch
from groupdnet_hub.training.objectives.loss_weights import LossWeights
from groupdnet_hub.training.step import Learner, StepKind, TrainingStep


class WorkingStep(TrainingStep):
    """The plain step, with working weights lent to the networks' layers (:mod:`groupdnet_hub.models.fast`).

    Args:
        learner: what is read and updated.
        form: which weights are rounded or joined; its ``working`` is true.
    """

    def __init__(self, learner: Learner, form: StepForm) -> None:
        super().__init__(learner)
        self.form = form
        model, discriminator = learner.accelerator.unwrap_model(learner.model), self.bare_discriminator
        self._generator_weights = LentWeights(model, form.dtype, joined=form.dense)
        self._discriminator_weights = LentWeights(discriminator, form.dtype)
        self._single = None if form.dtype is None else LentWeights(discriminator, None)

    def generator_step(
        self, batch: Batch, noise: Tensor, weights: LossWeights, kind: StepKind
    ) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """Make the working weights of both networks, and the plain generator step with them."""
        self._discriminator_weights.make()
        self._generator_weights.make()
        made = super().generator_step(batch, noise, weights, kind)
        self._generator_weights.forget()
        return made

    def discriminator_step(
        self, batch: Batch, fakes: tuple[Tensor, ...], kind: StepKind
    ) -> dict[str, Tensor]:
        """Make the plain discriminator step with the working weights, and let these go."""
        losses = super().discriminator_step(batch, fakes, kind)
        self._discriminator_weights.forget()
        if self._single is not None:
            self._single.forget()
        return losses

    @contextmanager
    def generator_forward(self) -> Iterator[None]:
        """Lend both networks their weights, the discriminator's without gradients."""
        frozen = self._discriminator_weights.lent(gradients=False)
        with self._generator_weights.lent(), frozen, self._autocast():
            yield

    @contextmanager
    def discriminator_forward(self) -> Iterator[None]:
        """Lend the discriminator its weights."""
        with self._discriminator_weights.lent(), self._autocast():
            yield

    @contextmanager
    def penalty_forward(self) -> Iterator[None]:
        """Lend the discriminator weights in single precision: second derivatives of rounded features are noise."""
        weights = self._discriminator_weights
        if self._single is not None:
            self._single.make(weights.vectors)
            weights = self._single
        with weights.lent():
            yield

    def _autocast(self) -> AbstractContextManager[None]:
        return nullcontext() if self.form.dtype is not None else self.learner.accelerator.autocast()


class LentWeights:
    """The working weights of one network during a step.

    Args:
        network: the network whose layers use them.
        dtype, joined: as of :class:`groupdnet_hub.models.fast.working_weights.WorkingWeights`.

    Attributes:
        vectors: the singular vectors of the step.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype | None, *, joined: bool = False) -> None:
        self._working = WorkingWeights(network, dtype, joined=joined)
        self.vectors: SingularVectors | None = None
        self._made: tuple[Tensor, ...] = ()

    def make(self, vectors: SingularVectors | None = None) -> None:
        """Normalise and round the present weights, by given singular vectors or after an iteration of its own."""
        self.vectors = self._working.iterate() if vectors is None else vectors
        self._made = self._working.make(self.vectors)

    def lent(self, *, gradients: bool = True) -> AbstractContextManager[None]:
        """Return the context in which the network's layers use them."""
        return self._working.lent(self._made, gradients=gradients)

    def forget(self) -> None:
        """Let their memory go."""
        self.vectors, self._made = None, ()
