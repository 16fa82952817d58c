"""What a server leaves on the disk: nothing after its end, and nothing of one that was killed after the next start."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from page.server.disk import LEAST_COUNTED

from tests.browser.conftest import serve
from tests.browser.visitor import wait_for
from tests.helpers.page_models import page_model
from tests.helpers.strangers import API, Stranger

CROWD, VISITOR = "198.51.100.9", "203.0.113.7"
MIB = 1 << 20


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    page_model().save_pretrained(folder)
    return folder


def visitor(address: str, at: str) -> Stranger:
    """Return a client whose requests come from an address, as the proxy says that the tests play."""
    return Stranger(address, headers={"X-Forwarded-For": at})


def found_in(temporary: Path) -> set[Path]:
    """Return what is there, but for the empty folder that gradio makes when it is imported."""
    return {path for path in temporary.iterdir() if path.name != "vibe_edit_history"}


@pytest.mark.slow
def test_nothing_is_left_and_uploads_beyond_the_limit_are_refused(
    model_folder: Path, examples: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    variables = {"GRADIO_TEMP_DIR": str(temporary), "GROUPDNET_TEMP_MIB": "128"}
    with serve(model_folder, examples, tmp_path, **variables) as (address, process):
        assert visitor(address, CROWD).upload(b"map.png", b"of the first")[0] == 200
        left = found_in(temporary)
        os.kill(process, signal.SIGKILL)
        assert "GROUPDNET_PROXIES" in (tmp_path / "log.txt").read_text()  # since there seems to be one
    assert any(b"of the first" in path.read_bytes() for path in temporary.rglob("map.png"))
    with serve(model_folder, examples, tmp_path, GROUPDNET_PROXIES="1", **variables) as (address, _):
        assert not left & found_in(temporary)
        assert not list(temporary.rglob("map.png"))
        (folder,) = (path for path in found_in(temporary) if path.is_dir())
        assert folder.stat().st_mode & 0o777 == 0o700
        for at, content in ((CROWD, b"a"), ("198.51.100.10", b"b")):
            assert visitor(address, at).upload(b"map.png", content * (36 * MIB))[0] == 200
            # Half of it is one address's at most.
            status, told = visitor(address, at).upload(b"map.png", bytes(36 * MIB))
            assert status == 429
            assert "an address may upload 64 MiB (GROUPDNET_TEMP_MIB), and yours has" in told
        assert visitor(address, VISITOR).upload(b"map.png", b"x" * (36 * MIB))[0] == 200
        status, told = visitor(address, "203.0.113.8").upload(b"map.png", b"y" * (36 * MIB))
        assert status == 507
        assert "no room for more files at the moment (GROUPDNET_TEMP_MIB): try again" in told
        assert visitor(address, VISITOR).upload(b"map.png", b"small")[0] == 200
        status, told = visitor(address, VISITOR).upload(b"map.png", bytes(65 * MIB))
        assert status == 413
        assert "An upload may have 64 MiB" in told
    # Its own end, by SIGTERM.
    wait_for(lambda: not found_in(temporary), "nothing to be left", 30)


def held(temporary: Path) -> tuple[int, int]:
    """Return how many bytes and files there are."""
    sizes = []
    for folder, _, names in os.walk(temporary):  # which passes by what is removed meanwhile
        for name in names:
            with contextlib.suppress(OSError):
                sizes.append(os.lstat(os.path.join(folder, name)).st_size)
    return sum(sizes), len(sizes)


@pytest.mark.slow
@pytest.mark.long
def test_5000_calls_that_leave_files_are_bounded_and_others_get_pictures(
    model_folder: Path, examples: Path, tmp_path: Path
) -> None:
    """``pytest -m long -s tests/security/test_server_files.py``: 128 MiB, and what is written in some 15 s."""
    temporary, limit, began = tmp_path / "temporary", 128, time.monotonic()
    variables = {
        "GRADIO_TEMP_DIR": str(temporary),
        "GROUPDNET_TEMP_MIB": str(limit),
        "GROUPDNET_PROXIES": "1",
        # How many there may be is tested elsewhere.
        "GROUPDNET_CALLS_PER_MINUTE": "0",
        "GROUPDNET_UPLOADS_MIB_PER_HOUR": "0",
    }
    told, seen, over = Counter[str](), [(0, 0)], threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            seen.append(held(temporary))

    def crowd(part: int) -> None:
        client, draw = visitor(address, CROWD), random.Random(part)
        for number in range(1250):
            if number % 400 == 399:
                kind, (done, _) = "film", client.call("/film", "current", "example 2", None, "gif", True)
            elif number % 4 == 3:
                kind, (done, _) = "picture", client.call("/sample", part * 10_000 + number)
            else:
                size = draw.choice((1, 100, 10_000, 200_000, 2_000_000))
                status, _ = client.upload(b"map.png", draw.randbytes(size))
                kind, done = "upload", status == 200
                assert status in (200, 429), status
            told[f"{kind} {'done' if done else 'refused'}"] += 1

    with serve(model_folder, examples, tmp_path, **variables) as (address, _), ThreadPoolExecutor(5) as pool:
        watching, walking = pool.submit(watch), [pool.submit(crowd, part) for part in range(4)]
        pictures = 0
        while not all(one.done() for one in walking):
            honest = visitor(address, VISITOR)
            status, stored = honest.upload(b"map.png", next(examples.glob("*.png")).read_bytes())
            assert status == 200, stored
            upload = {"path": json.loads(stored)[0], "meta": {"_type": "gradio.FileData"}}
            done, answer = honest.call("/open_map", upload, pictures, False)
            assert done, answer
            assert honest.ask(f"{API}file={answer[1]['path']}")[0] == 200
            pictures += 1
            time.sleep(2)
        for one in walking:
            one.result()
        over.set()
        watching.result()
    most, files = max(size for size, _ in seen) / MIB, max(count for _, count in seen)
    print(f"{dict(told)}: at most {most:.0f} MiB in {files} files, {pictures} pictures for another")
    print(f"{time.monotonic() - began:.0f} s")
    assert sum(told.values()) == 5000
    assert most < limit + 16
    assert files < (limit + 32) * MIB // LEAST_COUNTED
    assert pictures > 3
