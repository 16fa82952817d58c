"""The accelerator of a run, whose processes find each other on machines without a GPU as well."""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import is_torch_xla_available, parse_flag_from_env

# Options of glibc's mallopt (its malloc.h), and values for them.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER, _NONE = 2**31 - 1, 0


def process_count() -> int:
    """Return the number of processes that were started together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def device_type() -> str:
    """Return the kind of device that accelerate will choose: ``cuda``, or ``cpu`` for any other."""
    use_cpu = parse_flag_from_env("ACCELERATE_USE_CPU")
    return "cuda" if torch.cuda.is_available() and not use_cpu else "cpu"


def only_deterministic_algorithms() -> None:
    """Make this process refuse algorithms that do not give the same bits every time."""
    # What the matrix products of CUDA need for it; read when the first of them is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def build_accelerator(**options: Any) -> Accelerator:
    """Build ``Accelerator(**options)``; processes of ``torchrun`` use the CPU together where there is nothing else.

    By itself accelerate takes each of them for the only one there, unless ``ACCELERATE_USE_CPU`` is set. On a CPU the
    process keeps the memory that it frees (:func:`keep_freed_memory`).

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


def keep_freed_memory() -> bool:
    """Make the C library keep freed memory, instead of returning and fetching it again at every step.

    A step on a CPU frees and allocates hundreds of tensors too large for the library to keep by itself. The system
    clears every page that it hands out: 300,000 of them a step at 256x256, a twelfth of its time.

    Returns:
        Whether the library is glibc and does as told; others are left alone.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    told = [library.mallopt(_MMAP_MAX, _NONE), library.mallopt(_TRIM_THRESHOLD, _NEVER)]
    return all(told)
