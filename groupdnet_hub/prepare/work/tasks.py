"""Tasks of one process: in worker processes, or, where a device works for them, in threads beside it."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")

# Tasks that wait for a worker, each: a queue of millions would fill the memory.
_QUEUED = 4
# While a device works for one task, the pictures of the other are read and written.
_BESIDE_A_DEVICE = 2


def run_tasks(
    fn: Callable[[T], R], tasks: Iterable[T], num_workers: int, *, on_device: bool = False
) -> Iterator[R]:
    """Yield the results of tasks, in their order.

    Args:
        fn: what is done; pickled for worker processes.
        tasks: made as they are needed.
        num_workers: number of worker processes; 0 for none.
        on_device: whether a device works for the tasks, which then stay in this process.

    Raises:
        ValueError: if a worker process died.
    """
    if on_device:
        with ThreadPoolExecutor(_BESIDE_A_DEVICE) as threads:
            yield from _in_order(threads, fn, tasks, _BESIDE_A_DEVICE)
        return
    if num_workers == 0:
        yield from map(fn, tasks)
        return
    # Fresh processes: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_workers, context, initializer=_start_worker)
    try:
        yield from _in_order(pool, fn, tasks, _QUEUED * num_workers)
    except BrokenProcessPool:
        raise ValueError(
            "a worker process died, perhaps for lack of memory: finished items are kept; run this again, with a "
            "smaller --num_workers"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(pool: Executor, fn: Callable[[T], R], tasks: Iterable[T], ahead: int) -> Iterator[R]:
    waiting: deque[Future[R]] = deque()
    for task in tasks:
        waiting.append(pool.submit(fn, task))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _start_worker() -> None:
    """Give the worker one thread, no stack trace on Ctrl-C, and an end with the main process."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    if parent is None:
        return
    sentinel = parent.sentinel

    def follow() -> None:
        # A pool's workers outlive a killed main process: they wait for work that never comes.
        multiprocessing.connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
