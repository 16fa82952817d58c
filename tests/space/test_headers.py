"""The headers that every answer has, and who may show the page in a frame."""

from __future__ import annotations

import base64
import hashlib

import pytest

pytest.importorskip("gradio", reason="the page needs gradio")

from page.core.refusal import Refusal
from page.server.headers import SafeHeaders, frame_ancestors, page_policy
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

PAGE = '<html><script src="./a.js"></script><script data-x>let a = 1;</script></html>'


def answers(framed_by: tuple[str, ...] = ("'self'",)) -> TestClient:
    def page(request: Request) -> HTMLResponse:
        return HTMLResponse(PAGE)

    def file(request: Request) -> PlainTextResponse:
        return PlainTextResponse("x")

    app = Starlette(routes=[Route("/", page), Route("/{path:path}", file)])
    return TestClient(SafeHeaders(app, framed_by))


def test_a_page_runs_the_scripts_that_it_came_with_and_asks_no_other_server() -> None:
    answer = answers().get("/")
    checksum = base64.b64encode(hashlib.sha256(b"let a = 1;").digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert f"script-src 'self' 'unsafe-eval' 'sha256-{checksum}';" in policy
    assert "http" not in policy
    assert "frame-ancestors 'self'" in policy
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert answer.text == PAGE


def test_files_that_visitors_uploaded_run_nothing() -> None:
    answer = answers().get("/gradio_api/file=/tmp/a.svg")
    assert answer.headers["content-security-policy"].endswith("; sandbox")


@pytest.mark.parametrize("path", ["/", "/gradio_api/file=a", "/assets/a.js", "/x.png"])
def test_no_answer_is_guessed_at(path: str) -> None:
    headers = answers().get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("environment", "framed_by"),
    [
        ({}, ("'self'",)),
        ({"SPACE_ID": "a/b"}, ("'self'", "https://huggingface.co", "https://*.hf.space")),
        ({"SPACE_ID": "a/b", "GROUPDNET_FRAME_ANCESTORS": "none"}, ("'none'",)),
        ({"GROUPDNET_FRAME_ANCESTORS": "self https://a.org:8"}, ("'self'", "https://a.org:8")),
    ],
)
def test_who_may_frame_the_page_is_a_setting(environment: dict[str, str], framed_by: tuple[str, ...]) -> None:
    assert frame_ancestors(environment) == framed_by
    assert page_policy(b"", framed_by).endswith(f"frame-ancestors {' '.join(framed_by)}")
    if len(framed_by) > 1:  # the older header knows no list
        assert "x-frame-options" not in answers(framed_by).get("/").headers


@pytest.mark.parametrize("value", ["*", "https://a.org/path", "a; script-src *", "none self"])
def test_other_values_are_refused_with_a_sentence(value: str) -> None:
    with pytest.raises(ValueError, match="it must be none, or a list of self and sites"):
        frame_ancestors({"GROUPDNET_FRAME_ANCESTORS": value})


def test_a_refusal_is_text_on_the_page_and_a_sentence_for_programs() -> None:
    refusal = Refusal('There is no class "<img src=x>".')
    assert refusal.message == 'There is no class "&lt;img src=x&gt;".'
    assert refusal.for_programs().message == 'There is no class "<img src=x>".'
