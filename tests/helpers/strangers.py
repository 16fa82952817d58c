"""A client of the page without a library: it sends whatever it likes, and reads what comes back."""

from __future__ import annotations

import http.client
import json
import uuid
from collections.abc import Mapping
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

API = "/gradio_api/"


class Stranger:
    """One session, each of whose requests has a connection of its own: servers close those that were idle.

    Args:
        page: the page's address.
        session: what it calls its session; a random name by default.
        headers: of all its requests.
    """

    def __init__(self, page: str, session: str = "", headers: Mapping[str, str] | None = None) -> None:
        self.session = session or str(uuid.uuid4())
        self.headers = dict(headers or {})
        self._host = urlsplit(page).netloc

    def ask(
        self,
        path: str,
        body: bytes | None = None,
        method: str = "",
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        """Send a request as it stands; return the status and the text of the answer."""
        kind = {} if body is None else {"Content-Type": content_type}
        sent = {**kind, **self.headers, **(headers or {})}
        with closing(http.client.HTTPConnection(self._host, timeout=60)) as line:
            line.request(method or ("GET" if body is None else "POST"), path, body, sent)
            answer = line.getresponse()
            return answer.status, answer.read().decode(errors="replace")

    def post(self, path: str, content: Any) -> tuple[int, str]:
        """Send JSON, NaN and half characters included."""
        return self.ask(path, json.dumps(content).encode())

    def call(self, endpoint: str, *values: Any) -> tuple[bool, Any]:
        """Call an endpoint through the queue; return whether it was done, and what came back."""
        content = {"data": list(values), "session_hash": self.session}
        status, text = self.post(f"{API}call{endpoint}", content)
        if status != 200:
            return False, {"status": status, **json.loads(text)}
        return self._told(self.ask(f"{API}call{endpoint}/{json.loads(text)['event_id']}"))

    def press(self, number: int, values: list[Any], event_data: Any = None) -> tuple[bool, Any]:
        """Do what a button of the page does, by the number of its function."""
        content = {
            "data": values,
            "event_data": event_data,
            "fn_index": number,
            "session_hash": self.session,
        }
        status, text = self.post(f"{API}queue/join", content)
        if status != 200:
            return False, {"status": status, **json.loads(text)}
        return self._told(self.ask(f"{API}queue/data?session_hash={self.session}"))

    def looks(self) -> list[str]:
        """Return the names of the session's looks, without those that every visitor has."""
        done, answer = self.call("/looks")
        assert done, answer
        return [name for name in answer[-1] if not name.startswith("example")]

    def stream(self) -> str:
        """Return what is told to the session by its name; nothing but an error, if there is none."""
        try:
            return self.ask(f"{API}queue/data?session_hash={self.session}")[1]
        except http.client.IncompleteRead as broken:
            return broken.partial.decode()

    @staticmethod
    def _told(answer: tuple[int, str]) -> tuple[bool, Any]:
        status, text = answer
        if status != 200:
            return False, {"status": status, **json.loads(text)}
        parts = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
        done = [one for one in parts if isinstance(one, dict) and one.get("msg") == "process_completed"]
        if done:
            return done[-1]["success"], done[-1]["output"]
        return "event: error" not in text, parts[-1]

    def upload(self, name: bytes, content: bytes, query: str = "") -> tuple[int, str]:
        """Upload a file under a name, which stands in the form as it is."""
        form = (
            b'--edge\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n%s\r\n--edge--\r\n'
        )
        return self.ask(
            f"{API}upload{query}", form % (name, content), content_type="multipart/form-data; boundary=edge"
        )
