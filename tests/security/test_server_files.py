"""What a server leaves on the disk: nothing after its end, and nothing of one that was killed after the next start."""

from __future__ import annotations

import io
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.browser.conftest import serve
from tests.helpers.page_models import page_model


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    page_model().save_pretrained(folder)
    return folder


def upload(address: str, content: bytes) -> tuple[int, str]:
    """Upload a file; return the status and the text of the answer."""
    body = io.BytesIO()
    body.write(b'--mark\r\nContent-Disposition: form-data; name="files"; filename="map.png"\r\n\r\n')
    body.write(content + b"\r\n--mark--\r\n")
    headers = {"Content-Type": "multipart/form-data; boundary=mark"}
    request = urllib.request.Request(f"{address}gradio_api/upload", body.getvalue(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def found_in(temporary: Path) -> set[Path]:
    """Return what is there, but for the empty folder that gradio makes when it is imported."""
    return {path for path in temporary.iterdir() if path.name != "vibe_edit_history"}


def wait_until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(300):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail(what)


@pytest.mark.slow
def test_nothing_is_left_and_uploads_beyond_the_limit_are_refused(
    model_folder: Path, examples: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    variables = {"GRADIO_TEMP_DIR": str(temporary), "GROUPDNET_TEMP_MIB": "128"}
    with serve(model_folder, examples, tmp_path, **variables) as (address, process):
        assert upload(address, b"of the first")[0] == 200
        left = found_in(temporary)
        os.kill(process, signal.SIGKILL)
    assert any(b"of the first" in path.read_bytes() for path in temporary.rglob("map.png"))
    with serve(model_folder, examples, tmp_path, **variables) as (address, _):
        assert not left & found_in(temporary)
        assert not list(temporary.rglob("map.png"))
        (folder,) = (path for path in found_in(temporary) if path.is_dir())
        assert folder.stat().st_mode & 0o777 == 0o700
        taken = [upload(address, bytes([number]) * (36 << 20))[0] for number in range(3)]
        assert taken == [200, 200, 200]
        status, sentence = upload(address, b"x" * (36 << 20))
        assert status == 507
        assert "no room for more files at the moment (GROUPDNET_TEMP_MIB): try again" in sentence
        assert upload(address, b"small")[0] == 200
    # Its own end, by SIGTERM.
    wait_until(lambda: not found_in(temporary), "something is left")
