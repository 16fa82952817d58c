"""Checkpoints that are whole or absent, and the averaged weights that go into them."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from groupdnet_hub.baselines import System
from groupdnet_hub.models.fast.working_weights import copy_all

_PROGRESS_FILE = "progress.json"
_NAME = re.compile(r"checkpoint-(\d+)")
# What is being written, and what is being removed.
_PARTIAL, _OLD = ".partial-", ".old-"


class Savable(Protocol):
    """What knows how it is saved."""

    def save_pretrained(self, save_directory: Path, /) -> Any:
        """Write the folder that ``from_pretrained`` reads."""


def save_checkpoint(
    accelerator: Accelerator,
    output_dir: Path,
    step: int,
    progress: Mapping[str, Any],
    model: Savable,
    total_limit: int | None,
    name: str = "generator",
) -> Path:
    """Write ``checkpoint-STEP``: training state, progress, and in its folder ``name`` the model as ``from_pretrained``
    reads it.

    It is written under another name first, so that a folder named ``checkpoint-N`` is always whole.

    Raises:
        ValueError: if it cannot be written, on a full disk for example; nothing of it is left.
    """
    target = output_dir / f"checkpoint-{step}"
    partial = output_dir / f"{_PARTIAL}{target.name}"
    if accelerator.is_main_process and partial.exists():
        shutil.rmtree(partial)
    accelerator.wait_for_everyone()
    try:
        accelerator.save_state(str(partial))
        if accelerator.is_main_process:
            model.save_pretrained(partial / name)
            _write_record(partial, progress)
    except (
        OSError,
        RuntimeError,
        SafetensorError,
    ) as error:  # torch and safetensors have errors of their own
        shutil.rmtree(partial, ignore_errors=True)
        raise ValueError(
            f"{target.name} cannot be written to {output_dir} ({first_line(error)}): is the disk full? Free some "
            "space, and --resume_from_checkpoint latest goes on"
        ) from None
    if accelerator.is_main_process:
        _put_into_place(partial)
        for old in list_checkpoints(output_dir)[: -total_limit if total_limit else 0]:
            _remove(old)
    accelerator.wait_for_everyone()
    return target


def finish_checkpoints(accelerator: Accelerator, output_dir: Path) -> None:
    """End what a killed run had begun: a checkpoint that was written whole gets its name, all else is removed."""
    if accelerator.is_main_process:
        for partial in output_dir.glob(f"{_PARTIAL}*"):
            try:
                read_progress(partial)
            except ValueError:
                shutil.rmtree(partial)
            else:
                _put_into_place(partial)
        for old in output_dir.glob(f"{_OLD}*"):
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


@contextmanager
def checkpoint_under_way(output_dir: Path, step: int, progress: Mapping[str, Any]) -> Iterator[Path]:
    """A folder to write the files of ``checkpoint-STEP`` to; it gets that name if all goes well, and is removed if not.

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
    """Written last, and with the sums of all other files: a folder that was cut short is found out."""
    record = {"progress": dict(progress), "files": _sums(partial)}
    (partial / _PROGRESS_FILE).write_text(json.dumps(record))


def _put_into_place(partial: Path) -> None:
    """Give a whole checkpoint its name; one that had it before goes."""
    target = partial.with_name(partial.name.removeprefix(_PARTIAL))
    old = target.with_name(f"{_OLD}{target.name}")
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    partial.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _remove(checkpoint: Path) -> None:
    """Under another name first: what is named a checkpoint is whole."""
    old = checkpoint.with_name(f"{_OLD}{checkpoint.name}")
    shutil.rmtree(old, ignore_errors=True)
    checkpoint.rename(old)
    shutil.rmtree(old)


def list_checkpoints(output_dir: Path) -> list[Path]:
    """The finished checkpoints of a run, oldest first."""
    found = [path for path in output_dir.glob("checkpoint-*") if _NAME.fullmatch(path.name)]
    return sorted(
        (p for p in found if (p / _PROGRESS_FILE).is_file()), key=lambda p: int(p.name.split("-")[1])
    )


def last_checkpoint(output_dir: Path) -> str:
    """A sentence for a run that stops."""
    found = list_checkpoints(output_dir)
    return f"the last checkpoint is {found[-1]}" if found else "there is no checkpoint yet"


def first_line(error: BaseException) -> str:
    """What an error says, on one line; of one from a data loader's worker, what was raised there."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if lines[0].startswith("Caught "):
        return lines[-1].split(": ", 1)[-1]
    return lines[0]


def read_progress(folder: Path) -> dict[str, Any]:
    """Where a checkpoint stands.

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
        raise ValueError(f"{folder} is not a whole checkpoint: it has no readable {_PROGRESS_FILE}") from None
    strange = [
        path for path in folder.rglob("*") if path.is_symlink() or not (path.is_file() or path.is_dir())
    ]
    if strange:
        raise ValueError(f"{folder} is not a whole checkpoint: {strange[0].name} is a link or no file")
    if any(type(value) is not int or value < 0 for value in progress.values()):
        raise ValueError(
            f"{folder} is not a whole checkpoint: {_PROGRESS_FILE} holds other values than counts"
        )
    found = _sums(folder)
    for name, expected in files.items():
        if name not in found:
            raise ValueError(f"{folder} is not a whole checkpoint: {name} is missing")
        if found[name] != expected:
            raise ValueError(f"{folder} is not a whole checkpoint: {name} is not what was written")
    return progress


def load_checkpoint(accelerator: Accelerator, output_dir: Path, choice: str) -> dict[str, Any] | None:
    """Load ``latest`` (the newest that is whole) or a named checkpoint into what the accelerator prepared.

    Returns:
        Its progress; None for ``latest`` in a run that has no whole checkpoint yet.

    Raises:
        ValueError: for a named folder that is no whole checkpoint.
    """
    candidates = list_checkpoints(output_dir)[::-1] if choice == "latest" else [Path(choice)]
    for folder in candidates:
        try:
            progress = read_progress(folder)
        except ValueError as error:
            if choice != "latest":
                raise
            accelerator.print(f"passed over: {error}")
            continue
        try:
            accelerator.load_state(str(folder))
        except ValueError:
            raise
        except (
            Exception
        ) as error:  # of torch, safetensors and accelerate, for files of another run or of a stranger
            raise ValueError(
                f"{folder} cannot be loaded into this run ({first_line(error)[:300]}): was it written with other flags?"
            ) from None
        return progress
    return None


def _sums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a checkpoint but its record, by relative name."""
    sums = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != _PROGRESS_FILE:
            sums[path.relative_to(folder).as_posix()] = file_sum(path)
    return sums


def file_sum(path: Path) -> str:
    """SHA-256 of a file of any size."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class MovingAverage(AveragedModel):
    """An exponential moving average of a model's parameters; buffers are those of the model itself.

    The first updates count more, so that the initial weights are soon forgotten.

    Args:
        decay: of the average, in the long run.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model)
        self._decay = decay
        # On the host: a GPU would be waited for.
        self._updates = 0

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Let the average follow an update of the model."""
        n = self._updates
        share = 1 - min(self._decay, (1 + n) / (10 + n)) if n else 1.0
        torch._foreach_lerp_(list(self.module.parameters()), list(model.parameters()), share)
        copy_all(list(self.module.buffers()), list(model.buffers()))
        self.n_averaged += 1
        self._updates += 1

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """As ``nn.Module.load_state_dict``."""
        found = super().load_state_dict(*args, **kwargs)
        self._updates = int(self.n_averaged)
        return found


@torch.no_grad()
def recalibrate(
    model: System,
    batches: Iterable[Mapping[str, Tensor]],
    noise: Callable[[int], Tensor],
) -> None:
    """Measure batch-norm statistics and singular vectors anew, for averaged weights.

    Statistics of the last few batches belong to the weights that made them, not to their average.

    Args:
        noise: makes what the model's forward takes for so many pictures.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative mean
    model.train()
    for batch in batches:
        model(batch["image"], batch["label"], batch.get("instance"), noise(len(batch["image"])))
    model.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
