"""Runs of the training script, for several test files."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path
from typing import Any

from tests.helpers.processes import process_as_it_was
from tests.helpers.script_runs import Running, run_script
from tests.helpers.shared_data import ROOT

SCRIPT = ROOT / "train" / "train.py"


def train_flags(drawn: Path | None, output: Path, *flags: str) -> list[str]:
    """The flags of a small run."""
    data = [] if drawn is None else ["--train_data_dir", str(drawn)]
    small = ["--discriminator_width", "4", "--train_batch_size", "2"]
    if not {"--pretrained_model_name_or_path", "--config", "--preset"} & set(flags):
        small += ["--resolution", "32", "--width", "4"]
    return [*data, "--output_dir", str(output), *small, "--report_to", "none", *flags]


def command_line(drawn: Path | None, output: Path, *flags: str) -> tuple[list[str], dict[str, str]]:
    """A small run as a user starts it, without accelerate's launcher."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
    }
    return [sys.executable, str(SCRIPT), *train_flags(drawn, output, *flags)], environment


def start_training(drawn: Path | None, output: Path, *flags: str, **options: Any) -> Running:
    """A small run in processes of its own, to be killed or sent signals."""
    return Running(SCRIPT, train_flags(drawn, output, *flags), **options)


def train(drawn: Path, output: Path, *flags: str, processes: int = 1, sgd: bool = False) -> None:
    """A run to its end in processes of its own; ``sgd``: plain SGD, in whose results rounding errors stay small."""
    script = ROOT / "tests" / "helpers" / "train_with_sgd.py" if sgd else SCRIPT
    done = run_script(script, train_flags(drawn, output, *flags), processes=processes)
    assert done.returncode == 0, done.stderr[-3000:]


def train_here(drawn: Path | None, output: Path, *flags: str) -> str:
    """A run in this process; returns what it prints."""
    return _run_here(train_flags(drawn, output, *flags))


def repeat_here(run: Path, output: Path, *flags: str) -> str:
    """A run in this process that repeats the one of a folder, from what is in there alone; returns what it prints."""
    return _run_here(["--args_file", str(run / "train_config.yaml"), "--output_dir", str(output), *flags])


def _run_here(flags: list[str]) -> str:
    from train.train import main

    said = io.StringIO()
    with process_as_it_was(), contextlib.redirect_stdout(said):
        main(flags)
    return said.getvalue()


def logged(run: Path) -> dict[str, list[float]]:
    """What a run wrote for TensorBoard at each step, without speed and memory."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = {path.parent for path in (run / "logs").rglob("events.out.tfevents.*")}
    events = EventAccumulator(str(folder)).Reload()
    skipped = ("images_per_second", "peak_memory_gib")
    names = [name for name in events.Tags()["scalars"] if name not in skipped and "/" not in name]
    return {name: [event.value for event in events.Scalars(name)] for name in names}
