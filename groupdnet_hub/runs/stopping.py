"""When a run stops before its last step: because of a signal, or for lack of time."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from groupdnet_hub.runs.signals import StopSignals

# What a run stops for beside signals, which have larger numbers: where both hold, the signal counts.
OUT_OF_TIME = 1

# One process may be at a preview or a checkpoint for long, while the others wait.
_LONGEST_WAIT = timedelta(days=7)


class StopAgreement:
    """Finds the step after which all processes of a run stop, when one of them was sent a signal or its time is up.

    Several processes tell each other after every step, over the network of their hosts and not of their GPUs. What is
    sent after one step is read after the next: it has long arrived then, and nobody waits for it.

    Args:
        signals: those that this process was sent.
        seconds: time limit from now; None for none.
        processes: number of processes.
    """

    def __init__(self, signals: StopSignals, seconds: float | None, processes: int) -> None:
        self._signals = signals
        self._end = None if seconds is None else time.monotonic() + seconds
        several = processes > 1 and dist.is_available() and dist.is_initialized()
        self._group: Any = dist.new_group(backend="gloo", timeout=_LONGEST_WAIT) if several else None
        self._under_way: tuple[Tensor, Any] | None = None

    def reason(self) -> int | None:
        """Return why the run stops after this step: a signal's number, ``OUT_OF_TIME``, or None if it does not.

        Every process calls it after every step, and all get the same answer.
        """
        if self._group is None:
            return self._own() or None
        before, found = self._under_way, torch.tensor(self._own())
        work = dist.all_reduce(found, op=dist.ReduceOp.MAX, group=self._group, async_op=True)
        self._under_way = (found, work)
        if before is None:
            return None
        answer, work = before
        work.wait()
        return int(answer) or None

    def _own(self) -> int:
        if self._signals.asked is not None:
            return int(self._signals.asked)
        return OUT_OF_TIME if self._end is not None and time.monotonic() >= self._end else 0
