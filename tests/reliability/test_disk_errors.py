"""Disks that fail in the middle of a run: one sentence, no half checkpoint, and the last good one stays."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("accelerate")
from groupdnet_hub.training.state.checkpoints import read_progress
from tests.helpers.shared_data import ROOT
from tests.helpers.train_runs import command_line, train

if sys.platform != "linux":
    pytest.skip("needs a small disk of Linux, or its loader", allow_module_level=True)

FLAGS = ("--perceptual_net", "none", "--checkpointing_steps", "2", "--max_train_steps", "4")
RESUMED = ("--resume_from_checkpoint", "latest", "--allow_changes", "max_train_steps")

# A library in front of the C library, in which each write to a file of one name fails.
EIO = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static int broken(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strstr(path, getenv("BROKEN_FILE")) != NULL;
}

ssize_t write(int file, const void *data, size_t size) {
    static ssize_t (*next)(int, const void *, size_t);
    if (!next) next = dlsym(RTLD_NEXT, "write");
    if (broken(file)) { errno = EIO; return -1; }
    return next(file, data, size);
}

ssize_t writev(int file, const struct iovec *data, int count) {
    static ssize_t (*next)(int, const struct iovec *, int);
    if (!next) next = dlsym(RTLD_NEXT, "writev");
    if (broken(file)) { errno = EIO; return -1; }
    return next(file, data, count);
}
"""


def line_of(drawn: Path, run: Path, environment: dict[str, str] | None = None) -> str:
    """The one line that a run ends with, whose second checkpoint cannot be written."""
    command, variables = command_line(drawn, run, *FLAGS, *RESUMED)
    done = subprocess.run(
        command, env={**variables, **(environment or {})}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("train.py: ")]
    assert "stopped at step 4: checkpoint-4 cannot be written" in line
    assert line.endswith(f"the last checkpoint is {run / 'checkpoint-2'}")
    assert [path.name for path in run.glob("*checkpoint*")] == ["checkpoint-2"]
    assert read_progress(run / "checkpoint-2")["step"] == 2
    return line


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system in memory, of a checkpoint and a half."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.slow
def test_a_disk_that_is_full_in_mid_checkpoint(drawn: Path, small_disk: Path) -> None:
    run = small_disk / "run"
    train(drawn, run, *FLAGS, "--max_train_steps", "2")
    size = sum(path.stat().st_size for path in (run / "checkpoint-2").rglob("*") if path.is_file())
    room = shutil.disk_usage(small_disk).free
    (small_disk / "filling").write_bytes(bytes(room - size // 2))
    line_of(drawn, run)
    (small_disk / "filling").unlink()  # there is room again
    train(drawn, run, *FLAGS, *RESUMED)
    assert read_progress(run / "checkpoint-4")["step"] == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["/.partial-checkpoint-4/", "optimizer.bin", "random_states_0.pkl", "config.json", "progress.json"],
)
def test_a_disk_that_reports_errors(drawn: Path, tmp_path: Path, name: str) -> None:
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    (tmp_path / "broken.c").write_text(EIO)
    library = tmp_path / "broken.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "broken.c", "-ldl"], check=True)
    run = tmp_path / "run"
    train(drawn, run, *FLAGS, "--max_train_steps", "2")
    environment = {"LD_PRELOAD": str(library), "BROKEN_FILE": name, "PYTHONPATH": str(ROOT)}
    line = line_of(drawn, run, environment)
    if name.endswith(".json"):
        assert "the disk reports an input/output error; check it, or choose another folder" in line
