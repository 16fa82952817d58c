"""A proxy that the operator has not told of: all visitors come from its address then, and share what one may have."""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Receive, Scope, Send

from .limits import variable

_HEADERS = {b"x-forwarded-for", b"forwarded"}
_HINT = (
    "A request has the header %s: if it came through a proxy of yours, all visitors behind that count as one address "
    "and share its limits. Set %s to how many proxies stand in front of the page, such as 1, or to 0 for none."
)


class ProxyHint:
    """Tell the log once that requests seem to come through a proxy.

    Args:
        app: what answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._is_told = app, False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if not self._is_told and scope["type"] == "http":
            found = sorted(_HEADERS.intersection(name for name, _ in scope["headers"]))
            if found:
                self._is_told = True
                logging.getLogger(__name__).warning(_HINT, found[-1].decode(), variable("proxies"))
        await self._app(scope, receive, send)
