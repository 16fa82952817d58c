"""Downloads of weights that are out of reach are told at once, with what to do."""

from __future__ import annotations

import hashlib
import http.client
import threading
import urllib.error
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from groupdnet_hub.io import downloads
from groupdnet_hub.io.downloads import Download, unreachable

CONTENT = b"weights"


class Handler(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_response(404 if "missing" in self.path else 200)
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    http_server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http_server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http_server.server_port}"
    http_server.shutdown()
    http_server.server_close()


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


def fetched(download: Download) -> bytes:
    """What torch.hub downloads, into its cache."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / download.url.rsplit("/", 1)[1]
    with download.running():
        if not file.is_file():
            torch.hub.download_url_to_file(
                download.url, str(file), hash_prefix=file.stem.rsplit("-", 1)[1], progress=False
            )
        return file.read_bytes()


def named(server: str, checksum: str) -> Download:
    return Download(f"{server}/net-{checksum}.pth", "the weights of net", "name a local file with --weights")


def test_what_is_there_is_downloaded_and_then_in_the_cache(server: str) -> None:
    checksum = hashlib.sha256(CONTENT).hexdigest()[:8]
    assert fetched(named(server, checksum)) == CONTENT
    assert fetched(named("http://127.0.0.1:9", checksum)) == CONTENT  # where nobody answers


def test_what_is_out_of_reach_is_told_with_the_remedy() -> None:
    download = named("http://127.0.0.1:9", "01234567")
    expected = (
        r"the weights of net cannot be downloaded from 127\.0\.0\.1 \(Connection refused\): name a local file"
    )
    with pytest.raises(ValueError, match=expected):
        download.check()
    with pytest.raises(ValueError, match=expected):
        fetched(download)


def test_a_wrong_checksum_is_told(server: str) -> None:
    with pytest.raises(
        ValueError, match=r"127\.0\.0\.1 \(its checksum is wrong\): name a local file with --weights"
    ):
        fetched(named(server, "01234567"))


def test_a_file_that_is_gone_is_told(server: str) -> None:
    download = Download(f"{server}/missing-01234567.pth", "the weights", "name a local file")
    assert unreachable(download.url) is None  # the server answers
    with pytest.raises(ValueError, match=r"the weights cannot be downloaded from 127\.0\.0\.1 \(.*\): name"):
        fetched(download)


@pytest.mark.parametrize(
    "error", [TimeoutError("timed out"), http.client.IncompleteRead(b"", 5), ConnectionResetError()]
)
def test_a_download_that_breaks_off_is_told(server: str, error: Exception) -> None:
    with pytest.raises(ValueError, match="cannot be downloaded"), named(server, "01234567").running():
        raise error


def test_other_errors_stay_as_they_are(server: str) -> None:
    for error in (OSError(28, "No space left on device"), RuntimeError("of another kind")):
        with pytest.raises(type(error), match=str(error.args[-1])), named(server, "01234567").running():
            raise error


def test_a_name_that_nobody_knows_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object, **options: float) -> None:
        assert options["timeout"] <= 10  # a firewall may never answer
        raise urllib.error.URLError(OSError(-2, "Name or service not known"))

    monkeypatch.setattr(downloads.urllib.request, "urlopen", nobody)
    assert unreachable("https://example.org/a.pth") == "Name or service not known"
