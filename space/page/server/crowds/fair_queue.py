"""The line of calls that wait: addresses take turns, none of them has all its places, and who went away waits last."""

from __future__ import annotations

import itertools
from collections import Counter, OrderedDict
from typing import Any, Literal

from gradio.data_classes import PredictBodyInternal
from gradio.queueing import Event, Queue
from starlette.requests import Request

from .addresses import address_of
from .limits import Limits, variable

# Answers that an address has not fetched: a call's answer may be half a MB.
_UNFETCHED = 128
_REMEMBERED = 4096

Pushed = tuple[bool, str | list[dict[str, Any]], Literal["success", "error", "queue_full", "validator_error"]]


class FairQueue(Queue):
    """gradio's queue, in which a flood from one address leaves the others their places and their turn.

    Of the calls that wait, that of the address which waited longest for its turn is next, and of its sessions that
    which waited longest. Calls whose answers nobody listens for, such as those that a flood has left, are done when no
    others wait.

    Args:
        queue: gradio's, as ``Blocks.queue`` made it.
        limits: of an address.
        films: the ``concurrency_id`` of calls that take long.
    """

    def __init__(self, queue: Queue, limits: Limits, films: str) -> None:
        super().__init__(
            queue.live_updates,
            queue.max_thread_count,
            queue.update_intervals,
            queue.max_size,
            queue.blocks,
            queue.default_concurrency_limit,
        )
        self._limits, self._films = limits, films
        self._turns = itertools.count(1)
        self._served: OrderedDict[str, int] = OrderedDict()
        # Of each address: its calls by their ids, with the session of each.
        self._calls: dict[str, dict[str, str]] = {}

    async def push(self, body: PredictBodyInternal, request: Request, username: str | None) -> Pushed:
        """Take a call into the line, unless its address has too many there."""
        address = address_of(request.scope)
        waiting = [event for line in self.event_queue_per_concurrency_id.values() for event in line.queue]
        places = Counter(_address(event) for event in waiting)
        if places[address] >= self._limits.queue_per_address:
            told = f"{places[address]} calls from your address wait already ({variable('queue_per_address')})"
            return False, f"The queue is full for you: {told}. Try again a little later.", "queue_full"
        running = [event for job in self.active_jobs if job for event in job]
        films = [event for event in (*waiting, *running) if event.concurrency_id == self._films]
        own = sum(_address(event) == address for event in films)
        if self._is_film(body) and own >= self._limits.films_per_address:
            told = f"{own} films are being made for your address ({variable('films_per_address')})"
            return False, f"{told}: try again when one of them is done.", "error"
        self._drop_unfetched(address)
        pushed = await super().push(body, request, username)
        if pushed[0] and body.session_hash:
            self._calls.setdefault(address, {})[str(pushed[1])] = body.session_hash
        return pushed

    def get_events(self) -> tuple[list[Event], bool, str] | None:
        """Return what is done next."""
        for line in self.event_queue_per_concurrency_id.values():
            free = line.concurrency_limit is None or line.current_concurrency < line.concurrency_limit
            if free and len(line.queue) > 1:
                following = min(line.queue, key=self._last_turn)
                line.queue.remove(following)
                line.queue.insert(0, following)
        taken = super().get_events()
        for event in taken[0] if taken else []:
            turn = next(self._turns)
            for name in (_address(event), event.session_hash):
                self._served[name] = turn
                self._served.move_to_end(name)
        while len(self._served) > _REMEMBERED:
            self._served.popitem(last=False)
        return taken

    def _last_turn(self, event: Event) -> tuple[bool, int, int]:
        address, session = _address(event), event.session_hash
        return self._is_unheard(session), self._served.get(address, 0), self._served.get(session, 0)

    def _is_unheard(self, session: str) -> bool:
        """Return whether nobody reads what a session's calls are told, such as their place in the line at once."""
        told = self.pending_messages_per_session.get(session)
        return told is None or not told.empty()

    def _is_film(self, body: PredictBodyInternal) -> bool:
        function = None if body.fn_index is None else self.blocks.fns.get(body.fn_index)
        return function is not None and function.concurrency_id == self._films

    def _drop_unfetched(self, address: str) -> None:
        """Drop the oldest answers that an address did not fetch: gradio would keep them for as long as it runs."""
        calls = self._calls.get(address, {})
        for event, session in list(calls.items()):
            if event not in self.pending_event_ids_session.get(session, ()):
                del calls[event]
        done = [event for event in calls if event not in self.event_ids_to_events]
        for event in done[: max(0, len(calls) - _UNFETCHED)]:
            session = calls.pop(event)
            self.pending_messages_per_session.pop(session, None)
            self.pending_event_ids_session.pop(session, None)
        if not calls:
            self._calls.pop(address, None)


def _address(event: Event) -> str:
    return address_of(event.request.scope)
