"""Training steps as CUDA graphs: the host asks for an entire step at once, not for each of its operations."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from groupdnet_hub.models.fast.cuda_graphs import Record
from groupdnet_hub.training.fast.draws_ahead import DrawsAhead
from groupdnet_hub.training.objectives.discriminator_inputs import Batch
from groupdnet_hub.training.objectives.loss_weights import LossWeights
from groupdnet_hub.training.step import MakeStep, StepKind

# Steps of a kind before it is recorded: in these, libraries settle on their algorithms and optimisers make their state.
_UNRECORDED = 3


@dataclass
class _Recording:
    """Steps of one kind.

    Attributes:
        made: steps so far.
        replay: makes one more.
        losses: what a replay leaves behind.
    """

    made: int = 0
    replay: Callable[[], None] | None = None
    losses: dict[str, Tensor] | None = None


class RecordedStep:
    """Makes the steps of a run, each kind of step from its fourth one on by what was recorded of it.

    What a step reads lies in memory that stays the same: the batch, the losses' weights and the random numbers are
    copied there, and the learning rates are there already. A batch of another size is trained on unrecorded.

    Args:
        step: updates networks, optimisers and streams in place; it may ask for nothing from the host.
        draws: draws the random numbers of its streams.
        record: records work.
    """

    def __init__(
        self,
        step: MakeStep,
        draws: DrawsAhead,
        record: Record,
        device: torch.device,
    ) -> None:
        self._step, self._draws, self._record, self._device = step, draws, record, device
        self._recordings: dict[StepKind, _Recording] = {}
        self._batch: dict[str, Tensor] = {}
        self._numbers: Tensor | None = None

    def __call__(self, batch: Batch, weights: LossWeights, kind: StepKind) -> dict[str, Tensor]:
        """Make a step; the losses that are returned are good until the next one."""
        self._draws.send(kind)
        if self._batch and _shapes(batch) != _shapes(self._batch):
            warnings.warn(
                f"a batch of {_shapes(batch)} is trained on without CUDA graphs; they are of {_shapes(self._batch)}",
                stacklevel=2,
            )
            with self._draws.step((kind, str(_shapes(batch)))):
                return self._step(batch, weights, kind)
        weights = self._sent(batch, weights)
        found = self._recordings.setdefault(kind, _Recording())
        found.made += 1

        def work() -> None:
            with self._draws.step(kind):
                found.losses = self._step(self._batch, weights, kind)

        if found.replay is None and found.made > _UNRECORDED:
            found.replay = self._record(work)
        elif found.replay is None:
            self._aside(work)
        if found.replay is not None:
            found.replay()
        assert found.losses is not None
        return found.losses

    def _aside(self, work: Callable[[], None]) -> None:
        """Do work on a CUDA stream of its own, as what is recorded later will be."""
        if self._device.type != "cuda":
            work()
            return
        stream, usual = torch.cuda.Stream(self._device), torch.cuda.current_stream(self._device)
        stream.wait_stream(usual)
        with torch.cuda.stream(stream):
            work()
        usual.wait_stream(stream)

    def _sent(self, batch: Batch, weights: LossWeights) -> LossWeights:
        """Copy batch and weights to their memory; return the weights there."""
        pinned = self._device.type == "cuda"
        numbers = torch.tensor(weights.numbers(), pin_memory=pinned)
        if self._numbers is None:
            self._batch = {name: torch.empty_like(value) for name, value in batch.items()}
            self._numbers = torch.empty(len(numbers), device=self._device)
        for name, value in batch.items():
            self._batch[name].copy_(value, non_blocking=True)
        self._numbers.copy_(numbers, non_blocking=True)
        return weights.on_device(self._numbers)


def _shapes(batch: Batch) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in batch.items()}
