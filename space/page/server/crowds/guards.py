"""All guards of the page against crowds, put in their places."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from gradio.blocks import Blocks
from starlette.middleware import Middleware

from .fair_queue import FairQueue
from .identities import Identities
from .limits import Limits, variable
from .proxies import ProxyHint
from .rates import Rates
from .sessions import Sessions, Weigh


@dataclass(frozen=True)
class Guards:
    """What ``launch`` takes in ``app_kwargs``.

    Attributes:
        middleware: the first that a request meets.
        lifespan: puts the sessions in their place before the first request is answered.
    """

    middleware: list[Middleware]
    lifespan: Callable[[Any], AbstractAsyncContextManager[None]]


def guard(page: Blocks, limits: Limits, weigh: Weigh, films: str) -> Guards:
    """Give the page a queue whose places and turns are shared by addresses, and return its other guards.

    Args:
        page: as ``Blocks.queue`` left it, before it is launched.
        limits: of an address, and of all.
        weigh: how much work a value of a session's state holds.
        films: the ``concurrency_id`` of calls that take long.
    """
    page._queue = FairQueue(page._queue, limits, films)
    sessions = Sessions(limits, weigh)

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        app.state_holder = sessions
        sessions.set_blocks(app.get_blocks())
        yield

    hint = [] if limits.proxies or os.environ.get(variable("proxies")) else [Middleware(ProxyHint)]
    guards = [Middleware(Rates, limits=limits), Middleware(Identities, sessions=sessions)]
    return Guards([*hint, *guards], lifespan)
