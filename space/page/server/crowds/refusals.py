"""A refusal of a request before gradio sees it: a status and a sentence, where programs and the page look for it."""

from __future__ import annotations

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send


async def refuse(
    scope: Scope, receive: Receive, send: Send, status: int, sentence: str, wait: int = 0
) -> None:
    """Answer a request with a refusal.

    Args:
        scope: of the request.
        receive: of the request.
        send: of the request.
        status: of HTTP.
        sentence: what is wrong and how to mend it.
        wait: seconds after which it may be tried again, if that is all it takes.
    """
    headers = {"Retry-After": str(wait)} if wait else None
    answer = JSONResponse({"detail": sentence, "error": sentence}, status, headers)
    await answer(scope, receive, send)
