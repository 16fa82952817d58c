"""Runs of the training script, for several test files."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

from tests.helpers.processes import process_as_it_was, torchrun
from tests.helpers.shared_data import ROOT

PAIR = torchrun(2)


def command_line(drawn: Path | None, output: Path, *flags: str) -> tuple[list[str], dict[str, str]]:
    """A small run without accelerate's launcher: one process to kill."""
    command = [sys.executable, str(ROOT / "train" / "train.py")]
    if drawn is not None:
        command += ["--train_data_dir", str(drawn)]
    command += ["--output_dir", str(output), "--resolution", "32", "--width", "4", "--train_batch_size", "2"]
    command += ["--report_to", "none", *flags]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
    }
    return command, environment


def train(drawn: Path, output: Path, *flags: str, launcher: tuple[str, ...] = (), sgd: bool = False) -> None:
    """A run to its end; ``sgd`` takes plain SGD, in whose results rounding errors stay small."""
    command, environment = command_line(drawn, output, *flags)
    if sgd:
        command[1] = str(ROOT / "tests" / "helpers" / "train_with_sgd.py")
    if launcher:
        command = [sys.executable, "-m", *launcher, *command[1:]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def train_here(drawn: Path, output: Path, *flags: str) -> str:
    """A run in this process, several times as fast as one of its own; returns what it prints."""
    from train.train import main

    command, _ = command_line(drawn, output, *flags)
    said = io.StringIO()
    with process_as_it_was(), contextlib.redirect_stdout(said):
        main(command[2:])
    return said.getvalue()
