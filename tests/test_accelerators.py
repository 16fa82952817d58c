"""Processes that were started together work together, also where there is no GPU and nothing says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("accelerate")
import accelerators
from generate_runs import process_as_it_was

TRAIN = Path(__file__).resolve().parents[1] / "train"
SCRIPT = """
from accelerate.utils import gather_object
from accelerators import build_accelerator

accelerator = build_accelerator()
print(accelerator.device.type, gather_object([accelerator.process_index]))
"""


def test_processes_of_torchrun_find_each_other_on_a_cpu(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(TRAIN), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    environment.pop("ACCELERATE_USE_CPU", None)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, str(tmp_path / "script.py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split("\n")[:2] == ["cpu [0, 1]"] * 2


def test_processes_that_do_not_find_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where accelerate knows no way to join processes on this kind of device."""
    monkeypatch.setattr(accelerators.torch.accelerator, "is_available", lambda: True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with process_as_it_was():
        os.environ.pop("ACCELERATE_USE_CPU")
        with pytest.raises(ValueError, match="2 processes were started together"):
            accelerators.build_accelerator()
