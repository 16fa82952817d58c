"""How often, and how much at once, one address may ask."""

from __future__ import annotations

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ..refusals.answers import refusal
from .addresses import note_address
from .limits import Limits, variable

# What a page consists of comes in dozens and is cheap.
_FREE = ("/assets/", "/static/", "/gradio_api/file=")
_MIB = 1 << 20
# Addresses that are remembered.
_ADDRESSES = 10_000


class Allowance:
    """What an address may take: up to ``most`` at once, which comes back at ``rate`` a second.

    Args:
        rate: of each address.
        most: of each address.
        clock: tells seconds.
    """

    def __init__(self, rate: float, most: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._most, self._clock = rate, most, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str, amount: float) -> float:
        """Take so much, if there is so much; return the seconds until there is, 0 if it was taken."""
        now = self._clock()
        left, since = self._left.pop(address, (self._most, now))
        left = min(self._most, left + (now - since) * self._rate)
        missing = min(amount, self._most) - left
        self._left[address] = (left if missing > 0 else left - amount, now)
        while len(self._left) > _ADDRESSES:  # whoever came last longest ago has most of it back
            self._left.popitem(last=False)
        return max(0.0, missing / self._rate)


class Rates:
    """Refuse what is too much of one address; others notice nothing of it.

    Args:
        app: what answers.
        limits: of an address.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app, self._limits = app, limits
        calls, uploads = limits.calls_per_minute, limits.uploads_mib_per_hour
        self._calls = Allowance(calls / 60, max(1, calls / 4)) if calls else None
        self._uploads = Allowance(uploads / 3600, uploads) if uploads else None
        self._open: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        address = note_address(scope, self._limits.proxies)
        refusal = self._refusal(scope, address)
        if refusal is not None:
            status, sentence, wait = refusal
            await refuse(scope, receive, send, status, sentence, math.ceil(wait))
            return
        self._open[address] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._open[address] -= 1
            if not self._open[address]:
                del self._open[address]

    def _refusal(self, scope: Scope, address: str) -> tuple[int, str, float] | None:
        """Return the status, the sentence and the seconds to wait; None for what is not too much."""
        path, limits = scope.get("path", ""), self._limits
        if self._open[address] >= limits.requests_per_address:
            told = f"Your address has {limits.requests_per_address} requests open at once, which is all that it may"
            return 429, f"{told} ({variable('requests_per_address')}): close some of them.", 1
        if self._calls is not None and not any(part in path for part in _FREE):
            wait = self._calls.take(address, 1)
            if wait:
                told = f"More than {limits.calls_per_minute} calls a minute come from your address"
                return 429, f"{told} ({variable('calls_per_minute')}): try again {_after(wait)}.", wait
        if self._uploads is not None and scope["method"] == "POST" and path.rstrip("/").endswith("/upload"):
            size = Headers(scope=scope).get("content-length", "")
            # One that does not say is refused by UploadRoom.
            wait = self._uploads.take(address, int(size[:18]) / _MIB if size.isdecimal() else 0)
            if wait:
                told = f"More than {limits.uploads_mib_per_hour} MiB an hour are uploaded from your address"
                return 429, f"{told} ({variable('uploads_mib_per_hour')}): try again {_after(wait)}.", wait
        return None


def _after(seconds: float) -> str:
    """Return when to try again."""
    return f"in {math.ceil(seconds / 60)} minutes" if seconds > 90 else f"in {math.ceil(seconds)} s"


async def refuse(
    scope: Scope, receive: Receive, send: Send, status: int, sentence: str, wait: int = 0
) -> None:
    """Answer a request with a refusal before gradio sees it, where programs and the page look for the sentence.

    Args:
        scope: of the request.
        receive: of the request.
        send: of the request.
        status: of HTTP.
        sentence: what is wrong and how to mend it.
        wait: seconds after which it may be tried again, if that is all it takes.
    """
    headers = {"X-Content-Type-Options": "nosniff"} | ({"Retry-After": str(wait)} if wait else {})
    await refusal(status, sentence, headers)(scope, receive, send)
