"""The accelerator of a run, whose processes find each other on machines without a GPU as well."""

from __future__ import annotations

import os
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import is_torch_xla_available, parse_flag_from_env

from groupdnet_hub.runs.freed_memory import keep_freed_memory


def process_count() -> int:
    """How many processes were started together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def device_type() -> str:
    """``cuda``, or ``cpu`` for any other device: what accelerate will choose."""
    use_cpu = parse_flag_from_env("ACCELERATE_USE_CPU")
    return "cuda" if torch.cuda.is_available() and not use_cpu else "cpu"


def only_deterministic_algorithms() -> None:
    """Have this process refuse algorithms that do not give the same bits every time."""
    # What the matrix products of CUDA need for it; read when the first of them is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def build_accelerator(**options: Any) -> Accelerator:
    """``Accelerator(**options)``; processes that ``torchrun`` started share the CPU where there is nothing else.

    By itself accelerate takes each of them for the only one there, unless ``ACCELERATE_USE_CPU`` is set. On a CPU the
    process keeps the memory that it frees (:mod:`groupdnet_hub.runs.freed_memory`).

    Raises:
        ValueError: for processes that were started together and do not find each other.
    """
    processes = process_count()
    cpu_only = not torch.accelerator.is_available() and not is_torch_xla_available()
    accelerator = Accelerator(cpu=cpu_only and processes > 1, **options)
    if processes > 1 and accelerator.num_processes == 1:
        raise ValueError(
            f"{processes} processes were started together (WORLD_SIZE), but accelerate runs each on its own on "
            f"{accelerator.device}: start one, or set ACCELERATE_USE_CPU=true to share the CPU"
        )
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    return accelerator
