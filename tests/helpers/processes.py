"""Processes that tests start together, and the one that they run in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch


def torchrun(processes: int) -> tuple[str, ...]:
    """What ``python -m`` runs to start a script in several processes.

    torchrun finds a port itself: one that was free a moment ago may be taken by the time it is asked for.
    """
    return ("torch.distributed.run", "--standalone", "--nproc_per_node", str(processes))


@contextmanager
def process_as_it_was() -> Iterator[None]:
    """A run in this process on its CPU; it sets threads and seeds, and accelerate keeps its state."""
    threads = torch.get_num_threads()
    reset_accelerate()
    try:
        with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
            patch.setenv("ACCELERATE_USE_CPU", "true")
            yield
    finally:
        torch.set_num_threads(threads)
        reset_accelerate()


def reset_accelerate() -> None:
    """Let accelerate forget what the last run in this process chose."""
    from accelerate.state import AcceleratorState, GradientState

    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
