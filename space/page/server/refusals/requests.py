"""Requests, before gradio sees them: what this page does not need is off, and calls must name what is there."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import HTTPException, Request
from gradio.blocks import Blocks
from gradio_client.utils import construct_args
from starlette.responses import JSONResponse
from starlette.routing import Route

from groupdnet_hub.io.strict_json import shown

from .values import parts

_API = "/gradio_api"
# gradio's proxy, streams, recordings, code editor, tables of calls, and accounts.
OFF = (
    *(f"{_API}/{name}" for name in ("proxy=", "file/", "stream/", "custom_component/", "component_server")),
    *(f"{_API}/{name}" for name in ("dev/", "vibe-", "undo-vibe-", "deep_link", "process_recording")),
    *(f"{_API}/{name}" for name in ("runs", "run-history", "profiling", "token")),
    *("/monitoring", "/login", "/logout", "/pwa_icon"),
)
_JOIN, _BY_NAMES = f"{_API}/queue/join", f"{_API}/call/v2/{{api_name}}"
_CALLS = (f"{_API}/call/{{api_name}}", f"{_API}/run/{{api_name}}", f"{_API}/api/{{api_name}}")
_ANSWERS = (f"{_API}/call/{{api_name}}/{{event_id}}", f"{_API}/call/v2/{{api_name}}/{{event_id}}")
_STREAM, _CANCEL = f"{_API}/queue/data", f"{_API}/cancel"
FILE = f"{_API}/file="
_LARGEST = 2**63 - 1
NO_FILE = "There is no such file here."
NOT_HERE = "This page has nothing at this address."
NOT_JSON = "The call is not JSON that can be read."

Check = Callable[[Request], Awaitable[None]]


class NoSessionError(Exception):
    """A page asks for what is told to a session that is not here."""


def checks(page: Blocks) -> Check:
    """Return a dependency of all routes, which refuses what this page does not answer."""

    @functools.cache
    def endpoints() -> dict[str, Any]:
        return dict(page.get_api_info()["named_endpoints"])

    async def check(request: Request) -> None:
        path = request.scope["route"].path.rstrip("/")
        if is_off(path):
            raise HTTPException(404, NOT_HERE)
        if path.startswith(FILE):
            named = request.path_params["path_or_url"]
            if "://" in named or "\0" in named:
                raise HTTPException(404, NO_FILE)
        elif path in (_JOIN, _BY_NAMES, *_CALLS) and request.method == "POST":
            await _check_call(request, path, page, endpoints)
        elif path == _CANCEL:
            await _check_cancel(request, page)
        elif path in _ANSWERS and not _is_known(page, request.path_params["event_id"]):
            raise HTTPException(404, "No call of this number waits for its answer: answers are told once.")
        elif path == _STREAM:
            session = request.query_params.get("session_hash")
            if session is not None and session not in page._queue.pending_messages_per_session:
                raise NoSessionError

    return check


def is_off(path: str) -> bool:
    """Return whether a route of gradio, by its path, is one that this page does not need."""
    return f"{path}/".startswith(OFF)


def empty_routes() -> list[Route]:
    """Return routes for what "Use via API" asks for and this page does not have: a refusal is an error on the console.

    They are a table of all calls, and tools for language models.
    """
    empty = {"/monitoring/summary": {"functions": {}}, f"{_API}/mcp/schema": []}

    def answering(content: Any) -> Callable[[Request], Awaitable[JSONResponse]]:
        async def answer(_: Request) -> JSONResponse:
            return JSONResponse(content)

        return answer

    return [Route(path, answering(content)) for path, content in empty.items()]


async def _check_call(
    request: Request, path: str, page: Blocks, endpoints: Callable[[], dict[str, Any]]
) -> None:
    """Refuse a call that names no function, or whose values gradio cannot handle."""
    body = await _body(request)
    number = body.get("fn_index") if path != _BY_NAMES else None
    name = request.path_params.get("api_name")
    if number is not None:
        if type(number) is not int or number not in page.fns:
            raise HTTPException(404, f"There is no call {shown(number)} on this page: reload it.")
    elif name is not None and f"/{name}" not in endpoints():
        raise HTTPException(
            404, f"There is no endpoint {shown('/' + name)}; there are {', '.join(endpoints())}."
        )
    if body.get("batched"):
        raise HTTPException(400, "Calls are taken one at a time: leave out batched.")
    if path == _BY_NAMES:
        given = {key: value for key, value in body.items() if key != "oauth_token"}
        try:
            construct_args(endpoints()[f"/{name}"]["parameters"], (), given)
        except TypeError:
            names = ", ".join(one["parameter_name"] for one in endpoints()[f"/{name}"]["parameters"])
            raise HTTPException(400, f"/{name} takes {names or 'nothing'}: send each by its name.") from None


async def _check_cancel(request: Request, page: Blocks) -> None:
    """Refuse to cancel the call of another session; one that is done is left to gradio."""
    body = await _body(request)
    event = page._queue.event_ids_to_events.get(str(body.get("event_id")))
    if event is not None and event.session_hash != body.get("session_hash"):
        raise HTTPException(404, "Your session has no call of this number to cancel.")


async def _body(request: Request) -> dict[str, Any]:
    """Return the body of a call.

    Raises:
        HTTPException: if it is no JSON object, or holds what can be neither read nor told again.
    """
    try:
        body = await request.json()
    except (ValueError, RecursionError):  # no UTF-8, numbers of thousands of digits, thousands of brackets
        raise HTTPException(400, NOT_JSON) from None
    if not isinstance(body, dict):
        raise HTTPException(400, f"The call is {shown(body)}: it must be an object with a list, data.")
    try:
        for part in parts(body):
            texts = (*part, *part.values()) if isinstance(part, dict) else (part,)
            for text in texts:
                if isinstance(text, str):
                    text.encode()
            if type(part) is int and abs(part) > _LARGEST:
                raise HTTPException(400, "The call holds a whole number of more than 64 bits.")
    except UnicodeEncodeError:
        raise HTTPException(400, "The call holds a text that is no Unicode: half a character.") from None
    except ValueError as error:
        raise HTTPException(400, str(error)[:1].upper() + str(error)[1:]) from None
    return body


def _is_known(page: Blocks, event: str) -> bool:
    queue = page._queue
    waiting = queue.pending_event_ids_session.values()
    return event in queue.event_ids_to_events or any(event in events for events in waiting)
