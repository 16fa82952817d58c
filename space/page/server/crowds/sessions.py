"""The sessions of all visitors: cheap while they are empty, and none of them pushed out by somebody else's."""

from __future__ import annotations

import datetime
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

from gradio.blocks import Block, Blocks
from gradio.components import State
from gradio.state_holder import SessionState, StateHolder

from ...core.refusal import Refusal
from .limits import Limits

# How many bytes of work a value of a session's state holds; None if that is no work.
Weigh = Callable[[Any], int | None]
# Names that were announced and not yet used, and those of sessions that have ended.
_REMEMBERED = 10_000
_ENDED = (
    "Nothing was done: this session has ended, since it was left for an hour or the page had too many. Reload the "
    "page, and it offers your work again. Programs begin again with another session_hash."
)


class LightSession(SessionState):
    """What gradio keeps of one visitor, without a copy of the page.

    gradio copies the configuration of every component into each session, some 0.5 MB, for links to a state of the page;
    this page has no such links. What is the same for all stays the page's own. A page that makes components while it
    runs (``gr.render``) would need a copy.

    Args:
        blocks: the page.
        address: of the visitor.
        weigh: tells what a value holds.
        on_weighed: called when it holds something else.
        has_ended: whether a session of this name was discarded with the work that it held: no call may take this one,
            in which nothing has been made, for that.
    """

    def __init__(
        self,
        blocks: Blocks,
        address: str,
        weigh: Weigh,
        on_weighed: Callable[[], None],
        has_ended: bool = False,
    ) -> None:
        # Not that of SessionState, which makes the copies.
        self.blocks_config = blocks.default_config
        self.config_values: dict[int, Any] = {}
        self.state_data: dict[int, Any] = {}
        self._state_ttl: dict[int, Any] = {}
        self.is_closed, self.STATE_TTL_WHEN_CLOSED = False, 3600
        self.address, self._has_ended = address, has_ended
        self._weigh, self._on_weighed = weigh, on_weighed
        self._weights: dict[int, int] = {}
        # Components that have other properties for this visitor.
        self._own: dict[int, Block] = {}

    @property
    def has_work(self) -> bool:
        """Whether a visitor would miss it."""
        return bool(self._weights)

    @property
    def weight(self) -> int:
        """Bytes of its work."""
        return sum(self._weights.values())

    def __getitem__(self, key: int) -> Any:
        """Return a component as this visitor has it, or the value of a state.

        Raises:
            Refusal: for a state of a session that has ended.
        """
        if self._has_ended and isinstance(self.blocks_config.blocks.get(key), State):
            raise Refusal(_ENDED)
        return self._own[key] if key in self._own else super().__getitem__(key)

    def __setitem__(self, key: int, value: Any) -> None:
        """Keep a component, or the value of a state."""
        block = self.blocks_config.blocks.get(key)
        if isinstance(block, State):
            self._state_ttl[key] = (block.time_to_live, datetime.datetime.now())
            self.state_data[key] = value
            weight = self._weigh(value)
            if weight is not None:
                self._weights[key] = weight
            else:
                self._weights.pop(key, None)
            self._on_weighed()
        elif value is not block:
            self._own[key] = value

    def _update_config(self, key: int) -> None:
        """Keep no configuration."""

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Keep no values: what the page shows is in the browser."""


class Sessions(StateHolder):
    """All sessions. Where there are too many, or they hold too much, one is discarded for the newest.

    An address that has too many loses its own. Where all together are too many, the one without work that was not used
    for longest goes first. Then goes, of the address that holds most, the session that was not used for longest: so
    nobody's work is pushed out by somebody who brings more.

    Args:
        limits: how many, and how much.
        weigh: what a value holds.
    """

    def __init__(self, limits: Limits, weigh: Weigh) -> None:
        super().__init__()
        self._limits, self._weigh = limits, weigh
        self.session_data: OrderedDict[str, LightSession] = OrderedDict()  # type: ignore[assignment]
        self.lock = threading.RLock()
        self._announced: OrderedDict[str, str] = OrderedDict()
        self._ended: OrderedDict[str, None] = OrderedDict()

    def announce(self, name: str, address: str) -> None:
        """Say where the calls of a session come from, before gradio asks for it."""
        with self.lock:
            found = self.session_data.get(name)
            if found is not None:
                found.address = address
                return
            self._announced[name] = address
            self._announced.move_to_end(name)
            if len(self._announced) > _REMEMBERED:
                self._announced.popitem(last=False)

    def __getitem__(self, session_id: str) -> LightSession:
        """Return a session, which is a new one if there is none of this name."""
        with self.lock:
            found = self.session_data.get(session_id)
            if found is None:
                ended, address = session_id in self._ended, self._announced.pop(session_id, "")
                found = LightSession(
                    self.blocks, address, self._weigh, lambda: self._make_room(session_id), ended
                )
                if ended:  # it has no place among the others
                    return found
                self.session_data[session_id] = found
                self._make_room(session_id)
            else:
                self.session_data.move_to_end(session_id)
            self.time_last_used[session_id] = datetime.datetime.now()
            return found

    def update(self, session_id: str) -> None:
        """Note that a session is in use."""
        with self.lock:
            if session_id in self.session_data:
                self.session_data.move_to_end(session_id)

    def delete_state(self, session_id: str, expired_only: bool = False) -> None:
        """Forget what a session holds, or what of it has expired; nothing is left of one whose page was closed."""
        with self.lock:
            super().delete_state(session_id, expired_only)
            found = self.session_data.get(session_id)
            if found is not None and found.is_closed and not found.state_data:
                self._discard(session_id)

    def _make_room(self, newest: str) -> None:
        """Discard others until the limits are kept; the newest stays, whatever it holds."""
        with self.lock:
            while (name := self._too_much(newest)) is not None:
                self._discard(name)

    def _too_much(self, newest: str) -> str | None:
        """Return the session that is to go."""
        found = self.session_data.get(newest)
        if found is None:  # a call of a session that was discarded meanwhile
            return None
        others = [item for item in self.session_data.items() if item[0] != newest]
        own = [item for item in others if item[1].address == found.address]
        if len(own) >= self._limits.sessions_per_address:
            return self._first_without_work(own) or own[0][0]
        working = [item for item in others if item[1].has_work]
        if len(others) >= self._limits.sessions:
            idle = self._first_without_work(others)
            if idle is not None:
                return idle
            counts = Counter(session.address for _, session in self.session_data.items())
            return _oldest_of(working, counts)
        if sum(session.weight for session in self.session_data.values()) > self._limits.sessions_mib << 20:
            weights: Counter[str] = Counter()
            for session in self.session_data.values():
                weights[session.address] += session.weight
            return _oldest_of(working, weights)
        return None

    @staticmethod
    def _first_without_work(items: Iterable[tuple[str, LightSession]]) -> str | None:
        return next((name for name, session in items if not session.has_work), None)

    def _discard(self, name: str) -> None:
        found = self.session_data.pop(name, None)
        self.time_last_used.pop(name, None)
        if found is not None and found.has_work:
            self._ended[name] = None
            if len(self._ended) > _REMEMBERED:
                self._ended.popitem(last=False)


def _oldest_of(items: list[tuple[str, LightSession]], shares: Counter[str]) -> str | None:
    """Return the session, of those of the address with the largest share, that was not used for longest."""
    if not items:
        return None
    most = max(shares[session.address] for _, session in items)
    return next(name for name, session in items if shares[session.address] == most)
