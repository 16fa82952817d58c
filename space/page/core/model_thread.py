"""The thread in which models draw: what a visitor waits for is done before the next piece of long work."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import PriorityQueue
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


class ModelThread:
    """One thread for all models: each further one would bring its own pool of threads and its own memory.

    Short calls are done before pieces of long work, and either in the order in which they came. Whoever has long work
    hands in a piece when the one before is done, so that several of them take turns. They do get their turns: the
    page's queue lets one short call at a time come here, and there is time for a piece between two of them.
    """

    def __init__(self) -> None:
        # Sorted by: whether it is a piece, and when it came. No two came at once, so futures are never compared.
        self._waiting: PriorityQueue[tuple[bool, int, Future[Any], Callable[[], Any]]] = PriorityQueue()
        self._arrivals = itertools.count()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="model")

    def submit(self, call: Callable[[], ResultT], *, piece: bool = False) -> Future[ResultT]:
        """Return the result of a call to come. It is not begun once the future is cancelled.

        Args:
            call: what is to be done.
            piece: whether it is a piece of long work, which lets short calls pass.
        """
        future: Future[ResultT] = Future()
        self._waiting.put((piece, next(self._arrivals), future, call))
        self._executor.submit(self._do_next)
        return future

    def _do_next(self) -> None:
        """Do what is next now, which may have come later than what this was submitted for."""
        *_, future, call = self._waiting.get_nowait()
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)
