"""How a training step is computed. Every form trains the same model, up to rounding; they differ in speed."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass

import torch

from groupdnet_hub.training.config import TrainConfig

_AGAINST_COMPILING_CHECKPOINTS = "torch.compile cannot take what --gradient_checkpointing computes again"


@dataclass(frozen=True, kw_only=True)
class StepForm:
    """The form of a run's training steps.

    Attributes:
        working: weights are normalised once a step, not in every forward
            (:mod:`groupdnet_hub.models.fast.working_weights`).
        dense: gamma and beta by convolutions of whole label maps, which ask the host for nothing, not by look-up.
        dtype: networks and their working weights in this precision throughout; None leaves it to autocast.
        compiled: the networks by ``torch.compile``.
        recorded: both halves of a step as CUDA graphs (:mod:`.recorded_step`); needs ``working`` and ``dense``.

    Raises:
        ValueError: for a combination that is none.
    """

    working: bool
    dense: bool = False
    dtype: torch.dtype | None = None
    compiled: bool = False
    recorded: bool = False

    def __post_init__(self) -> None:
        if (self.dense or self.dtype is not None or self.recorded) and not self.working:
            raise ValueError(
                "a dense, rounded or recorded step works with weights that are normalised once a step"
            )
        if self.recorded and not self.dense:
            raise ValueError("a recorded step needs the dense form: the look-up asks the host in every step")

    def line(self, notes: tuple[str, ...] = ()) -> str:
        """Return one line that says what is on, and what is not and why."""
        if not self.working:
            return "training step: plain (--plain_step)"
        parts = [
            "weights normalised once a step",
            "label maps whole" if self.dense else "label maps by look-up",
        ]
        if self.dtype is not None:
            parts.append(f"{str(self.dtype).removeprefix('torch.')} throughout")
        parts += [name for name, on in (("compiled", self.compiled), ("CUDA graphs", self.recorded)) if on]
        return f"training step: {', '.join(parts)}" + "".join(f"; {note}" for note in notes)


def choose_form(
    settings: TrainConfig, device_type: str, num_processes: int = 1
) -> tuple[StepForm, tuple[str, ...]]:
    """Return the form that the settings ask for, or the fastest that the device allows, and what stands in the way.

    Raises:
        ValueError: for what is asked for and cannot be had.
    """
    if settings.compile and settings.gradient_checkpointing:
        raise ValueError(f"--compile: {_AGAINST_COMPILING_CHECKPOINTS}")
    if settings.plain_step:
        return StepForm(working=False, compiled=bool(settings.compile)), ()
    on_cuda = device_type == "cuda"
    notes = []
    against = _against_graphs(settings, on_cuda, num_processes)
    if settings.cuda_graphs and against:
        raise ValueError(f"--cuda_graphs: {against}")
    recorded = on_cuda and settings.cuda_graphs is not False and not against
    if on_cuda and settings.cuda_graphs is None and against:
        notes.append(f"no CUDA graphs: {against}")
    compiled = bool(settings.compile)
    if on_cuda and settings.compile is None:
        missing = _AGAINST_COMPILING_CHECKPOINTS if settings.gradient_checkpointing else against_compiler()
        compiled = missing is None
        if missing:
            notes.append(f"not compiled: {missing}")
    # Autocast would convert features and weights at every convolution, on any device.
    dtype = torch.bfloat16 if settings.mixed_precision == "bf16" else None
    form = StepForm(working=True, dense=on_cuda, dtype=dtype, compiled=compiled, recorded=recorded)
    return form, tuple(notes)


def _against_graphs(settings: TrainConfig, on_cuda: bool, num_processes: int) -> str | None:
    if not on_cuda:
        return "a CUDA device is needed, and this run has none"
    if num_processes > 1:
        return "several processes exchange gradients within a step"
    if settings.gradient_accumulation_steps > 1:
        return "--gradient_accumulation_steps makes steps of several parts"
    if settings.optimizer == "sgd":
        return "plain SGD has its rate on the host"
    if settings.mixed_precision == "fp16":
        return "fp16 asks in every step whether a gradient is finite: take --mixed_precision bf16"
    return None


def against_compiler() -> str | None:
    """Return why ``torch.compile`` cannot be used here; None where it can."""
    if importlib.util.find_spec("triton") is None:
        return "torch.compile needs the package triton"
    if not any(shutil.which(name) for name in ("cc", "gcc", "clang")):
        return "torch.compile needs a C compiler (cc, gcc or clang)"
    return None
