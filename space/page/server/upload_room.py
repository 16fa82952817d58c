"""Uploads: what the disk has no room for is refused in a sentence, and nothing is left of what was broken off."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from gradio import route_utils
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..core.served_files import DISK_IS_FULL
from .crowds.addresses import address_of
from .crowds.rates import refuse
from .disk import GRACE, LEAST_COUNTED, LIMIT, TemporaryRoot

_TOO_MANY, _TOO_LARGE, _NO_ROOM, _NO_LENGTH = 429, 413, 507, 411
# A browser that is still sending looks for no answer; of more than this, the connection is broken off.
_MOST_READ = 64 << 20
# What an address may bring at once, whatever the limit: a photo has up to 40 MB.
_LEAST_SHARE = 64 << 20
# Files of one upload: the page sends one, gradio's client too.
_MOST_FILES = 16
# Seconds between two looks at a full folder.
_PAUSE = 1.0

# Where the upload that is being read has its files so far.
_parts: ContextVar[list[str] | None] = ContextVar("_parts", default=None)


class UploadRoom:
    """Make room for an upload in the server's temporary folder, or refuse it.

    An address has at most half of the room: what it brings counts while it comes, and for as long as its files stay
    in any case.

    Args:
        app: what answers.
        root: where uploads lie.
    """

    def __init__(self, app: ASGIApp, root: TemporaryRoot) -> None:
        self._app, self._root, self._coming = app, root, 0
        self._share = max(_LEAST_SHARE, root.limit // 2)
        self._brought: Counter[str] = Counter()
        self._looking, self._looked = asyncio.Lock(), -_PAUSE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        is_upload = scope["type"] == "http" and scope["method"] == "POST"
        if not is_upload or not scope["path"].rstrip("/").endswith("/upload"):
            await self._app(scope, receive, send)
            return
        told, address = Headers(scope=scope).get("content-length", ""), address_of(scope)
        if not told.isdecimal():
            sentence = "The upload does not say how large it is: send a Content-Length."
            await refuse(scope, receive, send, _NO_LENGTH, sentence)
            return
        size = max(int(told[:18]), LEAST_COUNTED)
        refusal = self._too_much(size, address)
        if refusal is None:
            self._coming += size
            self._brought[address] += size
            stays = 0.0
            try:
                if await self._has_room():
                    await self._read(scope, receive, send)
                    stays = GRACE
                    self._root.note(size)
                    return
            finally:
                self._coming -= size
                asyncio.get_running_loop().call_later(stays, self._forget, address, size)
            told = f"The page has no room for more files at the moment ({LIMIT}): try again in a few minutes."
            refusal = _NO_ROOM, told
        await _read_to_end(receive, size)
        await refuse(scope, receive, send, *refusal, wait=round(GRACE))

    def _too_much(self, size: int, address: str) -> tuple[int, str] | None:
        """Return how an upload is refused that is too much of one address."""
        share = self._share >> 20
        if size > self._share:
            return _TOO_LARGE, f"An upload may have {share} MiB ({LIMIT}), and this one is larger."
        if self._brought[address] + size > self._share:
            told = f"Within two minutes, an address may upload {share} MiB ({LIMIT}), and yours has"
            return _TOO_MANY, f"{told}: try again in two minutes."
        return None

    def _forget(self, address: str, size: int) -> None:
        self._brought[address] -= size
        if not self._brought[address]:
            del self._brought[address]

    async def _has_room(self) -> bool:
        """Return whether all that is coming fits; the oldest files make room, more than is needed just now."""
        async with self._looking:
            is_full = self._root.held + self._coming > self._root.limit
            if is_full and time.monotonic() - self._looked >= _PAUSE:
                await asyncio.to_thread(self._root.tidy, max(self._coming, self._root.limit // 8))
                self._looked = time.monotonic()
        return self._root.held + self._coming <= self._root.limit

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun, parts = False, list[str]()

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        token = _parts.set(parts)
        try:
            try:
                await self._app(scope, receive, noting)
            finally:
                _parts.reset(token)
                # What was taken has its own name now.
                for part in parts:
                    with contextlib.suppress(OSError):
                        Path(part).unlink(missing_ok=True)
        except OSError as error:
            if begun or error.errno not in DISK_IS_FULL:
                raise
            sentence = "The disk of the page's server is full: the file was not taken. Try again later."
            await refuse(scope, receive, send, _NO_ROOM, sentence, 120)


class _NotedParts(route_utils.GradioMultiPartParser):
    """gradio's reader of uploads, which leaves its files where they are when a client goes or the disk is full."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **{**options, "max_files": _MOST_FILES})

    def on_headers_finished(self) -> None:
        """Open the file of a part."""
        super().on_headers_finished()
        parts, file = _parts.get(), self._current_part.file
        if parts is not None and file is not None:
            parts.append(str(file.file.name))


@contextlib.contextmanager
def note_parts_of_uploads() -> Iterator[None]:
    """Let :class:`UploadRoom` know meanwhile which files gradio writes while it reads an upload."""
    before = route_utils.GradioMultiPartParser
    route_utils.GradioMultiPartParser = _NotedParts  # type: ignore[misc]
    try:
        yield
    finally:
        route_utils.GradioMultiPartParser = before  # type: ignore[misc]


async def _read_to_end(receive: Receive, size: int) -> None:
    """Read what a client sends, and keep nothing."""
    more = size <= _MOST_READ
    while more:
        more = bool((await receive()).get("more_body"))
