"""Runs of generate.py, as a user starts them, on a tiny model and drawn people."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from groupdnet_hub import AppearanceCodes, GroupDNet, GroupDNetConfig
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.figures import write_figures
from tests.helpers.script_runs import run_script
from tests.helpers.shared_data import ROOT

SCRIPT = ROOT / "train" / "generate.py"
MAPS = 8


def save_model(folder: Path, seed: int = 1, **fields: Any) -> Path:
    """A tiny model for drawn people."""
    config = GroupDNetConfig.for_labels(FIGURE_LABELS, image_size=(32, 32), width=8, **fields)
    GroupDNet(config, generator=torch.Generator().manual_seed(seed)).save_pretrained(folder)
    return folder


def make_inputs(folder: Path) -> Path:
    """``model``, ``maps/train`` (a paired data set) and ``gallery/train``."""
    save_model(folder / "model")
    write_figures(folder / "maps", MAPS, size=(48, 48))
    write_figures(folder / "gallery", 12, seed=9, size=(32, 32))
    return folder


def flags(inputs: Path, output: Path, *more: str) -> list[str]:
    given = {"--model": inputs / "model", "--label_dir": inputs / "maps" / "train", "--output_dir": output}
    return [str(part) for pair in given.items() for part in pair] + list(more)


def run(arguments: list[str], processes: int = 1, threads: int = 1) -> str:
    """A run to its end in processes of its own; returns what it prints."""
    done = run_script(SCRIPT, arguments, {"OMP_NUM_THREADS": str(threads)}, processes=processes)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def run_with_hub(arguments: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """A run of a process that reads where its Hub is when it imports what asks it."""
    command = [sys.executable, str(SCRIPT), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true", **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)


def lines_of(split: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (split / "metadata.jsonl").read_text().splitlines()]


def contents(split: Path) -> dict[str, bytes]:
    """Every file by name; of codes their values, because safetensors writes a header's entries in any order."""
    return {
        path.relative_to(split).as_posix(): AppearanceCodes.load(path).tensor.numpy().tobytes()
        if path.suffix == ".safetensors"
        else path.read_bytes()
        for path in split.rglob("*")
        if path.is_file()
    }
