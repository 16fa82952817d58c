"""Whose session it is: a name that a client chooses is none, since another may choose the same.

gradio takes the name of a session from whoever sends it. Here it becomes a digest of that name and of a token that the
server drew for the browser and sent it as a cookie, so that the same name from elsewhere is another session. Programs
that keep no cookies have their name alone, which must then be long; gradio's own client draws 122 random bits. So must
browsers that block cookies, as some do for a page within another site's; theirs is drawn by gradio's script.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .addresses import address_of
from .rates import refuse
from .sessions import Sessions

COOKIE = "groupdnet"
# Of names that come without a cookie.
LEAST_LENGTH = 16
# The work that a browser brings back is 24 MiB, in base64.
MOST_BYTES = 48 << 20
_TOKEN_LENGTH = 43
_NAME = "session_hash"
# Parameters of addresses that name what one client alone should reach.
_NAMING = {_NAME, "upload_id"}
_API, _HEARTBEAT = "/gradio_api/", "/gradio_api/heartbeat/"
UPLOAD = "/gradio_api/upload"


class Identities:
    """Put in the place of each session's name what its client alone can name.

    Args:
        app: what answers.
        sessions: are told where their calls come from.
    """

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app, self._sessions = app, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        path = scope.get("path", "")
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        token = token_of(scope)
        scope = _with_names(scope, token)
        if not path.startswith(_API):
            await self._app(scope, receive, send if token else _with_cookie(scope, send))
        elif scope["method"] == "POST" and path.rstrip("/") != UPLOAD:
            await self._call(token, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _call(self, token: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request whose body may name a session."""
        if Headers(scope=scope).get("content-type", "").startswith("multipart/"):
            await refuse(scope, receive, send, 415, "Only uploads are forms here: send JSON.")
            return
        body = await _body(receive)
        if body is None:
            told = (
                f"The call is larger than {MOST_BYTES >> 20} MiB: upload files first, and send their paths."
            )
            await refuse(scope, receive, send, 413, told)
            return
        try:
            content = json.loads(body)
        except (ValueError, RecursionError):  # gradio reads it in the same way, and refuses it
            content = None
        name = content.get(_NAME) if isinstance(content, dict) else None
        if isinstance(name, str) and name:
            # Browsers name the page that asks; no script of another makes names for this one.
            if not token and len(name) < LEAST_LENGTH and "origin" not in Headers(scope=scope):
                await refuse(scope, receive, send, 400, _too_short(name))
                return
            key = session_key(token, name)
            self._sessions.announce(key, address_of(scope))
            body = _named(body, content, key)
            scope = {**scope, "headers": _of_length(scope, len(body))}
        await self._app(scope, _replayed(body, receive), send)


def session_key(token: str, name: str) -> str:
    """Return what a session is called here.

    Args:
        token: of the client's browser; empty for a client without one.
        name: as the client calls it.
    """
    return hashlib.sha256(f"{token}\0{name}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _named(body: bytes, content: dict[str, Any], key: str) -> bytes:
    """Return the body of a call with another name of its session.

    Args:
        body: a JSON object with a name.
        content: of it.
        key: the other name.
    """
    if json.detect_encoding(body).startswith("utf-8"):
        # Of keys that stand twice, the last counts; writing all anew takes twice as long as reading it.
        return b"".join((memoryview(body.rstrip())[:-1], f', "{_NAME}": "{key}"}}'.encode()))
    return json.dumps({**content, _NAME: key}).encode()


def _too_short(name: str) -> str:
    return (
        f"The session_hash {name!r} may be somebody else's too: without cookies it must have at least "
        f"{LEAST_LENGTH} characters, drawn at random, such as those that uuidgen prints, or "
        'python3 -c "import uuid; print(uuid.uuid4())".'
    )


def token_of(scope: Scope) -> str:
    """Return the token that a browser was sent first; empty for none, and for what was not drawn here.

    One that opened two pages at once was sent two. Browsers send the cookie first that they have had for longest, so
    that a page keeps its session when the next one brings another token.
    """
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load(Headers(scope=scope).get("cookie", "")[:8192])
    except CookieError:
        return ""
    named = _cookie_name(scope)
    tokens = (one.value for name, one in cookies.items() if name.startswith(named))
    return next((token for token in tokens if len(token) == _TOKEN_LENGTH), "")


def _with_cookie(scope: Scope, send: Send) -> Send:
    """Return what sends a page with a new token: only pages, so that no program changes its identity on its way."""
    secure = _is_secure(scope)
    # Within a page of another site, as a Space is, a browser takes only such a cookie, and keeps it for that site.
    kind = "SameSite=None; Secure; Partitioned" if secure else "SameSite=Lax"

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if headers.get("content-type", "").startswith("text/html"):
                # Two that come at once are both kept, since each has a name of its own.
                name = f"{_cookie_name(scope)}{secrets.token_hex(4)}"
                cookie = f"{name}={secrets.token_urlsafe(32)}; Path=/; HttpOnly; {kind}"
                headers.append("Set-Cookie", cookie)
        await send(message)

    return sending


def _cookie_name(scope: Scope) -> str:
    """Return how the name begins; by the prefix browsers make sure that no other host has set it."""
    return f"__Host-{COOKIE}-" if _is_secure(scope) else f"{COOKIE}-"


def _is_secure(scope: Scope) -> bool:
    # What a client says of itself by this header concerns its own cookie alone.
    forwarded = Headers(scope=scope).get("x-forwarded-proto", "")
    return scope.get("scheme") == "https" or forwarded.split(",")[0].strip() == "https"


def _with_names(scope: Scope, token: str) -> Scope:
    """Return a request in whose address names of sessions and uploads are its client's own."""
    path, query = scope["path"], scope.get("query_string", b"")
    if path.startswith(_HEARTBEAT):
        path = _HEARTBEAT + session_key(token, path.removeprefix(_HEARTBEAT))
        scope = {**scope, "path": path, "raw_path": path.encode()}
    if not any(name.encode() in query for name in _NAMING) and b"%" not in query:
        return scope
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    named = [(name, session_key(token, value) if name in _NAMING else value) for name, value in pairs]
    return {**scope, "query_string": urlencode(named).encode()}


async def _body(receive: Receive) -> bytes | None:
    """Return the body of a request; None if it is too large."""
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > MOST_BYTES:
            return None
        more = message.get("more_body", False)
    return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return what receives a body that was received before, and then whatever comes."""
    messages: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replaying() -> Message:
        return messages.pop() if messages else await receive()

    return replaying


def _of_length(scope: Scope, length: int) -> list[tuple[bytes, bytes]]:
    kept = [
        (name, value)
        for name, value in scope["headers"]
        if name not in (b"content-length", b"transfer-encoding")
    ]
    return [*kept, (b"content-length", str(length).encode())]
