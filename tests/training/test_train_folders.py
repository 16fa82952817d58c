"""Training on several folders of the same classes, and on one more when a run resumes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from groupdnet_hub.figures import write_figures

pytest.importorskip("accelerate")
from tests.helpers.train_runs import train_here

FLAGS = ("--perceptual_net", "none", "--checkpointing_steps", "2", "--validation_steps", "2")


def facts_of(run: Path) -> dict[str, object]:
    return json.loads((run / "model" / "training.json").read_text())


def test_a_run_resumes_with_one_more_folder(drawn: Path, tmp_path: Path) -> None:
    write_figures(tmp_path / "more", 6, seed=7, size=(32, 32))
    first, flags = tmp_path / "first", (*FLAGS, "--balanced_sampling", "0.5")
    train_here(drawn, first, *flags, "--max_train_steps", "2")
    before = facts_of(first)
    weights = {}
    for name, folders in (("same", [drawn]), ("more", [drawn, tmp_path / "more"])):
        run = tmp_path / name / "run"
        shutil.copytree(first, run)
        resumed = (
            "--max_train_steps",
            "8",
            "--resume_from_checkpoint",
            "latest",
            "--allow_changes",
            "max_train_steps",
            "data",
        )
        said = train_here(None, run, "--train_data_dir", *map(str, folders), *flags, *resumed)
        assert "resuming from step 2" in said
        facts, weights[name] = facts_of(run), load_file(run / "model" / "model.safetensors")
        assert facts["steps"] == 8
        pictures = int(str(before["training_pictures"])) + (6 if name == "more" else 0)
        assert facts["training_pictures"] == pictures
        assert facts["data"] == " and ".join(folder.name for folder in folders)
    assert any(not torch.equal(value, weights["more"][key]) for key, value in weights["same"].items())
