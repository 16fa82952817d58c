"""The scripts and the page that ship beside the package, and scripts started by another one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped(*parts: str) -> Path:
    """Return a path in ``train/`` or ``space/``: those of a clone, or those that a wheel has inside of the package."""
    bundled = _PACKAGE / "_bundled"
    return (bundled if bundled.is_dir() else _PACKAGE.parent).joinpath(*parts)


def run_script(script: str, flags: Sequence[str], *, processes: int, about: str) -> None:
    """Run a script of ``train/`` to its end.

    Args:
        script: file name of the script.
        flags: its command line.
        processes: number of processes.
        about: subject of the run, in the message.

    Raises:
        ValueError: if it fails.
    """
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    done = subprocess.run([*command, str(shipped("train", script)), *flags], check=False)
    if done.returncode:
        raise ValueError(
            f"{script} ended with status {done.returncode} for {about}: fix the error above, and start this command "
            "again to resume"
        )
