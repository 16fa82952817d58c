"""Strangers and crowds, over HTTP: one address can neither see nor push out what others have made."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from page.server.crowds.limits import Limits
from page.server.crowds.rates import Allowance

from tests.browser.conftest import serve
from tests.helpers.page_models import page_model
from tests.helpers.resident_memory import resident_mib
from tests.helpers.strangers import API, Stranger

VISITOR, CROWD = "203.0.113.7", "198.51.100.9"


@pytest.fixture(scope="module")
def address(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a page behind one proxy, whose part the tests play, which keeps few sessions."""
    model_folder = tmp_path_factory.mktemp("model")
    page_model().save_pretrained(model_folder)
    limits = {"GROUPDNET_PROXIES": "1", "GROUPDNET_SESSIONS": "20", "GROUPDNET_SESSIONS_PER_ADDRESS": "12"}
    with serve(model_folder, examples, tmp_path_factory.mktemp("crowds"), **limits) as (found, _):
        yield found


def client(page: str, at: str = VISITOR, name: str = "", cookie: str = "") -> Stranger:
    """Return a client at an address of its own."""
    return Stranger(page, name, {"X-Forwarded-For": at, **({"Cookie": cookie} if cookie else {})})


def cookie_of(page: str) -> str:
    """Return the cookie that a browser is sent with the page."""
    with urllib.request.urlopen(page, timeout=60) as answer:
        sent = answer.headers["Set-Cookie"]
    assert "HttpOnly" in sent
    return sent.partition(";")[0]


def test_a_name_from_another_browser_is_another_session(address: str) -> None:
    mine = client(address, name="me", cookie=cookie_of(address))
    other = client(address, name="me", cookie=cookie_of(address))
    mine.call("/keep")
    assert mine.looks() == ["current", "look 1"]
    assert other.looks() == ["current"]
    # A second tab of the first browser is a session too.
    assert client(address, name="tab", cookie=mine.headers["Cookie"]).looks() == ["current"]


def test_a_short_name_without_a_cookie_is_refused_with_a_way_to_make_one(address: str) -> None:
    done, answer = client(address, name="me").call("/keep")
    assert not done
    assert answer["status"] == 400
    assert "'me'" in answer["error"]
    assert "uuidgen" in answer["error"]
    # A browser that blocks cookies sends where the page comes from.
    page = client(address, name="k3j2h1g0f9d")
    page.headers["Origin"] = address.rstrip("/")
    page.call("/keep")
    assert page.looks() == ["current", "look 1"]


def test_events_and_streams_of_another_are_out_of_reach(address: str) -> None:
    mine = client(address, name="shared-by-mistake", cookie=cookie_of(address))
    other = client(address, name="shared-by-mistake", cookie=cookie_of(address))
    status, _ = mine.post(f"{API}call/sample", {"data": [3], "session_hash": mine.session})
    assert status == 200
    # By the name of the session alone nothing is found.
    assert "picture" not in other.stream()
    assert "picture" in mine.stream()


def test_two_hundred_sessions_of_one_address_leave_the_work_of_another(address: str) -> None:
    visitor = client(address)
    visitor.call("/keep")

    def come(number: int) -> bool:
        return client(address, CROWD).call("/keep" if number % 2 else "/looks")[0]

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(come, range(205)))
    assert visitor.looks() == ["current", "look 1"]


def test_a_flood_leaves_an_honest_visitor_a_place(address: str) -> None:
    def flood(number: int) -> int:
        one = client(address, CROWD)
        return one.post(f"{API}call/sample", {"data": [number], "session_hash": one.session})[0]

    visitor = client(address)
    with ThreadPoolExecutor(64) as pool:
        told = list(pool.map(flood, range(128)))
        assert visitor.call("/keep")[0]
    assert set(told) <= {200, 503}
    assert visitor.looks() == ["current", "look 1"]


def test_what_an_address_may_take_comes_back() -> None:
    now = [0.0]
    allowance = Allowance(1.0, 2.0, lambda: now[0])
    assert [allowance.take("a", 1) for _ in range(3)] == [0, 0, 1]
    assert allowance.take("b", 1) == 0
    now[0] = 1.0
    assert allowance.take("a", 1) == 0


@pytest.mark.parametrize("value", ["many", "-1", "0", "1e3"])
def test_a_limit_that_is_none_is_refused_by_its_name(value: str) -> None:
    with pytest.raises(ValueError, match="GROUPDNET_SESSIONS is"):
        Limits.from_environment({"GROUPDNET_SESSIONS": value})


@pytest.mark.slow
@pytest.mark.long
def test_a_thousand_honest_sessions_fit(tmp_path: Path) -> None:
    """``pytest -m long -s tests/security/test_crowds.py``: each has two pictures and a look; 600 MiB."""
    sessions = 1000
    with serve(None, None, tmp_path, GROUPDNET_PROXIES="1") as (page, process):

        def come(number: int) -> Stranger:
            visitor = client(page, f"203.0.113.{number % 250}")
            assert visitor.call("/sample", number)[0]
            assert visitor.call("/keep")[0]
            return visitor

        with ThreadPoolExecutor(8) as pool:
            first = list(pool.map(come, range(8)))
            before = resident_mib(process)
            visitors = [*first, *pool.map(come, range(8, sessions))]
            held = resident_mib(process) - before
            print(f"{held:.0f} MiB more for {sessions} sessions with work")
            looks = list(pool.map(Stranger.looks, visitors))
    assert looks == [["current", "look 1"]] * sessions
    assert held < 600
