"""Processes that read pictures for a run: they end with it, and not before, whatever signals reach them."""

from __future__ import annotations

import multiprocessing
import multiprocessing.context
import os
import signal
import sys
import threading
from typing import Any

from groupdnet_hub.runs.signals import STOPPING


def worker_options(workers: int) -> dict[str, Any]:
    """Return what a ``DataLoader`` with this many workers is given for them."""
    if not workers:
        return {"num_workers": 0}
    return {
        "num_workers": workers,
        "persistent_workers": True,
        "worker_init_fn": leave_signals_to_parent,
        # A server between a run and its workers would be ended by a signal that all of them get.
        "multiprocessing_context": _Workers() if sys.platform == "linux" else None,
    }


if sys.platform == "linux":

    class _Worker(multiprocessing.context.ForkProcess):
        """A process from which signals that ask to stop are held back until it has said what to do with them."""

        def start(self) -> None:
            before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
            try:
                super().start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    class _Workers(multiprocessing.context.ForkContext):
        Process = _Worker


def leave_signals_to_parent(worker: int = 0) -> None:
    """Have this worker ignore signals that ask to stop, but for the ``SIGTERM`` of the process that it works for.

    Terminals, launchers and service managers send them to workers as well, and a run whose workers are gone cannot
    finish its step. A worker ends by itself when its run does.

    Args:
        worker: its number, as a loader's ``worker_init_fn`` gets it.
    """
    for number in STOPPING:
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if sys.platform != "linux" or parent is None:
        return  # elsewhere nobody tells who sent a signal
    run = parent.pid
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [one for one in STOPPING if one != signal.SIGTERM])

    def follow() -> None:
        while signal.sigwaitinfo([signal.SIGTERM]).si_pid != run:
            pass
        os._exit(0)

    threading.Thread(target=follow, daemon=True).start()
