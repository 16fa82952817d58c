"""Processes that were started together work together, also where there is no GPU and nothing says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.shared_data import ROOT

pytest.importorskip("accelerate")
from groupdnet_hub.runs import accelerators
from tests.helpers.processes import process_as_it_was, torchrun

# Each process has a file of its own: lines that two of them print at once may mix.
SCRIPT = """
import sys
from pathlib import Path

from accelerate.utils import gather_object
from groupdnet_hub.runs.accelerators import build_accelerator

accelerator = build_accelerator()
found = f"{accelerator.device.type} {gather_object([accelerator.process_index])}"
Path(sys.argv[1], f"process-{accelerator.process_index}.txt").write_text(found)
# As every script ends: a process whose partner has gone while it still talks to it is aborted by gloo.
accelerator.wait_for_everyone()
accelerator.end_training()
"""


def test_processes_of_torchrun_find_each_other_on_a_cpu(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    environment.pop("ACCELERATE_USE_CPU", None)
    done = subprocess.run(
        [sys.executable, "-m", *torchrun(2), str(tmp_path / "script.py"), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = {path.name: path.read_text() for path in tmp_path.glob("process-*.txt")}
    assert found == {"process-0.txt": "cpu [0, 1]", "process-1.txt": "cpu [0, 1]"}


def test_processes_that_do_not_find_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where accelerate knows no way to join processes on this kind of device."""
    monkeypatch.setattr(accelerators.torch.accelerator, "is_available", lambda: True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with process_as_it_was():
        os.environ.pop("ACCELERATE_USE_CPU")
        with pytest.raises(ValueError, match="2 processes were started together"):
            accelerators.build_accelerator()
