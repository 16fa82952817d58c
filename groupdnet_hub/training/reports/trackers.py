"""What a run tells TensorBoard, Weights & Biases and other trackers: one class through which all of it goes.

The trackers are accelerate's. Each takes numbers; how a picture or a table reaches it differs, and what one of them
cannot take is told once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker, TensorBoardTracker
from PIL import Image

from groupdnet_hub.runs.args_file import secret_flags
from groupdnet_hub.runs.provenance import without_secrets
from groupdnet_hub.runs.scripts import first_line
from groupdnet_hub.runs.sharding import on_main_process
from groupdnet_hub.training.config import TrainConfig
from groupdnet_hub.training.config.trackers import TrackerSettings

# A cell of a table; None where there is nothing to tell.
Cell = str | int | float | None

_TENSORBOARD, _WANDB = "tensorboard", "wandb"
# TensorBoard's files.
_EVENTS = "events.out.tfevents.*"


@dataclass(frozen=True)
class Table:
    """A table to report.

    Attributes:
        columns: heads of the columns.
        rows: cells of each row.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


class Trackers:
    """Passes numbers, pictures and tables on to all trackers of a run; without any it does nothing.

    All methods may be called on every process; the main process alone reports.

    Args:
        accelerator: accelerator of the run, which knows its trackers.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self._accelerator = accelerator
        self._told: set[str] = set()

    def start(self, settings: TrackerSettings, output: Path, identity: str, step: int) -> None:
        """Start the trackers that ``--report_to`` names.

        Args:
            settings: names of the project and the run, and the folder of the trackers' files.
            output: folder of the run.
            identity: of the run, for Weights & Biases, where a run that resumes continues its curves.
            step: updates so far; what an earlier start reported of later ones is hidden.

        Raises:
            ValueError: for one that cannot start, on every process alike.
        """
        accelerator, files = self._accelerator, output / settings.logging_dir
        folder, name = settings.tensorboard_folder(output), settings.name_of(output)

        def start() -> None:
            # By itself accelerate has TensorBoard's files in a folder of the project, not of the run.
            accelerator.log_with = [
                TensorBoardTracker(folder.name, folder.parent, purge_step=step + 1 if step else 0)
                if str(one) == _TENSORBOARD
                else one
                for one in accelerator.log_with
            ]
            wandb = {"name": name, "id": identity, "resume": "allow", "dir": str(files)}
            try:
                files.mkdir(parents=True, exist_ok=True)
                with _command_line_without_secrets():
                    accelerator.init_trackers(settings.tracker_project_name, init_kwargs={_WANDB: wandb})
            except Exception as error:  # each tracker has errors of its own
                raise ValueError(
                    f"--report_to {settings.report_to}: a tracker cannot start ({first_line(error)}); log in to its "
                    "service, set WANDB_MODE=offline for Weights & Biases without network, or give --report_to "
                    "tensorboard"
                ) from error
            if settings.run_name is not None:
                others = [one.name for one in accelerator.trackers if one.name not in (_TENSORBOARD, _WANDB)]
                if others:
                    accelerator.print(f"--run_name has no effect on {', '.join(others)}")

        if accelerator.log_with:
            on_main_process(accelerator, start)

    def settings(self, values: Mapping[str, Any], text: str, step: int) -> None:
        """Report what the run is started with.

        Args:
            values: settings and facts by name, in plain JSON types; mappings nest.
            text: the same for people, as YAML.
            step: updates so far.
        """
        plain = _flat(values)
        for tracker in self._of_main_process():
            if tracker.name == _TENSORBOARD:
                _report_hparams(tracker, plain)
                tracker.log({"train_config": _as_code(text)}, step=step)
                continue
            try:
                tracker.store_init_configuration(dict(values) if tracker.name == _WANDB else plain)
            except Exception as error:  # of its own, such as for values that are too long
                self._tell_once(f"{tracker.name} does not take the settings of the run: {first_line(error)}")

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Report numbers after ``step`` updates; each name has a curve."""
        self._accelerator.log(dict(values), step=step)

    def pictures(self, pictures: Mapping[str, Image.Image], step: int) -> None:
        """Report pictures after ``step`` updates."""
        for tracker in self._of_main_process():
            arrays = {name: np.asarray(picture.convert("RGB")) for name, picture in pictures.items()}
            if tracker.name == _TENSORBOARD:
                batches = {name: array[None] for name, array in arrays.items()}
                tracker.log_images(batches, step=step, dataformats="NHWC")
            elif hasattr(tracker, "log_images"):
                tracker.log_images({name: [array] for name, array in arrays.items()}, step=step)
            else:
                self._tell_once(f"{tracker.name} takes no pictures: they are in the output folder alone")

    def table(self, name: str, table: Table, step: int) -> None:
        """Report a table after ``step`` updates."""
        for tracker in self._of_main_process():
            if tracker.name == _TENSORBOARD:
                tracker.log({name: markdown_table(table)}, step=step)
            elif hasattr(tracker, "log_table"):
                rows = [list(row) for row in table.rows]
                tracker.log_table(name, columns=list(table.columns), data=rows, step=step)
            else:
                self._tell_once(f"{tracker.name} takes no tables: it is not told of {name}")

    def _of_main_process(self) -> Sequence[Any]:
        return self._accelerator.trackers if self._accelerator.is_main_process else ()

    def _tell_once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self._accelerator.print(line)


@contextmanager
def _command_line_without_secrets() -> Iterator[None]:
    """Hide tokens from trackers that keep the command line that they find."""
    words = sys.argv
    sys.argv = without_secrets(words, secret_flags(TrainConfig))
    try:
        yield
    finally:
        sys.argv = words


def refuse_logs_of_others(settings: TrackerSettings, folder: Path) -> None:
    """Refuse to write TensorBoard's files to a shared place where another run has its own.

    Raises:
        ValueError: saying how to tell them apart.
    """
    if settings.shares_logs and list(folder.glob(_EVENTS)):
        raise ValueError(
            f"--logging_dir: {folder} holds the logs of another run: give --run_name, so that both have a folder"
        )


def remove_logs(folder: Path) -> None:
    """Remove TensorBoard's files of a run, and the folder if nothing else is in it."""
    for path in folder.glob(_EVENTS):
        path.unlink()
    with suppress(OSError):
        folder.rmdir()


def markdown_table(table: Table) -> str:
    """Return a table in Markdown, as TensorBoard shows texts."""
    head, rows = table.columns, ([_shown(cell) for cell in row] for row in table.rows)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(cell: Cell) -> str:
    if cell is None:
        return ""
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell).replace("|", "\\|")


def _as_code(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str | int | float | bool]:
    """Return values without nesting, as most trackers take them: lists as texts, and nothing for None."""
    flat: dict[str, str | int | float | bool] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}/")
        elif isinstance(value, (list, tuple)):
            flat[prefix + name] = " ".join(map(str, value))
        elif value is not None:
            flat[prefix + name] = value
    return flat


def _report_hparams(tracker: GeneralTracker, values: Mapping[str, Any]) -> None:
    """Write hyperparameters into the run's own file; ``SummaryWriter.add_hparams`` makes a second run of them."""
    from torch.utils.tensorboard.summary import hparams

    writer: Any = tracker.tracker
    for summary in hparams(dict(values), {}):
        writer.file_writer.add_summary(summary)
    writer.flush()
