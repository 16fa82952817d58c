"""A small Hub on this machine: enough of its HTTP interface to download, to miss and to push."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs

from tests.helpers.shared_data import ROOT

# A repository in the addresses of the interface, "models/user/name"; for models, the kind is not part of the name here.
_NAME = r"(?:models/)?((?:datasets/)?[^/]+/[^/?]+?)"


class FakeHub:
    """Repositories as {name: {revision: {file: bytes}}}; a push to a revision replaces files there.

    A data set's name begins with ``datasets/``. Names that begin with ``private/`` or ``gated/`` are refused as the
    Hub refuses them.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}
        self.address = ""
        # Authorisation headers of all requests that write.
        self.writers: list[str | None] = []

    def add(self, name: str, files: dict[str, bytes], revision: str = "main") -> None:
        self.repositories.setdefault(name, {})[revision] = dict(files)

    def environment(self, home: Path) -> dict[str, str]:
        """Variables under which another process takes this for the Hub; call it while it is serving."""
        wanted = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "HF_ENDPOINT": self.address,
            "HF_HOME": str(home),
            "HF_TOKEN": "hf_test",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
        }
        for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
            wanted.pop(name, None)
        return wanted

    @contextmanager
    def serving(self) -> Iterator[FakeHub]:
        """Answer on a free port of this machine."""
        hub = self

        class Handler(_Handler):
            repositories = hub.repositories
            large_files: ClassVar[dict[str, bytes]] = {}
            writers = hub.writers

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


def _commit(files: dict[str, bytes]) -> str:
    digest = hashlib.sha1()
    for name in sorted(files):
        digest.update(name.encode() + files[name])
    return digest.hexdigest()


def _entry(name: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}


def _asked_paths(body: bytes) -> list[str]:
    text = body.decode()
    return json.loads(text)["paths"] if text.startswith("{") else parse_qs(text)["paths"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    repositories: dict[str, dict[str, dict[str, bytes]]]
    large_files: dict[str, bytes]
    writers: list[str | None]

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self._resolve()

    def do_GET(self) -> None:
        if "/tree/" in self.path:
            self._tree()
        elif self.path.startswith(("/api/models/", "/api/datasets/")):
            self._info()
        else:
            self._resolve()

    def do_POST(self) -> None:
        body = self._body()
        self.writers.append(self.headers["Authorization"])
        if self.headers["Authorization"] == "Bearer hf_wrong":
            self._refuse(401, "")
        elif self.path == "/api/repos/create":
            wanted = json.loads(body)
            owner = wanted.get("organization") or "user"
            kind = "datasets/" if wanted.get("type") == "dataset" else ""
            name = f"{kind}{owner}/{wanted['name']}"
            self.repositories.setdefault(name, {"main": {}})
            self._json({"url": f"http://{self.headers['Host']}/{name}"})
        elif self.path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif match := re.fullmatch(rf"/api/{_NAME}/preupload/([^/?]+).*", self.path):
            modes = [
                {
                    "path": f["path"],
                    "uploadMode": "lfs" if f["path"].endswith(".parquet") else "regular",
                    "shouldIgnore": False,
                }
                for f in json.loads(body)["files"]
            ]
            self._json({"files": modes})
        elif self.path.endswith("/info/lfs/objects/batch"):
            address = f"http://{self.headers['Host']}/large/"
            objects = [
                {**asked, "actions": {"upload": {"href": address + asked["oid"]}}}
                for asked in json.loads(body)["objects"]
            ]
            self._json({"transfer": "basic", "objects": objects})
        elif match := re.fullmatch(rf"/api/{_NAME}/paths-info/([^/?]+).*", self.path):
            files = self._files(match[1], match[2])
            if files is not None:
                asked = _asked_paths(body)
                self._json([_entry(name, files[name]) for name in files if name in asked])
        elif match := re.fullmatch(rf"/api/{_NAME}/commit/([^/?]+)(.*)", self.path):
            new_request = "create_pr=1" in match[3]
            revision = "refs/pr/1" if new_request else match[2]
            files = self.repositories[match[1]].setdefault(revision, {})
            for line in body.decode().splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
                elif entry["key"] == "lfsFile":
                    files[entry["value"]["path"]] = self.large_files[entry["value"]["oid"]]
            url = f"http://{self.headers['Host']}/{match[1]}/commit/{_commit(files)}"
            answer = {"commitUrl": url, "commitOid": _commit(files), "success": True}
            if new_request:
                answer["pullRequestUrl"] = f"http://{self.headers['Host']}/{match[1]}/discussions/1"
            self._json(answer)
        else:
            self._refuse(404, "EntryNotFound")

    def do_PUT(self) -> None:
        self.large_files[self.path.removeprefix("/large/")] = self._body()
        self._json({})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _files(self, name: str, revision: str) -> dict[str, bytes] | None:
        """Files of a revision, by branch or commit; None after an error was sent."""
        if name.startswith("gated/"):
            self._refuse(403, "GatedRepo")
            return None
        if name not in self.repositories:
            self._refuse(401 if name.startswith("private/") else 404, "RepoNotFound")
            return None
        revisions = self.repositories[name]
        by_commit = {_commit(files): files for files in revisions.values()}
        files = revisions.get(revision, by_commit.get(revision))
        if files is None:
            self._refuse(404, "RevisionNotFound")
        return files

    def _info(self) -> None:
        match = re.fullmatch(rf"/api/{_NAME}(?:/revision/([^/?]+))?(?:\?.*)?", self.path)
        if match is None:
            return self._refuse(404, "EntryNotFound")
        files = self._files(match[1], match[2] or "main")
        if files is not None:
            siblings = [{"rfilename": name} for name in files]
            self._json(
                {"id": match[1], "modelId": match[1], "sha": _commit(files), "siblings": siblings, "tags": []}
            )
        return None

    def _tree(self) -> None:
        match = re.fullmatch(rf"/api/{_NAME}/tree/([^/?]+)/?([^?]*)(?:\?.*)?", self.path)
        if match is None:
            return self._refuse(404, "EntryNotFound")
        files = self._files(match[1], match[2])
        if files is None:
            return None
        prefix = match[3] + "/" if match[3] else ""
        below = {name: content for name, content in files.items() if name.startswith(prefix)}
        if prefix and not below:
            return self._refuse(404, "EntryNotFound")
        folders = {str(parent) for name in below for parent in Path(name).parents} - {".", match[3]}
        entries = [{"type": "directory", "path": name, "size": 0, "oid": "0"} for name in sorted(folders)]
        entries += [_entry(name, content) for name, content in below.items()]
        if "recursive=true" not in self.path.lower():
            entries = [entry for entry in entries if "/" not in entry["path"].removeprefix(prefix)]
        return self._json(entries)

    def _resolve(self) -> None:
        match = re.fullmatch(r"/((?:datasets/)?[^/]+/[^/]+)/resolve/([^/]+)/([^?]+)(?:\?.*)?", self.path)
        if match is None:
            return self._refuse(404, "EntryNotFound")
        files = self._files(match[1], match[2])
        if files is None:
            return None
        if match[3] not in files:
            return self._refuse(404, "EntryNotFound", _commit(files))
        content = files[match[3]]
        self.send_response(200)
        self.send_header("X-Repo-Commit", _commit(files))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)
        return None

    def _json(self, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _refuse(self, status: int, code: str, commit: str | None = None) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        if commit:
            self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", "0")
        self.end_headers()
