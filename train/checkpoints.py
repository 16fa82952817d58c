"""Checkpoints that are whole or absent, and the averaged weights that go into them."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from groupdnet_hub import GroupDNet

_PROGRESS_FILE = "progress.json"
_NAME = re.compile(r"checkpoint-(\d+)")


def save_checkpoint(
    accelerator: Accelerator,
    output_dir: Path,
    step: int,
    progress: Mapping[str, Any],
    model: GroupDNet,
    total_limit: int | None,
) -> Path:
    """Write ``checkpoint-STEP``: training state, progress, and the generator as ``from_pretrained`` reads it.

    It is written under another name first, so that a folder named ``checkpoint-N`` is always whole.
    """
    target = output_dir / f"checkpoint-{step}"
    partial = output_dir / f".partial-checkpoint-{step}"
    if accelerator.is_main_process and partial.exists():
        shutil.rmtree(partial)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial))
    if accelerator.is_main_process:
        model.save_pretrained(partial / "generator")
        (partial / _PROGRESS_FILE).write_text(json.dumps(dict(progress)))
        if target.exists():
            shutil.rmtree(target)
        partial.rename(target)
        for old in list_checkpoints(output_dir)[: -total_limit if total_limit else 0]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()
    return target


def list_checkpoints(output_dir: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    found = [path for path in output_dir.glob("checkpoint-*") if _NAME.fullmatch(path.name)]
    return sorted(
        (p for p in found if (p / _PROGRESS_FILE).is_file()), key=lambda p: int(p.name.split("-")[1])
    )


def load_checkpoint(accelerator: Accelerator, output_dir: Path, choice: str) -> dict[str, Any] | None:
    """Load ``latest`` or a named checkpoint into what the accelerator prepared.

    Returns:
        Its progress; None for ``latest`` in a run that has no checkpoint yet.

    Raises:
        ValueError: for a folder that is no whole checkpoint.
    """
    if choice == "latest":
        found = list_checkpoints(output_dir)
        if not found:
            return None
        folder = found[-1]
    else:
        folder = Path(choice)
    try:
        progress = json.loads((folder / _PROGRESS_FILE).read_text())
    except (OSError, json.JSONDecodeError):
        raise ValueError(f"{folder} is not a whole checkpoint: it has no readable {_PROGRESS_FILE}") from None
    accelerator.load_state(str(folder))
    return progress


class NoiseSource:
    """The generator of the codes' noise, one stream for each process; its state is part of a checkpoint."""

    def __init__(self, seed: int, process_index: int) -> None:
        self.generator = torch.Generator().manual_seed(seed * 65_537 + process_index)

    def draw(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """Standard normal noise."""
        return torch.randn(shape, generator=self.generator).to(device)

    def state_dict(self) -> dict[str, Tensor]:
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.generator.set_state(state["generator"].cpu())


def averaged(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of the parameters; buffers are those of the model itself.

    The first updates count more, so that the initial weights are soon forgotten.
    """

    def update(averages: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        n = float(count)
        torch._foreach_lerp_(averages, current, 1 - min(decay, (1 + n) / (10 + n)))

    return AveragedModel(model, multi_avg_fn=update)


@torch.no_grad()
def recalibrate(
    model: GroupDNet,
    batches: Iterable[Mapping[str, Tensor]],
    noise: Callable[[tuple[int, ...]], Tensor],
) -> None:
    """Measure batch-norm statistics and singular vectors anew, for averaged weights.

    Statistics of the last few batches belong to the weights that made them, not to their average.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative mean
    model.train()
    for batch in batches:
        shape = (batch["image"].shape[0], *model.config.code_shape)
        model(batch["image"], batch["label"], batch.get("instance"), noise(shape))
    model.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
