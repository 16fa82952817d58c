"""Uploads that the disk has no room for are refused in a sentence, before they are read."""

from __future__ import annotations

import asyncio
import errno

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .crowds.rates import refuse
from .disk import LIMIT, TemporaryRoot

_FULL = {errno.ENOSPC, errno.EDQUOT}
_INSUFFICIENT_STORAGE = 507
# A browser that is still sending looks for no answer; of more than this, the connection is broken off.
_MOST_READ = 64 << 20


class UploadRoom:
    """Make room for an upload in the server's temporary folder, or refuse it.

    Args:
        app: what answers.
        root: where uploads lie.
    """

    def __init__(self, app: ASGIApp, root: TemporaryRoot) -> None:
        self._app, self._root, self._coming = app, root, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        is_upload = scope["type"] == "http" and scope["method"] == "POST"
        if not is_upload or not scope["path"].rstrip("/").endswith("/upload"):
            await self._app(scope, receive, send)
            return
        told = Headers(scope=scope).get("content-length", "")
        size = int(told) if told.isdecimal() and len(told) < 18 else 0
        self._coming += size
        try:
            left = await asyncio.to_thread(self._root.tidy, self._coming)
            if left + self._coming > self._root.limit:
                await _read_to_end(receive, size)
                sentence = f"The page has no room for more files at the moment ({LIMIT}): try again in a few minutes."
                await refuse(scope, receive, send, _INSUFFICIENT_STORAGE, sentence, 120)
                return
            await self._read(scope, receive, send)
        finally:
            self._coming -= size

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except OSError as error:
            if begun or error.errno not in _FULL:
                raise
            sentence = "The disk of the page's server is full: the file was not taken. Try again later."
            await refuse(scope, receive, send, _INSUFFICIENT_STORAGE, sentence, 120)


async def _read_to_end(receive: Receive, size: int) -> None:
    """Read what a client sends, and keep nothing."""
    more = size <= _MOST_READ
    while more:
        more = bool((await receive()).get("more_body"))
