"""Every address that gradio answers at is one that the page needs, or it is off."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest
from gradio.routes import App
from page.server.refusals.requests import is_off

API = "/gradio_api"
# What the page and programs ask for.
NEEDED = {
    *("/", "/config", "/theme.css", "/robots.txt", "/manifest.json", "/favicon.ico"),
    *("/static/{path:path}", "/assets/{path:path}", "/svelte/{path:path}"),
    *(f"{API}/{name}" for name in ("info", "openapi.json", "theme.css", "app_id", "user", "login_check")),
    *(f"{API}/{name}" for name in ("upload", "upload_progress", "file={path_or_url:path}")),
    *(f"{API}/{name}" for name in ("queue/join", "queue/data", "queue/status", "cancel", "reset")),
    *(f"{API}/{name}/{{api_name}}" for name in ("call", "call/v2", "run", "api")),
    *(f"{API}/{name}/{{api_name}}/{{event_id}}" for name in ("call", "call/v2")),
    *(f"{API}/heartbeat/{{session_hash}}", f"{API}/startup-events"),
}


def paths_of(routes: list[Any]) -> set[str]:
    """Return the paths of routes, those of included routers too, as recent releases of FastAPI keep these apart."""
    paths: set[str] = set()
    for route in routes:
        router = getattr(route, "original_router", None)
        paths |= {route.path.rstrip("/") or "/"} if router is None else paths_of(router.routes)
    return paths


@pytest.fixture(scope="module")
def paths() -> set[str]:
    """Of the routes that gradio makes for a page."""
    with gr.Blocks() as page:
        gr.HTML("")
    return paths_of(App.create_app(page, app_kwargs={"openapi_url": None}).routes)


def test_a_route_that_is_new_in_gradio_is_looked_at(paths: set[str]) -> None:
    assert {path for path in paths if not is_off(path)} <= NEEDED


def test_what_the_page_needs_is_on(paths: set[str]) -> None:
    assert paths >= NEEDED
    assert not any(map(is_off, NEEDED))
