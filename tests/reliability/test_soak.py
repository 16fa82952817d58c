"""Memory stays level over many calls and steps; ``soak.py`` beside this file has the full numbers as defaults."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if not Path("/proc/self/status").exists():
    pytest.skip("reads memory from /proc", allow_module_level=True)

import subprocess


def soak(*arguments: str) -> None:
    command = [sys.executable, str(Path(__file__).with_name("soak.py")), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


@pytest.mark.slow
def test_pipeline_calls() -> None:
    soak("pipeline", "--calls", "350")


@pytest.mark.slow
@pytest.mark.long
def test_two_thousand_pipeline_calls() -> None:
    soak("pipeline", "--calls", "2000")


@pytest.mark.slow
@pytest.mark.long
def test_a_thousand_training_steps() -> None:
    pytest.importorskip("accelerate")
    soak("training", "--steps", "1000")
