"""All random numbers of a step, drawn on the host and sent to the device in one copy that nobody waits for."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

# ``torch.rand`` or ``torch.randn``.
Draw = Callable[..., Tensor]


class Source(Protocol):
    """A stream of random numbers."""

    def on_host(self, draw: Draw, shape: tuple[int, ...]) -> Tensor:
        """Return the next numbers of this process, on the CPU."""


@dataclass
class _Plan:
    """What a kind of step draws.

    Attributes:
        draws: in their order.
        numbers: of all draws, one behind the other, on the device; the memory stays the same.
    """

    draws: list[tuple[Source, Draw, tuple[int, ...]]] = field(default_factory=list)
    numbers: Tensor | None = None

    def sizes(self) -> list[int]:
        return [torch.Size(shape).numel() for _, _, shape in self.draws]


class DrawsAhead:
    """Draws what a step is going to ask for before it begins.

    Steps of one kind ask for the same numbers of the same streams in the same order. The first step of each kind tells
    which; from the second one on they are drawn ahead. Every stream gives the same numbers either way.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._plans: dict[Hashable, _Plan] = {}
        self._plan: _Plan | None = None
        self._ready: Iterator[Tensor] | None = None
        self._expected: Iterator[tuple[Source, Draw, tuple[int, ...]]] = iter(())

    def send(self, kind: Hashable) -> None:
        """Draw the numbers of a step of this kind, where it is known what they are, and send them to the device."""
        plan = self._plans.get(kind)
        if plan is None:
            return
        # New memory each time: the copy before may not be done yet.
        numbers = torch.empty(sum(plan.sizes()), pin_memory=self._device.type == "cuda")
        for (source, draw, shape), place in zip(plan.draws, numbers.split(plan.sizes()), strict=True):
            place.copy_(source.on_host(draw, shape).flatten())
        if plan.numbers is None:
            plan.numbers = torch.empty(len(numbers), device=self._device)
        plan.numbers.copy_(numbers, non_blocking=True)

    @contextmanager
    def step(self, kind: Hashable) -> Iterator[None]:
        """Begin and end a step of this kind, for which :meth:`send` was called.

        Raises:
            RuntimeError: if it asks for other numbers than the first of its kind.
        """
        self._plan = self._plans.get(kind)
        if self._plan is None:
            self._plan, self._ready = _Plan(), None
        else:
            assert self._plan.numbers is not None
            self._ready = iter(self._plan.numbers.split(self._plan.sizes()))
            self._expected = iter(self._plan.draws)
        try:
            yield
            if self._ready is not None and next(self._ready, None) is not None:
                raise RuntimeError(
                    f"a step of kind {kind} asked for fewer random numbers than the first of its kind"
                )
            self._plans[kind] = self._plan
        finally:
            self._plan = self._ready = None

    def take(self, source: Source, draw: Draw, shape: tuple[int, ...]) -> Tensor:
        """Return the next numbers of a stream, on the device."""
        if self._ready is None:
            if self._plan is not None:
                self._plan.draws.append((source, draw, shape))
            return source.on_host(draw, shape).to(self._device)
        if next(self._expected, None) != (source, draw, shape):
            raise RuntimeError("a step asked for other random numbers than the first of its kind")
        return next(self._ready).view(shape)
