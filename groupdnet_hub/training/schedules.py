"""How long a run is, how rates and weights change over it, and the optimiser."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from groupdnet_hub import StreamedImages
from groupdnet_hub.training.config import ResolvedTrainConfig
from groupdnet_hub.training.data.pictures import Data

# How Adam computes, not what.
_FORMS_OF_ADAM = ("lr", "foreach", "fused", "capturable")


@dataclass(frozen=True)
class RunLength:
    """How long a run is.

    Attributes:
        pictures: how many there are to train on; None for a stream, whose length is not known.
        pictures_per_step: how many make one step, all processes and accumulated batches together.
        steps: updates to make.
    """

    pictures: int | None
    pictures_per_step: int
    steps: int

    @classmethod
    def of_run(cls, settings: ResolvedTrainConfig, data: Data, processes: int) -> RunLength:
        """Return the length of a run.

        Raises:
            ValueError: if the pictures do not fill one step, and for a warm-up that is as long as the run.
        """
        pictures = None if isinstance(data, StreamedImages) else len(data)
        per_step = settings.train_batch_size * processes * settings.gradient_accumulation_steps
        if pictures is not None and pictures < per_step:
            raise ValueError(
                f"{pictures} pictures do not fill one step of {per_step} (--train_batch_size x "
                "processes x --gradient_accumulation_steps): lower one of them"
            )
        steps = settings.max_train_steps or settings.num_train_epochs * ((pictures or 0) // per_step)
        if settings.lr_warmup_steps >= steps:
            raise ValueError(
                f"--lr_warmup_steps {settings.lr_warmup_steps} leaves none of {steps} steps at the full rate: lower "
                "it, or raise --num_train_epochs"
            )
        return cls(pictures, per_step, steps)


def learning_rate_factor(step: float, decay_start: float, total: float) -> float:
    """Return 1 up to ``decay_start``, then linearly down to 0 at ``total`` (section 4.1: 60 + 40 epochs)."""
    if step <= decay_start or total <= decay_start:
        return 1.0
    return max(0.0, 1.0 - (step - decay_start) / (total - decay_start))


def scheduled_factor(settings: ResolvedTrainConfig, step: int, steps: int) -> float:
    """Return what both learning rates are multiplied by at a step of a run: from 0 to 1.

    ``--lr_warmup_steps`` rise to 1; then it stays there up to ``--lr_decay_start``, and falls as ``--lr_scheduler``
    says.

    Args:
        settings: settings of the run.
        step: the step, counted from 0.
        steps: of the whole run.
    """
    warmup = settings.lr_warmup_steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if settings.lr_scheduler == "constant":
        return 1.0
    linear = learning_rate_factor(step, max(warmup, settings.lr_decay_start * steps), steps)
    return linear if settings.lr_scheduler == "linear" else (1 - math.cos(math.pi * linear)) / 2


def kl_weight_at(step: int, start: float | None, end: float, warmup_steps: int) -> float:
    """Return the KL weight: linear from ``start`` at step 0 to ``end`` at ``warmup_steps``, constant from there on."""
    if start is None or step >= warmup_steps:
        return end
    return start + (end - start) * step / warmup_steps


def risen_fraction(step: int, start: int, steps: int) -> float:
    """Return the fraction of a weight that rises linearly from 0 at step ``start`` to 1, ``steps`` steps later."""
    if step >= start + steps:
        return 1.0
    return max(0.0, (step - start) / steps)


def make_optimizer(
    kind: str, network: nn.Module, rate: float, betas: tuple[float, float], device_type: str
) -> torch.optim.Optimizer:
    """Return ``adam`` (section 4.1; fused where the device has it), or plain ``sgd``.

    Loading the state of a run on another kind of device leaves the form of computation as it is here.
    """
    if kind == "sgd":
        return torch.optim.SGD(network.parameters(), lr=rate)
    on_cuda = device_type == "cuda"
    # The rate lies on the device, where a recorded step finds the one that holds.
    found = torch.tensor(rate, device=device_type) if on_cuda else rate
    fused = device_type in ("cpu", "cuda")
    adam = torch.optim.Adam(network.parameters(), lr=found, betas=betas, fused=fused, capturable=on_cuda)
    adam.register_load_state_dict_pre_hook(_keep_form)
    return adam


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Choose the learning rate of an optimiser of :func:`make_optimizer`."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def _keep_form(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """Return a state to load, with the form of computation of the optimiser that loads it."""
    own = {name: optimizer.param_groups[0][name] for name in _FORMS_OF_ADAM}
    return {**state, "param_groups": [{**group, **own} for group in state["param_groups"]]}
