"""Answers that refuse: a sentence in place of a code, of gradio's details, and of a trace."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .calls import FAULT, FAULTS
from .lines import one_line
from .requests import FILE, NO_FILE, NOT_HERE, NOT_JSON, NoSessionError

_DIRECT = ("/gradio_api/run/", "/gradio_api/api/")
_UPLOAD = "/gradio_api/upload"
_LONGEST = 1000
_NO_FORM = "The upload cannot be read: send a form (multipart/form-data) with files in its field files."
# What starlette, FastAPI and gradio say.
_IN_WORDS = {
    "Not Found": NOT_HERE,
    "Forbidden": NOT_HERE,
    "There was an error parsing the body": NOT_JSON,
    "Session hash not found.": "The call names no session: send a session_hash.",
}
_NO_SESSION = "This session is not here any more: reload the page."

_log = logging.getLogger(__name__)

Handler = Callable[[Request, Any], Awaitable[Response]]


def refusal(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an answer with a sentence where programs and the page look for it."""
    told = one_line(sentence, _LONGEST)
    return JSONResponse({"detail": told, "error": told}, status, headers)


def handlers() -> dict[type[Exception], Handler]:
    """Return what FastAPI answers with, by what was raised."""
    return {HTTPException: _refused, RequestValidationError: _unreadable, NoSessionError: _no_session}


class Sentences:
    """Answer with a sentence where the server would have failed, and tell the log in a line.

    Args:
        app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun, faults = False, scope.setdefault(FAULTS, [])
        path = scope["path"]

        async def sending(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                # gradio calls it a fault of the server when a call refuses.
                if message["status"] == 500 and path.startswith(_DIRECT) and not faults:
                    message["status"] = 400
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            return
        except Exception as error:
            answer = refusal(500, FAULT)
            if path.rstrip("/") == _UPLOAD and not isinstance(error, OSError):  # gradio's parser fails on it
                _log.warning("An upload was refused: %s", one_line(error))
                answer = refusal(400, _NO_FORM)
            else:
                _log.exception("%s %s failed", scope["method"], one_line(path))
            if has_begun:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            else:
                await answer(scope, receive, send)


async def _refused(request: Request, error: HTTPException) -> Response:
    path, told = request.url.path, error.detail
    if path.startswith(FILE):
        told = NO_FILE
    elif path.rstrip("/") == _UPLOAD and error.status_code == 400:
        told = _NO_FORM
    elif error.status_code == 405:
        told = f"This address takes other methods: {(error.headers or {}).get('Allow', 'see the documents')}."
    elif told in _IN_WORDS:
        told = _IN_WORDS[told]
    if not isinstance(told, str):
        return JSONResponse({"detail": told}, error.status_code, error.headers)
    return refusal(error.status_code, told, error.headers)


async def _unreadable(request: Request, error: RequestValidationError) -> Response:
    wrong = []
    for one in error.errors()[:3]:
        if one["type"] == "json_invalid":
            return refusal(400, f"The call is not JSON: {one['ctx']['error']} at character {one['loc'][-1]}.")
        where = ".".join(str(part) for part in one["loc"] if part != "body") or "the body"
        wrong.append(f"{one_line(where, 60)}: {one_line(one['msg'], 120)}")
    return refusal(400, f"The request cannot be read: {'; '.join(wrong)}.")


async def _no_session(request: Request, error: NoSessionError) -> Response:
    # As gradio's stream tells it, whose script then opens a new one.
    message = {"msg": "unexpected_error", "message": _NO_SESSION, "success": False, "session_not_found": True}
    return Response(f"data: {json.dumps(message)}\n\n", media_type="text/event-stream")
