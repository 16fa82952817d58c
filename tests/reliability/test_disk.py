"""A full disk and a read-only folder: what was there stays whole, the error says what to do, nothing is left behind."""

from __future__ import annotations

import errno
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("accelerate")
from groupdnet_hub.io.atomic import CannotWriteError, atomic_write
from tests.helpers.small_disks import fill, mounted
from tests.reliability.writers import WRITERS, Writer

ANSWERS = r"cannot be written to \(.+\): free some space there, or name another file"
FULL = r"cannot be written to.*(the disk is full; free some space|is the disk full\? Free some space)"
READ_ONLY = (
    r"cannot be written to.*(it is on a read-only file system; choose another folder|Read-only file system)"
)


@pytest.fixture(autouse=True)
def _global_random_state_stays() -> None:
    """A checkpoint holds that of its process, and loading one restores it."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB in memory."""
    with mounted(tmp_path / "disk", 8) as folder:
        yield folder


def begun(name: str, disk: Path, tmp_path: Path) -> Writer:
    """A writer whose old state is on the small disk."""
    (tmp_path / "scratch").mkdir()
    writer = WRITERS[name](disk / "written", tmp_path / "scratch")
    writer.begin()
    return writer


def failed_attempt(writer: Writer, capfd: pytest.CaptureFixture[str]) -> str:
    """What a failed attempt says; the old state must be there afterwards, and nothing else."""
    before = writer.names()
    capfd.readouterr()
    with pytest.raises((OSError, ValueError)) as failure:
        writer.write(lambda: None)
    assert writer.found(0) == "old"
    left = {name for name in writer.names() - before if "partial" in name or name.startswith(".saved")}
    assert not left
    return f"{failure.value} {capfd.readouterr().err}".replace("\n", " ")


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk(name: str, small_disk: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    writer = begun(name, small_disk, tmp_path)
    fill(small_disk)
    message = failed_attempt(writer, capfd)
    assert re.search(ANSWERS if name == "answers" else FULL, message), message
    assert str(writer.folder) in message
    (small_disk / "filling").unlink()
    writer.start_again()  # there is space again
    assert writer.found(writer.promises) == "new"


@pytest.mark.parametrize("name", WRITERS)
def test_a_read_only_folder(
    name: str, small_disk: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    writer = begun(name, small_disk, tmp_path)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    message = failed_attempt(writer, capfd)
    assert re.search(ANSWERS if name == "answers" else READ_ONLY, message), message
    assert str(writer.folder) in message


def test_a_save_that_was_killed_is_read_from_a_read_only_folder(small_disk: Path, tmp_path: Path) -> None:
    writer = begun("model", small_disk, tmp_path)
    (tmp_path / "other").mkdir()
    other = WRITERS["model"](tmp_path / "other" / "written", tmp_path / "scratch")
    other.begin()
    other.write(lambda: None)
    saved = writer.folder / ".saved"
    saved.mkdir()
    for file in ("config.json", "training.json"):  # the two others had been moved
        (saved / file).write_bytes((other.folder / file).read_bytes())
    for file in ("model.safetensors", "README.md"):
        (writer.folder / file).write_bytes((other.folder / file).read_bytes())
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert writer.found(0) == "new"


def test_an_error_about_another_file_stays_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), atomic_write(tmp_path / "a.txt") as partial:
        partial.write_bytes(Path("/").read_bytes())
    with (
        pytest.raises(CannotWriteError, match="is not permitted") as failure,
        atomic_write(tmp_path / "a.txt"),
    ):
        raise PermissionError(errno.EACCES, "no", str(tmp_path / "a.txt"))
    assert failure.value.errno == errno.EACCES
    with pytest.raises(PermissionError), atomic_write(tmp_path / "a.txt"):
        raise PermissionError(errno.EACCES, "no", "/elsewhere/source.png")
    assert not list(tmp_path.iterdir())
