"""Which session goes when there are too many, without a server."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import gradio as gr
import pytest
from page.core.memory.work_bytes import work_bytes
from page.core.refusal import Refusal
from page.core.session import Session
from page.server.crowds.addresses import note_address
from page.server.crowds.limits import Limits
from page.server.crowds.proxies import ProxyHint
from page.server.crowds.sessions import Sessions

MIB = 1 << 20


@functools.cache
def page() -> tuple[gr.Blocks, int]:
    """Return a page, and the id of its state; making one takes gradio most of a second."""
    with gr.Blocks() as made:
        state = gr.State(None)
    return made, state._id


def holder(**limits: int) -> tuple[Sessions, int]:
    """Return sessions, of which a state's number says how many MiB of work it holds, and the state's id."""
    blocks, state = page()
    sessions = Sessions(Limits(**limits), lambda mib: mib * MIB if mib else None)
    sessions.set_blocks(blocks)
    return sessions, state


def come(sessions: Sessions, state: int, name: str, address: str, mib: int = 0) -> None:
    sessions.announce(name, address)
    sessions[name][state] = mib


def test_those_without_work_go_first() -> None:
    sessions, state = holder(sessions=3)
    come(sessions, state, "work", "a", mib=1)
    for name in ("old", "new", "newest"):
        come(sessions, state, name, "b")
    assert list(sessions.session_data) == ["work", "new", "newest"]


def test_an_address_with_too_many_loses_its_own() -> None:
    sessions, state = holder(sessions_per_address=2)
    come(sessions, state, "mine", "a", mib=1)
    for name in ("1", "2", "3"):
        come(sessions, state, name, "b", mib=1)
    assert list(sessions.session_data) == ["mine", "2", "3"]


def test_what_is_too_much_is_taken_from_whoever_has_most() -> None:
    sessions, state = holder(sessions_mib=16)
    come(sessions, state, "mine", "a", mib=4)
    for name in ("1", "2", "3"):
        come(sessions, state, name, "b", mib=6)
    assert list(sessions.session_data) == ["mine", "2", "3"]


def test_the_newest_stays_whatever_it_holds() -> None:
    sessions, state = holder(sessions_mib=16)
    come(sessions, state, "large", "a", mib=20)
    assert list(sessions.session_data) == ["large"]


def test_a_session_that_was_closed_leaves_nothing_when_it_expires() -> None:
    sessions, state = holder()
    come(sessions, state, "gone", "a", mib=1)
    sessions["gone"].is_closed = True
    sessions["gone"].STATE_TTL_WHEN_CLOSED = -1
    sessions.delete_all_expired_state()
    assert "gone" not in sessions


def test_what_every_visitor_is_shown_is_no_work() -> None:
    assert work_bytes(Session()) is None
    assert work_bytes(Session(locked=("hair",))) == 0


def test_a_header_is_believed_only_behind_a_proxy_of_the_operator() -> None:
    def address(proxies: int, forwarded: str) -> str:
        headers = [(b"x-forwarded-for", forwarded.encode())]
        return note_address({"type": "http", "client": ("192.0.2.1", 5), "headers": headers}, proxies)

    assert address(0, "203.0.113.7") == "192.0.2.1"
    assert address(1, "1.2.3.4, 203.0.113.7") == "203.0.113.7"
    assert address(2, "1.2.3.4, 203.0.113.7, 198.51.100.1") == "203.0.113.7"
    assert address(1, "2001:db8:1:2:3::4") == address(1, "2001:db8:1:2:9::9") == "2001:db8:1:2::/64"


def test_a_session_with_work_that_was_discarded_is_no_new_one() -> None:
    sessions, state = holder(sessions_per_address=1)
    come(sessions, state, "work", "a", mib=1)
    come(sessions, state, "newer", "a", mib=1)
    with pytest.raises(Refusal, match="this session has ended"):
        sessions["work"][state]
    # And it takes no place of another.
    assert list(sessions.session_data) == ["newer"]
    come(sessions, state, "idle", "b")
    come(sessions, state, "newest", "b")
    assert sessions["idle"][state] is None


def test_a_proxy_that_nobody_told_of_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        """Answer nothing."""

    def ask(hint: ProxyHint, *names: bytes) -> None:
        headers = [(name, b"203.0.113.7") for name in (b"host", *names)]
        asyncio.run(hint({"type": "http", "headers": headers}, None, None))  # type: ignore[arg-type]

    for name in (b"x-forwarded-for", b"forwarded"):
        hint = ProxyHint(answer)
        ask(hint)
        assert not caplog.messages
        ask(hint, name)
        ask(hint, name)
        (told,) = caplog.messages
        assert told.startswith(f"A request has the header {name.decode()}:")
        assert "Set GROUPDNET_PROXIES to" in told
        assert len(told) < 300  # what the log takes in one line
        caplog.clear()
