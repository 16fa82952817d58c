"""Training for a limited time."""

from __future__ import annotations

import time

from accelerate.utils import broadcast_object_list


class TimeLimit:
    """Says when a run has trained long enough, and says the same to all of its processes.

    Args:
        seconds: from now on; None for no limit.
        processes: number of processes of the run.
        interval: several processes agree only at every ``interval``-th step, because asking the main process's clock
            takes a message.
    """

    def __init__(self, seconds: float | None, processes: int, interval: int) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds
        self._processes, self._interval = processes, interval

    def reached(self, step: int) -> bool:
        """Return whether the run stops after this step; every process asks after every step."""
        if self._end is None or (self._processes > 1 and step % self._interval):
            return False
        reached = [time.monotonic() >= self._end]
        if self._processes > 1:
            broadcast_object_list(reached)
        return reached[0]
