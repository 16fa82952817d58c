"""Names of sessions in the bodies of calls: whatever a client writes, its own key is what counts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from page.server.crowds.identities import COOKIE, Identities, session_key
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

NAME = "a name of more than 16 characters"
CALL = {"data": ["a", {"session_hash": "inner"}, 1.5, "\u00e9\U0001f600"], "fn_index": 3}


class Told:
    """What is told of sessions."""

    def __init__(self) -> None:
        self.announced: list[str] = []

    def announce(self, key: str, address: str) -> None:
        self.announced.append(key)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the call, as FastAPI reads it."""
    request = Request(scope, receive)
    body = await request.body()
    assert int(request.headers["content-length"]) == len(body)
    await JSONResponse(await request.json())(scope, receive, send)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def client(told: Told) -> TestClient:
    sessions: Any = told
    return TestClient(Identities(echo, sessions))


def twice(first: str, last: str) -> bytes:
    return f'{{"session_hash": "{first}", "data": [], "session_hash": "{last}"}}'.encode()


@pytest.mark.parametrize(
    ("body", "call"),
    [
        (json.dumps({**CALL, "session_hash": NAME}).encode(), CALL),
        (json.dumps({"session_hash": NAME, **CALL}, ensure_ascii=False).encode(), CALL),
        (json.dumps({"session_hash": NAME, **CALL}, indent=2).encode() + b" \r\n\t ", CALL),
        (json.dumps({"session_hash": NAME}).encode(), {}),
        (twice("another name of 16 characters", NAME), {"data": []}),
        (f'{{"\\u0073ession_hash": "{NAME}", "data": []}}'.encode(), {"data": []}),
        (json.dumps({**CALL, "session_hash": NAME}, ensure_ascii=False).encode("utf-8-sig"), CALL),
        (json.dumps({**CALL, "session_hash": NAME}, ensure_ascii=False).encode("utf-16"), CALL),
        (json.dumps({**CALL, "session_hash": NAME}).encode("utf-32"), CALL),
    ],
)
@pytest.mark.parametrize("token", ["", "t" * 43])
def test_a_name_becomes_the_clients_key(
    client: TestClient, told: Told, body: bytes, call: dict[str, Any], token: str
) -> None:
    cookies = {"Cookie": f"{COOKIE}-1={token}"} if token else {}
    answer = client.post("/gradio_api/queue/join", content=body, headers=cookies)
    assert answer.json() == {**call, "session_hash": session_key(token, NAME)}
    assert told.announced == [session_key(token, NAME)]


@pytest.mark.parametrize("call", [CALL, {"session_hash": None}, {"session_hash": 5}, ["session_hash"], "x"])
def test_calls_without_a_name_pass_as_they_are(client: TestClient, told: Told, call: Any) -> None:
    assert client.post("/gradio_api/queue/join", json=call).json() == call
    assert told.announced == []
