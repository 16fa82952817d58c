"""Headers that tell browsers what the page may do: nothing from elsewhere, framed only by whom it is told, no guessing.

The policy is as narrow as gradio lets it be. Of scripts, those of this server run and those that the page itself
brings, each known by its checksum; but gradio makes functions of texts (``js_on_load``), so ``'unsafe-eval'`` stays.
Styles stand in attributes and are added by scripts, so ``'unsafe-inline'`` stays for them. Pictures are data URLs,
which are saved through ``fetch`` and blob URLs.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterable, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FRAME_ANCESTORS = "GROUPDNET_FRAME_ANCESTORS"
_SELF, _NONE = "'self'", "'none'"
# Where a Space is shown.
_SPACES = (_SELF, "https://huggingface.co", "https://*.hf.space")
_SITE = re.compile(r"https?://(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*(:[0-9]{1,5})?", re.IGNORECASE)
_SCRIPT = re.compile(rb"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)
# What is asked for by its address in the API: files that visitors have uploaded among it.
_API = "/gradio_api/"
_OF_FILES = "default-src 'none'; img-src 'self'; media-src 'self'; sandbox"


def frame_ancestors(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return the sources whose pages may show ours in a frame, as ``GROUPDNET_FRAME_ANCESTORS`` lists them.

    By default that is this server alone, and on a Space the Hub too.

    Raises:
        ValueError: for anything but ``self``, ``none``, and addresses such as ``https://example.org``.
    """
    named = environment.get(FRAME_ANCESTORS, "").split()
    if not named:
        on_space = environment.get("SPACE_ID") or environment.get("SPACE_HOST")
        return _SPACES if on_space else (_SELF,)
    sources = tuple(f"'{one}'" if one in ("self", "none") else one for one in named)
    wrong = [one for one in sources if one not in (_SELF, _NONE) and not _SITE.fullmatch(one)]
    if wrong or (_NONE in sources and len(sources) > 1):
        raise ValueError(
            f"{FRAME_ANCESTORS} is {' '.join(named)[:80]!r}; it must be none, or a list of self and sites without a "
            "path, such as: self https://example.org"
        )
    return sources


def page_policy(page: bytes, framed_by: Iterable[str]) -> str:
    """Return the Content-Security-Policy of a page in HTML, whose own scripts alone may stand in it.

    Args:
        page: its bytes.
        framed_by: what :func:`frame_ancestors` returns.
    """
    checksums = (hashlib.sha256(text).digest() for text in _SCRIPT.findall(page))
    known = [f"'sha256-{base64.b64encode(checksum).decode()}'" for checksum in checksums]
    rules = {
        "default-src": _SELF,
        "script-src": " ".join([_SELF, "'unsafe-eval'", *dict.fromkeys(known)]),
        "style-src": f"{_SELF} 'unsafe-inline'",
        "img-src": f"{_SELF} data: blob:",
        "media-src": f"{_SELF} data: blob:",
        "connect-src": f"{_SELF} data: blob:",
        "frame-src": _NONE,
        "object-src": _NONE,
        "base-uri": _SELF,
        "form-action": _SELF,
        "frame-ancestors": " ".join(framed_by),
    }
    return "; ".join(f"{name} {sources}" for name, sources in rules.items())


class SafeHeaders:
    """Put the headers on every answer; a page is held back until its scripts are known.

    Args:
        app: what answers; pages come from it as they are, uncompressed.
        framed_by: what :func:`frame_ancestors` returns.
    """

    def __init__(self, app: ASGIApp, framed_by: tuple[str, ...]) -> None:
        self._app, self._framed_by = app, framed_by

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start: Message | None = None
        parts: list[bytes] = []

        async def guarded(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                headers = Headers(raw=message["headers"])
                if headers.get("content-type", "").startswith("text/html"):
                    start = message
                    return
                self._put(message, _OF_FILES if _API in scope["path"] else "")
            if start is None:
                await send(message)
                return
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                page = b"".join(parts)
                self._put(start, page_policy(page, self._framed_by))
                await send(start)
                await send({"type": "http.response.body", "body": page})

        await self._app(scope, receive, guarded)

    def _put(self, start: Message, policy: str) -> None:
        headers = MutableHeaders(raw=start["headers"])
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "same-origin"
        if policy:
            headers["Content-Security-Policy"] = policy
        # Which knows no list of sites; browsers that know frame-ancestors do not look at it.
        if self._framed_by in ((_SELF,), (_NONE,)):
            headers["X-Frame-Options"] = "SAMEORIGIN" if self._framed_by == (_SELF,) else "DENY"
