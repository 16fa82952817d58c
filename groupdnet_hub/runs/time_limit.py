"""Training for up to n seconds."""

from __future__ import annotations

import time

from accelerate.utils import broadcast_object_list


class TimeLimit:
    """Ends a run after some time, on all of its processes at the same step.

    Args:
        seconds: time limit from now; None for none.
        processes: number of processes. Several agree only at every ``interval``-th step, because reading the main
            process's clock takes a message.
        interval: steps between two such readings.
    """

    def __init__(self, seconds: float | None, processes: int, interval: int) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds
        self._processes, self._interval = processes, interval

    def reached(self, step: int) -> bool:
        """Return whether the run stops after this step; every process calls it after every step."""
        if self._end is None or (self._processes > 1 and step % self._interval):
            return False
        reached = [time.monotonic() >= self._end]
        if self._processes > 1:
            broadcast_object_list(reached)
        return reached[0]
