"""Scripts of this folder started by another one, on any number of processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_HERE = Path(__file__).resolve().parent


def run_script(script: str, flags: Sequence[str], *, processes: int, about: str) -> None:
    """Run a script to its end.

    Args:
        about: what it is run for, in the error's words.

    Raises:
        ValueError: if it fails.
    """
    command = [sys.executable]
    if processes > 1:
        command += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    done = subprocess.run([*command, str(_HERE / script), *flags], check=False)
    if done.returncode:
        raise ValueError(
            f"{script} ended with status {done.returncode} for {about}: mend what it says, and start this command "
            "again to go on"
        )
