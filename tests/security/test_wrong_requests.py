"""Paths and bodies that strangers send: nothing but what the page serves, and a sentence each."""

from __future__ import annotations

import tempfile
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from tests.helpers.sentences import is_sentence, sentence_of
from tests.helpers.strangers import API, Stranger
from tests.security.conftest import OpenPage

SECRET = "nobody may read this"


def paths(folder: Path, elsewhere: str) -> list[str]:
    """Return 24 paths to what is not served; ``folder`` holds the page's model, log and answers."""
    secret = str(folder / "secret.txt")
    return [
        secret,
        quote(secret, safe=""),
        quote(quote(secret, safe=""), safe=""),
        "/" + secret,
        "../" * 12 + secret.lstrip("/"),
        "..%2f" * 12 + quote(secret.lstrip("/"), safe=""),
        "%2e%2e/" * 12 + secret.lstrip("/"),
        "..%5c" * 12 + quote(secret.lstrip("/"), safe=""),
        "....//" * 12 + secret.lstrip("/"),
        f"{tempfile.gettempdir()}/gradio/../{quote(secret)}",
        f"file://{secret}",
        f"file:{secret}",
        f"{elsewhere}/x.png",
        "https:%2f%2fexample.org%2fx.png",
        f"//{urlsplit(elsewhere).netloc}/x.png",
        str(folder / "model" / "model.safetensors"),
        str(folder / "answers.sqlite3"),
        str(folder / "log.txt"),
        "/etc/passwd",
        "/etc/passwd%00.png",
        "/proc/self/environ",
        "/dev/zero",
        ".env",
        "%ff%fe",
    ]


@pytest.mark.parametrize("route", [f"{API}file=", f"{API}proxy=", "/static/"])
def test_paths_lead_nowhere(open_page: OpenPage, route: str, elsewhere: str) -> None:
    page, folder = open_page.address, open_page.model.parent
    (folder / "secret.txt").write_text(SECRET)
    stranger = Stranger(page)
    for path in paths(folder, elsewhere):
        status, text = stranger.ask(f"{route}{path}")
        assert 300 <= status < 500, (path, status)
        assert SECRET not in text, path
        assert "root:" not in text, path
        assert is_sentence(sentence_of(text)), text


DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type"),
    [
        ("POST", "queue/join", b"{", "application/json"),
        ("POST", "queue/join", b"\xff\xfe", "application/json"),
        ("POST", "queue/join", DEEP, "application/json"),
        ("POST", "queue/join", b"[]", "application/json"),
        ("POST", "queue/join", b"{}", "text/plain"),
        ("POST", "queue/join", b'{"data": 7, "fn_index": 0}', "application/json"),
        ("POST", "queue/join", b'{"data": [], "fn_index": NaN}', "application/json"),
        ("POST", "queue/join", b'{"data": [], "fn_index": ' + b"9" * 5000 + b"}", "application/json"),
        ("POST", "call/sample", b"null", "application/json"),
        ("POST", "call/sample", b'{"data": {"seed": 1}}', "application/json"),
        ("POST", "call/v2/sample", b'{"seeds": 1}', "application/json"),
        ("POST", "run/sample", b'{"data": ["seven"]}', "application/json"),
        ("POST", "run/predict", b"{}", "application/json"),
        ("POST", "upload", b"nothing", "application/json"),
        ("POST", "upload", b"nothing", "multipart/form-data"),
        ("POST", "cancel", b"{}", "application/json"),
        ("POST", "reset", b"[]", "application/json"),
        ("POST", "component_server", b"{}", "application/json"),
        ("DELETE", "queue/join", None, ""),
        ("PUT", "info", b"x", "text/plain"),
        ("GET", "call/sample/nothing", None, ""),
        ("GET", "queue/data", None, ""),
        ("GET", "stream/a/b/c/playlist.m3u8", None, ""),
        ("GET", "upload_progress", None, ""),
        ("GET", "deep_link", None, ""),
        ("GET", "dev/reload", None, ""),
        ("GET", "../monitoring", None, ""),
        ("POST", "../login", b"username=a&password=b", "application/x-www-form-urlencoded"),
    ],
)
def test_wrong_requests_are_refused(
    open_page: OpenPage, method: str, path: str, body: bytes | None, content_type: str
) -> None:
    place = f"/{path[3:]}" if path.startswith("../") else f"{API}{path}"
    status, text = Stranger(open_page.address).ask(place, body, method, content_type)
    assert 400 <= status < 500, text
    assert is_sentence(sentence_of(text)), text


@pytest.mark.parametrize(
    ("values", "status", "sentence"),
    [
        (b'"' + b"a" * (49 << 20) + b'"', 413, "The call is larger than 48 MiB"),
        (b"0," * 20_000 + b"0", 400, "The call holds more than 10000 values."),
        (b"[" * 100 + b"]" * 100, 400, "The call nests more than 32 deep."),
        (rb'"\ud800"', 400, "The call holds a text that is no Unicode"),
        (b"1" * 30, 400, "The call holds a whole number of more than 64 bits."),
    ],
    ids=["bytes", "values", "depth", "surrogate", "number"],
)
def test_calls_are_bounded(open_page: OpenPage, values: bytes, status: int, sentence: str) -> None:
    stranger = Stranger(open_page.address)
    told = stranger.ask(f"{API}call/sample", b'{"data": [' + values + b"]}")
    assert told[0] == status
    assert sentence_of(told[1]).startswith(sentence)
    assert stranger.call("/sample", 1)[0]
