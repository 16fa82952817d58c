"""How the page comes over the line: compressed, all at once, and kept by browsers where that is safe."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# gradio's scripts and styles, whose names change with what is in them.
_ASSETS = "/assets/"
_A_YEAR = "public, max-age=31536000, immutable"


# Of a page's path and bytes: what is sent.
Change = Callable[[str, bytes], bytes]


class LightTransfer:
    """Compress the pages themselves, as gradio does with its scripts, and let browsers keep these scripts for a year.

    Args:
        app: gradio's.
        changes: of each page, one after the other.
    """

    def __init__(self, app: ASGIApp, changes: Sequence[Change]) -> None:
        self._app, self._compressing = app, GZipMiddleware(ChangedPages(app, changes), minimum_size=1000)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        path = scope.get("path", "")
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif _ASSETS in path:
            await self._app(scope, receive, _keeping(send))
        elif (
            path.startswith("/gradio_api/") or "." in path
        ):  # streams, uploads, pictures; what gradio compresses
            await self._app(scope, receive, send)
        else:
            await self._compressing(scope, receive, send)


class ChangedPages:
    """Change what is HTML on its way.

    Args:
        app: what answers.
        changes: one after the other.
    """

    def __init__(self, app: ASGIApp, changes: Sequence[Change]) -> None:
        self._app, self._changes = app, changes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        start: Message | None = None
        parts: list[bytes] = []

        async def changing(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_html(message):
                start = message
            elif start is None:
                await send(message)
            else:
                parts.append(message.get("body", b""))
                if not message.get("more_body"):
                    page = b"".join(parts)
                    for change in self._changes:
                        page = change(scope["path"], page)
                    MutableHeaders(raw=start["headers"])["Content-Length"] = str(len(page))
                    await send(start)
                    await send({"type": "http.response.body", "body": page})

        await self._app(scope, receive, changing)


def _is_html(start: Message) -> bool:
    return Headers(raw=start["headers"]).get("content-type", "").startswith("text/html")


def _keeping(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200:
            MutableHeaders(raw=message["headers"])["Cache-Control"] = _A_YEAR
        await send(message)

    return wrapped
