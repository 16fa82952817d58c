"""After a flood of 64 clients a new visitor soon has a picture, by the clock; ``pytest -m slow -s`` tells how soon."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import serve
from tests.helpers.page_models import page_model
from tests.helpers.strangers import API, Stranger

pytestmark = pytest.mark.slow
CLIENTS, SECONDS = 64, 15


@pytest.fixture(scope="module")
def address(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a page behind one proxy, whose part the tests play."""
    folder = tmp_path_factory.mktemp("recovery")
    page_model().save_pretrained(folder / "model")
    with serve(folder / "model", examples, folder, GROUPDNET_PROXIES="1") as (found, _):
        yield found


def seconds_to_a_picture(address: str) -> float:
    """Return how long a new visitor waits for the page, a picture and its file; where told to, they try again."""
    visitor, begun = Stranger(address, headers={"X-Forwarded-For": "203.0.113.7"}), time.monotonic()
    while True:
        page, _ = visitor.ask("/")
        done, answer = visitor.call("/sample", 29)
        if page == 200 and done:
            status, picture = visitor.ask(f"{API}file={answer[1]['path']}")
            assert status == 200
            assert "PNG" in picture[:8]
            return time.monotonic() - begun
        assert time.monotonic() - begun < 10 * SECONDS, answer
        time.sleep(0.2)


@pytest.mark.parametrize(("addresses", "long_work"), [(1, "nine_samples"), (CLIENTS, "nine_samples")])
def test_a_picture_soon_after_a_flood(address: str, addresses: int, long_work: str) -> None:
    """Of one address, and of as many as clients, who ask for what takes longest and go away."""
    host = urlsplit(address)

    def flood(number: int) -> set[int]:
        at = f"198.51.100.{number % addresses}"
        client, told = Stranger(address, headers={"X-Forwarded-For": at}), set()
        film = ["current", "example 2", None, "gif", True]
        for seed in range(4):
            for endpoint, data in (
                (long_work, [seed]),
                ("film", film),
                ("sample", [seed]),
                ("sample", ["x"]),
            ):
                body = {"data": data, "session_hash": client.session}
                told.add(client.post(f"{API}call/{endpoint}", body)[0])
            told.add(client.upload(b"map.png", bytes(1 << 18))[0])
        return told

    with contextlib.ExitStack() as lines:
        for number in range(CLIENTS):  # and as many who begin a request and never end it
            line = lines.enter_context(socket.create_connection((host.hostname, host.port)))
            line.sendall(b"POST /gradio_api/upload HTTP/1.1\r\nContent-Length: %d\r\n" % (1 << number % 24))
        with ThreadPoolExecutor(CLIENTS) as pool:
            told = set().union(*pool.map(flood, range(CLIENTS)))
    assert told <= {200, 400, 429, 503}, told
    waited = seconds_to_a_picture(address)
    print(f"{waited:.1f} s to a picture after a flood of {CLIENTS} clients of {addresses} addresses")
    assert waited < SECONDS
    assert json.loads(Stranger(address).ask("/config")[1])["dependencies"]
