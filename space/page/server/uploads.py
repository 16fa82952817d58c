"""Uploads: they get plain names, and only the browser that sent one can use it in a call.

gradio stores an upload under a checksum of what it holds, and lets every call use it that names its path.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections import OrderedDict
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .crowds.identities import UPLOAD, token_of
from .refusals.values import OWNS

# Uploads that are remembered, each with one who sent it; a call uses one soon after that.
_REMEMBERED = 10_000
_UNNAMED = "file"


class OwnUploads:
    """Give uploads plain names before they are told, and say in the scope of calls which of them are the client's.

    An owner is the token of a browser. Clients without one have the paths alone, which nobody can guess.

    Args:
        app: gradio's.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._sent: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http":
            owner = token_of(scope)
            scope[OWNS] = functools.partial(self._owns, owner)
            if scope["method"] == "POST" and scope["path"].rstrip("/") == UPLOAD:
                send = self._noting(owner, send)
        await self._app(scope, receive, send)

    def _owns(self, owner: str, path: Path) -> bool:
        return (owner, str(path)) in self._sent

    def _noting(self, owner: str, send: Send) -> Send:
        """Return what sends the answer to an upload, a list of paths, once these are noted."""
        start: Message = {}
        parts: list[bytes] = []

        async def noting(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and message["status"] == 200:
                start = message
            elif not start:
                await send(message)
            else:
                parts.append(message.get("body", b""))
                if not message.get("more_body"):
                    told = [self._noted(owner, Path(path)) for path in json.loads(b"".join(parts))]
                    body = json.dumps(told).encode()
                    MutableHeaders(scope=start)["Content-Length"] = str(len(body))
                    await send(start)
                    await send({"type": "http.response.body", "body": body})

        return noting

    def _noted(self, owner: str, stored: Path) -> str:
        """Return the path of an upload under its plain name, which is noted as the owner's."""
        path = stored.with_name(plain_name(stored.name))
        if path != stored:
            # Of two that are the same, sent at once, the first was renamed for both.
            with contextlib.suppress(FileNotFoundError):
                os.replace(stored, path)
        one = owner, str(path.resolve())
        self._sent[one] = None
        self._sent.move_to_end(one)
        if len(self._sent) > _REMEMBERED:
            self._sent.popitem(last=False)
        return str(path)


def plain_name(name: str) -> str:
    """Return a file's name without characters that cannot be seen or turn text around, and without dots before it.

    gradio has taken those from it that are no part of a file's name.
    """
    seen = "".join(character for character in name if character.isprintable())
    return seen.lstrip(" .-") or _UNNAMED
