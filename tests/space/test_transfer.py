"""How the page comes over the line: compressed, with what its components need named at once."""

from __future__ import annotations

import asyncio
import gzip
from importlib import resources
from typing import Any

import pytest

pytest.importorskip("gradio", reason="the page needs gradio")

from page.server.preloads import needed_files, page_preloads
from page.server.transfer import LightTransfer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route

PAGE = "<!doctype html><html><head><title>t</title></head><body>" + "x" * 5000 + "</body></html>"


def answer(path: str) -> tuple[dict[str, str], bytes]:
    """Return headers and body of what an app with a page and some files answers to a browser."""

    def page(request: Request) -> HTMLResponse:
        return HTMLResponse(PAGE)

    def file(request: Request) -> PlainTextResponse:
        return PlainTextResponse("y" * 5000, status_code=404 if "gone" in request.url.path else 200)

    def with_link(path: str, page: bytes) -> bytes:
        return page.replace(b"<head>", b"<head><link>") if path == "/" else page

    app = LightTransfer(Starlette(routes=[Route("/", page), Route("/{path:path}", file)]), [with_link])
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(b"accept-encoding", b"gzip"), (b"host", b"here")],
    }
    asyncio.run(app(scope, receive, send))
    headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return headers, b"".join(message.get("body", b"") for message in sent[1:])


def test_a_page_is_compressed_and_has_its_own_lines_first_in_its_head() -> None:
    headers, body = answer("/")
    assert headers["content-encoding"] == "gzip"
    assert int(headers["content-length"]) == len(body) < 500
    assert gzip.decompress(body).decode() == PAGE.replace("<head>", "<head><link>")
    assert "cache-control" not in headers


def test_scripts_are_kept_and_pictures_come_as_they_are() -> None:
    assert "immutable" in answer("/assets/index-1a2b.js")[0]["cache-control"]
    assert "cache-control" not in answer("/assets/gone.js")[0]
    for path in ("/gradio_api/queue/data", "/gradio_api/file=/tmp/picture.png", "/static/logo.svg"):
        headers, body = answer(path)
        assert "content-encoding" not in headers
        assert "cache-control" not in headers
        assert body == b"y" * 5000


def test_what_a_page_needs_is_there_and_no_more() -> None:
    """If this fails after an update of gradio, its list has another form: see ``preloads.py``."""
    built = resources.files("gradio") / "templates" / "frontend"
    needed = needed_files(["html", "button"])
    assert len(needed) > 20
    assert all((built / path).is_file() for path in needed)
    assert len(set(needed)) == len(needed)
    more = set(needed_files(["html", "button", "gallery"])) - set(needed)
    assert any("hls" in path or "Gallery" in path for path in more)
    assert needed_files(["html", "button", "nosuch"]) == needed


def test_each_page_names_its_own() -> None:
    config = {
        "components": [{"id": 1, "type": "html"}, {"id": 2, "type": "gallery"}],
        "page": {"": {"components": [1]}, "more": {"components": [1, 2]}},
    }
    heads = page_preloads(config)
    assert set(heads) == {"/", "/more"}
    assert heads["/more"].startswith(heads["/"][:50])
    assert len(heads["/more"]) > len(heads["/"]) > 1000
    assert heads["/"].count("<link ") == heads["/"].count('href="./assets/')
