"""Random draws that do not depend on how many processes share a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Any, ClassVar

import torch
from torch import Tensor

from groupdnet_hub.training.fast.draws_ahead import Draw, DrawsAhead


@unique
class StreamId(IntEnum):
    """The kinds of streams; each draws for itself, so that a flag that adds one leaves the others as they are.

    An id is part of a stream's seed: a changed one would draw other numbers in runs that are resumed or repeated.
    """

    NOISE = 0
    DIFFAUGMENT = 1
    PERCEPTUAL_CROPS = 2
    CLASS_EXCHANGE = 3
    CLASS_COLOURS = 4
    CODE_MEMORY = 5
    LABEL_MIX = 10
    DISCRIMINATOR_CROPS = 11
    REDRAW_WINDOWS = 12


@dataclass(frozen=True)
class RunSeed:
    """What a process's streams are seeded with.

    Attributes:
        seed: that of the run.
        process_index: which process this is, from 0.
        num_processes: how many share a batch.
    """

    seed: int
    process_index: int = 0
    num_processes: int = 1


class SharedStream:
    """Random draws for the pictures of all processes, so that they do not depend on how many processes there are.

    Its state is part of a checkpoint.

    Attributes:
        stream_id: the kind of stream.
        ahead: where its numbers are drawn ahead, see :mod:`groupdnet_hub.training.fast.draws_ahead`.
    """

    stream_id: ClassVar[StreamId]
    ahead: DrawsAhead | None = None

    def __init__(self, seed: RunSeed) -> None:
        self.generator = torch.Generator().manual_seed(seed.seed * 65_537 + self.stream_id)
        self.process_index, self.num_processes = seed.process_index, seed.num_processes

    def compile(self, **options: Any) -> None:
        """Have ``torch.compile`` take what is done with the numbers, where that is worth it; nothing here."""

    def uniform(self, *shape: int, device: torch.device) -> Tensor:
        """Return numbers from 0 to 1 for this process's batch."""
        return self._drawn(torch.rand, shape, device)

    def on_host(self, draw: Draw, shape: tuple[int, ...]) -> Tensor:
        """Return the next numbers by ``torch.rand`` or ``torch.randn`` for this process's batch, on the CPU."""
        return draw((self.num_processes, *shape), generator=self.generator)[self.process_index]

    def _drawn(self, draw: Draw, shape: tuple[int, ...], device: torch.device) -> Tensor:
        if self.ahead is not None:
            return self.ahead.take(self, draw, shape)
        return self.on_host(draw, shape).to(device)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the state for a checkpoint."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Load the state from a checkpoint."""
        self.generator.set_state(state["generator"].cpu())


class NoiseSource(SharedStream):
    """The codes' noise."""

    stream_id = StreamId.NOISE

    def draw(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """Return standard normal noise for this process's batch."""
        return self._drawn(torch.randn, shape, device)
