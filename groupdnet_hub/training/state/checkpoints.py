"""Checkpoints: each is complete or absent, whenever the process that writes it is killed."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object
from safetensors import SafetensorError
from torch import Tensor

from groupdnet_hub.io.atomic import CannotWriteError, writing_to
from groupdnet_hub.io.finite import check_all_finite
from groupdnet_hub.runs.scripts import first_line, lost_process
from groupdnet_hub.runs.sharding import on_main_process

_PROGRESS_FILE = "progress.json"
_NAME = re.compile(r"checkpoint-(\d+)")
# What is being written, and what is being removed.
_PARTIAL, _OLD = ".partial-", ".old-"


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint.

    Attributes:
        folder: its folder, named ``checkpoint-STEP``.
        progress: what its run had counted, by name.
    """

    folder: Path
    progress: Mapping[str, int]


def save_checkpoint(
    accelerator: Accelerator,
    output_dir: Path,
    step: int,
    progress: Mapping[str, Any],
    write_more: Callable[[Path], None],
    total_limit: int | None,
) -> Path:
    """Write ``checkpoint-STEP``: training state, progress, and more.

    It is written under another name first, so that a folder named ``checkpoint-N`` is always complete.

    Args:
        accelerator: accelerator of the run, which knows the training state.
        output_dir: folder of the run.
        step: updates so far.
        progress: counts by name.
        write_more: writes further files into the folder that it is given, such as the model for ``from_pretrained``;
            called on the main process.
        total_limit: how many checkpoints are kept; None for all.

    Raises:
        ValueError: on every process alike, if it cannot be written, on a full disk for example; nothing of it is left,
            and earlier ones stay.
    """
    target = output_dir / f"checkpoint-{step}"
    partial = output_dir / f"{_PARTIAL}{target.name}"
    if accelerator.is_main_process and partial.exists():
        shutil.rmtree(partial)
    accelerator.wait_for_everyone()
    try:
        problem = _problem(partial, lambda: accelerator.save_state(str(partial)))
        problems = [found for found in gather_object([problem]) if found is not None]
        if not problems:

            def complete() -> None:
                write_more(partial)
                _write_record(partial, progress)

            problem = on_main_process(accelerator, lambda: _problem(partial, complete))
            problems = [] if problem is None else [problem]
        if problems:
            raise ValueError(f"{problems[0]}; --resume_from_checkpoint latest resumes")
    except BaseException:
        if accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
        raise

    def put_into_place() -> None:
        _put_into_place(partial)
        for old in list_checkpoints(output_dir)[: -total_limit if total_limit else 0]:
            _remove(old)

    on_main_process(accelerator, put_into_place)
    return target


def _problem(partial: Path, write: Callable[[], object]) -> str | None:
    """Write a part of a checkpoint; return why that cannot be done, or None."""
    folder, name = partial.parent, partial.name.removeprefix(_PARTIAL)
    try:
        with writing_to(folder, only=True):
            write()
    except CannotWriteError as error:
        return f"{name} cannot be written: {error}"
    # torch and safetensors have errors of their own
    except (OSError, RuntimeError, SafetensorError) as error:
        if (lost := lost_process(error)) is not None:
            return f"{name} was not written: {lost}"
        return (
            f"{name} cannot be written to {folder} ({first_line(error)}): is the disk full? Free some space"
        )
    return None


def finish_checkpoints(output_dir: Path) -> None:
    """End what a killed run had started: a checkpoint that was written in full gets its name, all else is removed.

    Only for one process.
    """
    for partial in output_dir.glob(f"{_PARTIAL}*"):
        try:
            read_progress(partial)
        except ValueError:
            shutil.rmtree(partial)
        else:
            _put_into_place(partial)
    for old in output_dir.glob(f"{_OLD}*"):
        shutil.rmtree(old)


@contextmanager
def checkpoint_under_way(output_dir: Path, step: int, progress: Mapping[str, Any]) -> Iterator[Path]:
    """Lend a folder for the files of ``checkpoint-STEP``; it gets that name if all goes well, and is removed if not.

    Only for one process.
    """
    partial = output_dir / f"{_PARTIAL}checkpoint-{step}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        _write_record(partial, progress)
        _put_into_place(partial)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_record(partial: Path, progress: Mapping[str, Any]) -> None:
    """Write the record last, with the checksums of all other files: a folder that was cut short is found out."""
    record = {"progress": dict(progress), "files": _checksums(partial)}
    (partial / _PROGRESS_FILE).write_text(json.dumps(record))


def _put_into_place(partial: Path) -> None:
    """Give a complete checkpoint its name; one that had it before goes."""
    target = partial.with_name(partial.name.removeprefix(_PARTIAL))
    old = target.with_name(f"{_OLD}{target.name}")
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _remove(checkpoint: Path) -> None:
    """Remove it under another name: what is named a checkpoint is complete."""
    old = checkpoint.with_name(f"{_OLD}{checkpoint.name}")
    shutil.rmtree(old, ignore_errors=True)
    checkpoint.rename(old)
    shutil.rmtree(old)


def remove_checkpoints(output_dir: Path) -> None:
    """Remove all checkpoints of a run, damaged ones too. Only for one process."""
    for folder in checkpoint_folders(output_dir):
        _remove(folder)


def list_checkpoints(output_dir: Path) -> list[Path]:
    """Return the finished checkpoints of a run, oldest first."""
    return [folder for folder in checkpoint_folders(output_dir) if (folder / _PROGRESS_FILE).is_file()]


def checkpoint_folders(output_dir: Path) -> list[Path]:
    """Return what has the name of a checkpoint, oldest first: a finished one whose record was lost is damaged."""
    found = [path for path in output_dir.glob("checkpoint-*") if _NAME.fullmatch(path.name)]
    return sorted((path for path in found if path.is_dir()), key=lambda path: int(path.name.split("-")[1]))


def last_checkpoint(output_dir: Path) -> str:
    """Return a sentence for a run that stops."""
    found = list_checkpoints(output_dir)
    return f"the last checkpoint is {found[-1]}" if found else "there is no checkpoint yet"


def read_progress(folder: Path) -> dict[str, Any]:
    """Return the progress of a checkpoint.

    Raises:
        ValueError: if a file is missing or differs from what was written; the message names it.
    """
    try:
        record = json.loads((folder / _PROGRESS_FILE).read_text())
        progress, files = dict(record["progress"]), dict(record["files"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        if (folder / "state.json").is_file():
            raise ValueError(
                f"{folder} holds the parts of a state: make a checkpoint of them with train/tools/state_parts.py join "
                f"{folder} --to OUTPUT_DIR"
            ) from None
        raise ValueError(
            f"{folder} is not a complete checkpoint: it has no readable {_PROGRESS_FILE}"
        ) from None
    strange = [
        path for path in folder.rglob("*") if path.is_symlink() or not (path.is_file() or path.is_dir())
    ]
    if strange:
        raise ValueError(f"{folder} is not a complete checkpoint: {strange[0].name} is a link or no file")
    if any(type(value) is not int or value < 0 for value in progress.values()):
        raise ValueError(
            f"{folder} is not a complete checkpoint: {_PROGRESS_FILE} holds other values than counts"
        )
    found = _checksums(folder)
    for name, expected in files.items():
        if name not in found:
            raise ValueError(f"{folder} is not a complete checkpoint: {name} is missing")
        if found[name] != expected:
            raise ValueError(f"{folder} is not a complete checkpoint: {name} is not what was written")
    return progress


def find_checkpoint(output_dir: Path, choice: str, tell: Callable[[str], Any]) -> Checkpoint | None:
    """Return ``latest``, the newest checkpoint of a run that is complete, or a named one.

    Args:
        output_dir: folder of the run.
        choice: ``latest``, or the folder of a checkpoint.
        tell: is told of newer ones that are damaged and passed over.

    Returns:
        The checkpoint; None for ``latest`` in a run that has none.

    Raises:
        ValueError: if the named one, or every one of the run, is damaged; the message names the file.
    """
    if choice != "latest":
        return Checkpoint(Path(choice), read_progress(Path(choice)))
    problems = []
    for folder in reversed(checkpoint_folders(output_dir)):
        try:
            found = Checkpoint(folder, read_progress(folder))
        except ValueError as error:
            problems.append(str(error))
            continue
        for problem in problems:
            tell(f"passed over: {problem}")
        return found
    if problems:
        more = f" ({len(problems)} checkpoints, none is complete)" if len(problems) > 1 else ""
        raise ValueError(
            f"{problems[0]}{more}: put the file back, or start anew with --overwrite_output_dir in place of "
            "--resume_from_checkpoint"
        )
    return None


def load_checkpoint(accelerator: Accelerator, checkpoint: Checkpoint) -> None:
    """Load the training state into what the accelerator prepared.

    Raises:
        ValueError: if it does not fit, and for networks or moments that are not finite.
    """
    try:
        accelerator.load_state(str(checkpoint.folder))
    except ValueError:
        raise
    except (
        Exception
    ) as error:  # of torch, safetensors and accelerate, for files of another run or of a stranger
        raise ValueError(
            f"{checkpoint.folder} cannot be loaded into this run ({first_line(error)[:300]}): was it written with "
            "other flags?"
        ) from None
    _check_finite(accelerator, checkpoint.folder)


def _check_finite(accelerator: Accelerator, folder: Path) -> None:
    """Refuse networks and moments that are not finite: no run writes such a checkpoint."""
    for number, network in enumerate(accelerator._models):
        check_all_finite(network.state_dict(), f"network {number} of {folder}")
    for number, optimizer in enumerate(accelerator._optimizers):
        moments = {
            f"{name} of parameter {index}": value
            for index, state in enumerate(optimizer.state.values())
            for name, value in state.items()
            if isinstance(value, Tensor)
        }
        check_all_finite(moments, f"optimizer {number} of {folder}")


def _checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a checkpoint but its record, by relative name."""
    checksums = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != _PROGRESS_FILE:
            checksums[path.relative_to(folder).as_posix()] = file_checksum(path)
    return checksums


def file_checksum(path: Path) -> str:
    """Return the SHA-256 of a file of any size."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
