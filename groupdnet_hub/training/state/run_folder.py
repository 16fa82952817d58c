"""The folder of a run when a script starts: a checkpoint to resume from, a finished run, or nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from groupdnet_hub.hub.files import CONFIG_FILE
from groupdnet_hub.runs.resuming import ResumeSettings
from groupdnet_hub.runs.sharding import on_main_process
from groupdnet_hub.training.state.checkpoints import (
    Checkpoint,
    checkpoint_folders,
    find_checkpoint,
    finish_checkpoints,
    remove_checkpoints,
)
from groupdnet_hub.training.state.quality_record import is_best_so_far


def open_run(
    accelerator: Accelerator, folder: Path, settings: ResumeSettings, model: str = "model"
) -> Checkpoint | None:
    """Return the checkpoint that a run resumes from, on every process alike.

    Args:
        accelerator: accelerator of the run.
        folder: folder of the run, which it has locked.
        settings: say whether the run resumes, or may replace another.
        model: name of the folder of the finished model.

    Returns:
        The checkpoint; None for a run that starts at step 0.

    Raises:
        ValueError: for a folder that holds another run, and for one whose checkpoints are all damaged.
    """
    return on_main_process(accelerator, lambda: _open(folder, settings, model, accelerator.print))


def _open(
    folder: Path, settings: ResumeSettings, model: str, tell: Callable[[str], Any]
) -> Checkpoint | None:
    finish_checkpoints(folder)
    written = (folder / model / CONFIG_FILE).is_file()
    finished = written and not is_best_so_far(folder, model)
    if settings.resume_from_checkpoint:
        found = find_checkpoint(folder, settings.resume_from_checkpoint, tell)
        if found is None and finished:
            raise ValueError(
                f"{folder} holds a finished run, {model}/, and no checkpoint to resume from: choose another "
                "--output_dir, or give --overwrite_output_dir in place of --resume_from_checkpoint to start anew"
            )
        if found is None:
            tell("there is no checkpoint yet: starting at step 0")
        return found
    there = [f"{model}/"] if written else []
    there += [path.name for path in checkpoint_folders(folder)[-1:]]
    if there and not settings.overwrite_output_dir:
        raise ValueError(
            f"{folder} holds a run already ({', '.join(there)}): --resume_from_checkpoint latest resumes it, "
            "--overwrite_output_dir removes it and starts anew, or choose another --output_dir"
        )
    return None


def remove_run(accelerator: Accelerator, folder: Path, written: Sequence[str]) -> None:
    """Remove the checkpoints of an earlier run and what else it wrote; other files and folders stay.

    Args:
        accelerator: accelerator of the run.
        folder: its folder.
        written: what runs write there beside checkpoints, as patterns of ``Path.glob``: files, and folders that are
            theirs alone.
    """

    def remove() -> None:
        remove_checkpoints(folder)
        for path in [path for pattern in written for path in folder.glob(pattern)]:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:  # of a link only the link is the run's
                path.unlink()
            with suppress(OSError):  # it holds other files
                path.parent.rmdir()

    on_main_process(accelerator, remove)
