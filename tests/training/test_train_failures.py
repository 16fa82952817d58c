"""Runs that cannot go on: each ends with one clear line, and the last checkpoint stays as it was."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub.figures import write_figures
from groupdnet_hub.training.state.checkpoints import read_progress
from tests.helpers.script_runs import run_script
from tests.helpers.train_runs import SCRIPT, train, train_flags

FLAGS = (
    "--perceptual_net",
    "none",
    "--max_train_steps",
    "4",
    "--checkpointing_steps",
    "2",
    "--logging_steps",
    "1",
)

RESUMED = ("--resume_from_checkpoint", "latest", "--allow_changes", "max_train_steps")


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    write_figures(tmp_path / "drawn", 8, size=(32, 32))
    return tmp_path / "drawn"


@pytest.fixture
def half_way(drawn: Path, tmp_path: Path) -> Path:
    """A run that has a checkpoint at step 2 of 4."""
    train(drawn, tmp_path / "run", *FLAGS, "--max_train_steps", "2")
    return tmp_path / "run"


def stopped(drawn: Path, output: Path, *flags: str, file_size: int | None = None) -> str:
    """The one line that a run ends with; ``file_size``: as on a full disk, a write beyond it fails."""
    done = run_script(SCRIPT, train_flags(drawn, output, *FLAGS, *flags), file_size=file_size)
    assert done.returncode == 1, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("train.py: ")]
    assert len(lines) == 1
    return lines[0]


def test_a_full_disk_leaves_the_last_checkpoint(drawn: Path, half_way: Path) -> None:
    line = stopped(drawn, half_way, *RESUMED, file_size=30_000)
    assert "stopped at step 4: checkpoint-4 cannot be written" in line
    assert line.endswith(f"the last checkpoint is {half_way / 'checkpoint-2'}")
    assert read_progress(half_way / "checkpoint-2")["step"] == 2
    assert [path.name for path in half_way.glob("*checkpoint*")] == ["checkpoint-2"]


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize("fault", ["missing picture", "label out of range"])
def test_bad_data_is_named(drawn: Path, half_way: Path, fault: str, workers: str) -> None:
    listing = drawn / "train" / "metadata.jsonl"
    for line in listing.read_text().splitlines():
        files = json.loads(line)
        if fault == "missing picture":
            (drawn / "train" / files["file_name"]).unlink()
        else:
            path = drawn / "train" / files["label_file_name"]
            ids = np.array(Image.open(path))
            ids[0, :3] = 200
            Image.fromarray(ids).save(path)
    flags = (*RESUMED, "data", "--check_data", "none", "--dataloader_num_workers", workers)
    # The grid is read before the first step: a validation split of its own keeps it out of this.
    write_figures(drawn, 8, size=(32, 32), split="validation")
    line = stopped(drawn, half_way, *flags)
    assert "figure_0000" in line
    assert ("does not exist" if fault == "missing picture" else "200 is not a class id: 3 pixels") in line
    assert read_progress(half_way / "checkpoint-2")["step"] == 2


def test_a_loss_that_is_not_finite_stops_the_run(drawn: Path, half_way: Path) -> None:
    line = stopped(
        drawn,
        half_way,
        *RESUMED,
        "feature_matching_weight",
        "--feature_matching_weight",
        "1e39",
        "--max_train_steps",
        "9",
    )
    assert "stopped at step 3: a loss is not finite at step 3: feature_matching: lower" in line
    assert str(half_way / "checkpoint-2") in line
