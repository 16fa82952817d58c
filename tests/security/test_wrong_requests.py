"""Paths, files, names and bodies that strangers send: nothing but what the page serves, and a sentence each."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.helpers.sentences import is_sentence, sentence_of
from tests.helpers.strangers import API, Stranger
from tests.security.conftest import OpenPage

SECRET = "nobody may read this"
META = {"_type": "gradio.FileData"}


def paths(folder: Path) -> list[str]:
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
        "http://127.0.0.1:1/x.png",
        "https:%2f%2fexample.org%2fx.png",
        "//127.0.0.1:1/x.png",
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
def test_paths_lead_nowhere(open_page: OpenPage, route: str) -> None:
    page, folder = open_page.address, open_page.model.parent
    (folder / "secret.txt").write_text(SECRET)
    stranger = Stranger(page)
    for path in paths(folder):
        status, text = stranger.ask(f"{route}{path}")
        assert 300 <= status < 500, (path, status)
        assert SECRET not in text, path
        assert "root:" not in text, path
        assert is_sentence(sentence_of(text)), text


def files(folder: Path, page: str) -> list[Any]:
    """Return 24 descriptions of files that are no uploads."""
    secret = str(folder / "secret.txt")
    places = [
        *(secret, f"../{secret}", "/etc/passwd", "/proc/self/environ", "/dev/zero", "/", ".", ""),
        *(f"file://{secret}", "data:image/png;base64,AAAA", "http://127.0.0.1:1/x", f"{page}config"),
        *("x" * 100_000, "a\0b", "\u202egnp.x", str(folder), str(folder / "model" / "config.json")),
    ]
    return [
        *({"path": path, "meta": META} for path in places),
        {"url": "http://127.0.0.1:1/x", "meta": META},
        {"path": None, "url": "http://127.0.0.1:1/x", "meta": META},
        {"path": secret, "is_stream": True, "meta": META},
        {"path": "secret.txt", "meta": {"_type": "gradio.Other"}},
        {"path": secret, "meta": META, "orig_name": "x" * 100_000, "size": -1},
        {"path": secret, "meta": META, "size": "many", "mime_type": [1]},
        {"path": {"path": secret, "meta": META}, "meta": META},
    ]


def test_files_that_were_not_uploaded_are_refused(open_page: OpenPage) -> None:
    page, folder = open_page.address, open_page.model.parent
    (folder / "secret.txt").write_text(SECRET)
    stranger = Stranger(page)
    for file in files(folder, page):
        is_done, answer = stranger.call("/edit", file)
        assert not is_done, file
        assert SECRET not in answer["error"]
        assert is_sentence(answer["error"]), answer
    link = folder / "link.png"
    link.unlink(missing_ok=True)
    link.symlink_to(folder / "secret.txt")
    assert not stranger.call("/edit", {"path": str(link), "meta": META})[0]


NAMES = (
    *(b"../../x.png", b"/etc/x.png", b"..\\..\\x.png", b"C:\\x.png", b"a\0b.png", b"x" * 5000 + b".png"),
    *(
        "\u202egnp.exe".encode(),
        b"CON",
        b"nul.png",
        b"-rf",
        b"--help.png",
        b"<img src=x onerror=alert(1)>.png",
    ),
    *(b"..", b".", b".htaccess", "\N{PILE OF POO}.png".encode()),
)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_uploads_get_safe_names(open_page: OpenPage, name: bytes) -> None:
    status, text = Stranger(open_page.address).upload(name, b"a picture")
    assert status in (200, 400, 413), text
    if status != 200:
        assert is_sentence(sentence_of(text)), text
        return
    (stored,) = json.loads(text)
    path = Path(stored)
    assert path.resolve() == path
    assert path.read_bytes() == b"a picture"
    # The folder of an upload has the checksum of what it holds.
    assert len(path.parent.name) == 64
    assert path.name.replace("\u202e", "").isprintable()
    assert not set(path.name) & set("/\\<>\0")
    path.unlink()


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


def test_the_server_asks_no_other(open_page: OpenPage) -> None:
    """The page itself plays the other server: its address is what a stranger names."""
    page = open_page.address
    other = f"http://{urlsplit(page).netloc}/config"
    for file in ({"path": other, "url": other, "meta": META}, {"path": "", "url": other, "meta": META}):
        is_done, answer = Stranger(page).call("/edit", file)
        assert not is_done
        assert is_sentence(answer["error"]), answer


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
