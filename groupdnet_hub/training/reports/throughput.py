"""How fast a run is, and how much memory it takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Throughput:
    """Counts pictures and the time spent on them; sample grids and checkpoints do not count."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.restart()

    def restart(self) -> None:
        """Begin a new period."""
        self._pictures, self._started = 0, time.perf_counter()

    def count(self, pictures: int) -> None:
        """Count ``pictures`` more that were trained on."""
        self._pictures += pictures

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out the time until the context ends."""
        before = time.perf_counter()
        yield
        self._started += time.perf_counter() - before

    def report(self) -> dict[str, float]:
        """Return ``images_per_second`` since the last report, all processes together, and ``peak_memory_gib``.

        The memory is that of the device, or of the process where the CPU trains.
        """
        seconds = time.perf_counter() - self._started
        speed = self._pictures / seconds if seconds > 0 else 0.0
        self.restart()
        return {"images_per_second": speed, "peak_memory_gib": self._peak_memory() / 2**30}

    def _peak_memory(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        try:
            import resource
        except ImportError:  # Windows
            import psutil

            return psutil.Process().memory_info().peak_wset
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
