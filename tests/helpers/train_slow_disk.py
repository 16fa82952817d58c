"""train.py on a disk that takes a minute for the record of a second checkpoint."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groupdnet_hub.runs.scripts import first_line, run_command
from groupdnet_hub.training.state import checkpoints
from train.train import main

_write_record = checkpoints._write_record


def slow(partial: Path, progress: Mapping[str, Any]) -> None:
    if partial.name.endswith("-2"):
        time.sleep(60)
    _write_record(partial, progress)


if __name__ == "__main__":
    checkpoints._write_record = slow
    run_command("train.py", main, wording=first_line)
