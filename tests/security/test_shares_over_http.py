"""What one address may have of the page, over HTTP: too much is refused with a sentence, and others notice nothing."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import serve
from tests.browser.visitor import wait_for
from tests.helpers.page_models import page_model
from tests.helpers.strangers import API, Stranger

MIB = 1 << 20
CALLS, STREAMS = 240, 8


class Page(NamedTuple):
    """A page behind one proxy, whose part the tests play, and the folder of its temporary files."""

    address: str
    temporary: Path

    def visitor(self, at: str, cookie: str = "") -> Stranger:
        """Return a client whose requests come from an address."""
        return Stranger(
            self.address, headers={"X-Forwarded-For": at, **({"Cookie": cookie} if cookie else {})}
        )


@pytest.fixture(scope="module")
def page(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("shares")
    page_model().save_pretrained(folder / "model")
    variables = {
        "GROUPDNET_PROXIES": "1",
        "GROUPDNET_CALLS_PER_MINUTE": str(CALLS),
        "GROUPDNET_REQUESTS_PER_ADDRESS": str(STREAMS),
        "GROUPDNET_UPLOADS_MIB_PER_HOUR": "4",
        "GROUPDNET_SESSIONS_PER_ADDRESS": "2",
        "GRADIO_TEMP_DIR": str(folder / "temporary"),
    }
    with serve(folder / "model", examples, folder, **variables) as (address, _):
        yield Page(address, folder / "temporary")


def sentence_of(answer: tuple[int, str], status: int) -> str:
    assert answer[0] == status, answer
    return json.loads(answer[1])["detail"]


def test_calls(page: Page) -> None:
    crowd, other = page.visitor("198.51.100.1"), page.visitor("203.0.113.1")
    # A quarter of a minute's may come at once; some come back meanwhile.
    answers = (crowd.ask(f"{API}startup-events") for _ in range(CALLS))
    refused = next(answer for answer in answers if answer[0] != 200)
    sentence = sentence_of(refused, 429)
    assert sentence.startswith(f"More than {CALLS} calls a minute come from your address")
    assert "(GROUPDNET_CALLS_PER_MINUTE): try again in " in sentence
    done, answer = other.call("/sample", 1)
    assert done, answer


def test_open_streams(page: Page) -> None:
    at = {"X-Forwarded-For": "198.51.100.2"}
    crowd, other = page.visitor("198.51.100.2"), page.visitor("203.0.113.2")
    with contextlib.ExitStack() as lines:
        for number in range(STREAMS):
            line = http.client.HTTPConnection(urlsplit(page.address).netloc, timeout=60)
            lines.callback(line.close)
            line.request("GET", f"{API}heartbeat/stream-that-stays-open-{number}", headers=at)
            assert line.getresponse().read(5) == b"data:"
        sentence = sentence_of(crowd.ask("/config"), 429)
        assert sentence.startswith(f"Your address has {STREAMS} requests open at once")
        assert other.call("/keep")[0]
    wait_for(lambda: crowd.ask("/config")[0] == 200, "closed streams to count no more", 30)


def test_uploads(page: Page) -> None:
    crowd, other = page.visitor("198.51.100.3"), page.visitor("203.0.113.3")
    file = bytes(3 * MIB // 2)
    assert [crowd.upload(b"map.png", file)[0] for _ in range(2)] == [200, 200]
    sentence = sentence_of(crowd.upload(b"map.png", file), 429)
    assert sentence.startswith("More than 4 MiB an hour are uploaded from your address")
    assert other.upload(b"map.png", file)[0] == 200
    unsized = other.ask(
        f"{API}upload",
        b"0\r\n\r\n",
        content_type="multipart/form-data",
        headers={"Transfer-Encoding": "chunked"},
    )
    assert "send a Content-Length" in json.loads(unsized[1])["detail"]


def test_uploads_that_are_broken_off_leave_nothing(page: Page) -> None:
    host = urlsplit(page.address)
    head = (
        f"POST {API}upload HTTP/1.1\r\nHost: {host.netloc}\r\nX-Forwarded-For: 203.0.113.4\r\n"
        f"Content-Type: multipart/form-data; boundary=edge\r\nContent-Length: {MIB}\r\n\r\n"
        '--edge\r\nContent-Disposition: form-data; name="files"; filename="map.png"\r\n\r\n'
    )

    def written() -> list[Path]:
        """Return what gradio writes before an upload has its name."""
        return [path for path in page.temporary.glob("groupdnet-page-*/tmp*") if path.is_file()]

    with socket.create_connection((host.hostname, host.port)) as line:
        line.sendall(head.encode() + bytes(MIB // 2))
        wait_for(lambda: bool(written()), "the upload's first half", 30)
    wait_for(lambda: not written(), "the half of an upload to go", 30)
    # More files than a form may have.
    parts = b"".join(
        b'--edge\r\nContent-Disposition: form-data; name="files"; filename="%d"\r\n\r\nx\r\n' % number
        for number in range(20)
    )
    form = parts + b"--edge--\r\n"
    visitor = page.visitor("203.0.113.4")
    status, text = visitor.ask(f"{API}upload", form, content_type="multipart/form-data; boundary=edge")
    assert status == 400
    assert "Too many files" in text
    wait_for(lambda: not written(), "the files of a form that was refused to go", 30)


@pytest.mark.slow
def test_only_its_own_session_cancels_a_call(page: Page) -> None:
    mine, other = page.visitor("203.0.113.5"), page.visitor("198.51.100.5")
    film = ["current", "example 2", None, "gif", False]
    config = json.loads(mine.ask("/config")[1])
    number = next(one["id"] for one in config["dependencies"] if one["api_name"] == "film")

    def order() -> str:
        status, text = mine.post(f"{API}call/film", {"data": film, "session_hash": mine.session})
        assert status == 200, text
        return json.loads(text)["event_id"]

    def cancel(by: Stranger, event: str, session: str) -> tuple[int, str]:
        return by.post(f"{API}cancel", {"event_id": event, "fn_index": number, "session_hash": session})

    # Two are drawn at a time, so that the last waits.
    *_, last = [order() for _ in range(3)]
    for name in (other.session, mine.session + "x", ""):
        assert sentence_of(cancel(other, last, name), 404).startswith(
            "Your session has no call of this number"
        )
    assert "morph.gif" in mine.ask(f"{API}call/film/{last}")[1]
    assert cancel(mine, order(), mine.session)[0] == 200


def test_a_session_that_was_discarded_says_so_and_does_nothing(page: Page) -> None:
    first, second, third = (page.visitor("203.0.113.6") for _ in range(3))
    assert first.call("/keep")[0]
    assert second.call("/keep")[0]
    assert third.call("/keep")[0]
    for call in (("/keep",), ("/sample", 3), ("/looks",)):
        done, answer = first.call(*call)
        assert not done
        assert answer["error"].startswith("Nothing was done: this session has ended")
        assert "Reload the page" in answer["error"]
    assert second.looks() == third.looks() == ["current", "look 1"]
    assert page.visitor("203.0.113.6").call("/looks")[0]


def test_two_pages_that_are_opened_at_once_keep_their_sessions(page: Page) -> None:
    cookies = []
    for _ in range(2):  # neither request has a cookie yet
        line = http.client.HTTPConnection(urlsplit(page.address).netloc, timeout=60)
        line.request("GET", "/", headers={"X-Forwarded-For": "203.0.113.7"})
        cookies.append((line.getresponse().getheader("Set-Cookie") or "").partition(";")[0])
        line.close()
    assert len({cookie.partition("=")[0] for cookie in cookies}) == 2
    first = page.visitor("203.0.113.7", cookies[0])
    assert first.call("/keep")[0]
    # The browser has both from now on, and sends the older one first.
    first.headers["Cookie"] = "; ".join(cookies)
    assert first.looks() == ["current", "look 1"]
    second = page.visitor("203.0.113.7", "; ".join(cookies))
    assert second.call("/keep")[0]
    assert first.call("/keep")[0]
    assert (first.looks(), second.looks()) == (["current", "look 1", "look 2"], ["current", "look 1"])
