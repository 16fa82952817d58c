"""The server's temporary files: bounded, its own, and gone with it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

pytest.importorskip("filelock", reason="the page needs gradio, which brings it")
from page.server.disk import (
    LEAST_COUNTED,
    LIMIT,
    TemporaryRoot,
    keep_files_in_one_folder,
    limit_from_environment,
)
from page.server.refusals.lines import keep_log_bounded

from tests.helpers.shared_data import ROOT

MIB = 1 << 20
HOLD = (
    "import sys, pathlib; from page.server.disk import TemporaryRoot; "
    "root = TemporaryRoot(pathlib.Path(sys.argv[1]), 1 << 20); (root.folder / 'file').write_text('x'); "
    "print(root.folder, flush=True); sys.stdin.read()"
)


@pytest.fixture
def root(tmp_path: Path) -> TemporaryRoot:
    return TemporaryRoot(tmp_path, MIB)


def put(root: TemporaryRoot, name: str, size: int, age: float) -> Path:
    path = root.folder / name / "picture.png"
    path.parent.mkdir()
    path.write_bytes(bytes(size))
    for one in (path, path.parent):
        os.utime(one, (time.time() - age,) * 2)
    return path


def test_only_its_owner_enters_it(root: TemporaryRoot) -> None:
    assert root.folder.stat().st_mode & 0o777 == 0o700
    root.remove()
    assert not list(root.folder.parent.iterdir())


def test_the_oldest_make_room_and_empty_folders_go(root: TemporaryRoot) -> None:
    paths = [put(root, str(n), MIB // 4, age=1000 - n) for n in range(8)]
    assert root.tidy() == MIB
    assert [path.exists() for path in paths] == [False] * 4 + [True] * 4
    os.utime(paths[0].parent, (0, 0))
    assert root.tidy(room=MIB // 2) == MIB // 2
    for path in paths[:6]:
        if path.parent.exists():
            os.utime(path.parent, (0, 0))
    root.tidy()
    assert sorted(path.name for path in root.folder.iterdir()) == ["6", "7"]


def test_beyond_the_limit_files_have_less_time(root: TemporaryRoot) -> None:
    paths = [put(root, str(n), MIB // 2, age=age) for n, age in enumerate((60, 30, 5))]
    # There is room for none, but none has to go for it; the oldest goes for the limit.
    assert root.tidy(room=MIB) == MIB
    assert [path.exists() for path in paths] == [False, True, True]
    put(root, "3", MIB, age=5)
    assert root.tidy() == MIB + MIB // 2
    assert not paths[1].exists()


def test_nothing_is_kept_for_more_than_a_day(root: TemporaryRoot) -> None:
    old, new = put(root, "old", 10, age=25 * 3600), put(root, "new", 10, age=23 * 3600)
    root.tidy()
    assert not old.exists()
    assert new.exists()


def test_many_small_files_are_bounded_too_and_what_is_noted_counts(root: TemporaryRoot) -> None:
    for number in range(32):
        put(root, str(number), 1, age=1000 - number)
    assert root.tidy() == root.held == 16 * LEAST_COUNTED == MIB
    root.note(100)
    assert root.held == MIB + 100
    assert root.tidy() == root.held == MIB


def test_what_has_just_been_written_stays_and_what_is_open_is_read_to_its_end(root: TemporaryRoot) -> None:
    new, old = put(root, "new", 2 * MIB, age=0), put(root, "old", MIB, age=1000)
    with old.open("rb") as file:
        assert root.tidy() == 2 * MIB
        assert new.exists()
        assert not old.exists()
        assert len(file.read()) == MIB


def test_links_are_removed_not_followed(root: TemporaryRoot, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(bytes(2 * MIB))
    (root.folder / "folder").symlink_to(outside)
    (root.folder / "link").symlink_to(outside / "file")
    assert root.tidy() == 2 * LEAST_COUNTED
    root.limit = 0
    root.tidy(grace=-1)
    assert not list(root.folder.iterdir())
    (root.folder / "folder").symlink_to(outside)
    root.remove()
    assert (outside / "file").stat().st_size == 2 * MIB


def test_what_a_killed_server_left_is_removed_and_what_others_use_is_not(tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "file").write_text("private")
    # Where another user may write: a link by the name of such a folder.
    (tmp_path / "groupdnet-page-trap.lock").write_text("")
    (tmp_path / "groupdnet-page-trap").symlink_to(outside)
    servers = [
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path)],
            cwd=ROOT / "space",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        killed, living = (Path(server.stdout.readline().strip()) for server in servers)  # type: ignore[union-attr]
        servers[0].kill()
        servers[0].wait()
        assert (killed / "file").exists()
        root = TemporaryRoot(tmp_path, MIB)
        assert not killed.exists()
        assert (living / "file").exists()
        assert (outside / "file").exists()
        root.remove()
    finally:
        for server in servers:
            server.kill()
            server.communicate()


@pytest.mark.parametrize("text", ["no", "-1", "1", "1e9", "9999999999"])
def test_a_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"{LIMIT} is .*a whole number of MiB from 128 on"):
        limit_from_environment({LIMIT: text})
    assert limit_from_environment({}) == 1024 * MIB


def test_the_process_is_as_before_once_no_page_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    before = (
        os.environ.copy(),
        tempfile.tempdir,
        signal.getsignal(signal.SIGTERM),
        logging.getLogger().handlers[:],
    )
    with keep_log_bounded(), keep_files_in_one_folder(MIB) as root:
        assert Path(tempfile.gettempdir()) == Path(os.environ["GRADIO_TEMP_DIR"]) == root.folder
        assert root.folder.parent == tmp_path
        assert signal.getsignal(signal.SIGTERM) is not before[2]
    assert before == (
        os.environ.copy(),
        tempfile.tempdir,
        signal.getsignal(signal.SIGTERM),
        logging.getLogger().handlers,
    )
    root.remove()
