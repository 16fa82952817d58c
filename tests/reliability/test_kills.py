"""A few of the kills of kills.py; ``python tests/reliability/kills.py --kills 100 --operations`` does all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("accelerate")
if not hasattr(os, "fork"):
    pytest.skip("kills forks of itself", allow_module_level=True)


def kills(*flags: str) -> str:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("kills.py")), *flags],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return done.stdout


def test_a_kill_leaves_the_old_or_the_new_whole() -> None:
    lines = kills("--kills", "3").splitlines()
    assert len(lines) == 7
    assert all("3 kills in" in line and line.endswith("0 lost") for line in lines[1:])


@pytest.mark.slow
def test_so_does_a_kill_at_each_file_operation() -> None:
    output = kills("--kills", "0", "--operations", "--writers", "model", "look", "checkpoint")
    for line in output.splitlines()[1:]:
        at_operations = line.split("; ")[1]
        old, new = (int(at_operations.split(f" {word},")[0].split()[-1]) for word in ("old", "new"))
        assert old > 5  # operations before the one that decides,
        assert new > 2  # and after it


@pytest.mark.slow
@pytest.mark.long
def test_a_hundred_kills_of_each_writer() -> None:
    kills("--kills", "100", "--operations")
