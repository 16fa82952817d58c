"""Memory that one picture's drawing frees stays with the process, for the next one."""

from __future__ import annotations

import functools

import torch

# Just below 32 MiB, the largest block by whose size glibc sets its thresholds (M_MMAP_THRESHOLD in mallopt(3)).
_BLOCK = 32 * 2**20 - 2**16


@functools.cache
def keep_freed_memory() -> None:
    """Have glibc keep up to 64 MiB of freed memory, once for a process.

    By itself it gives features of 10 MB back to the system whenever they are freed, and the system clears all their
    pages when it hands them out again: an eighth of the time of a picture at 256x256 on a CPU. glibc sets what it keeps
    to twice the largest block that was ever freed; here one is, which no page is used for. Other C libraries are left
    as they are.
    """
    torch.empty(_BLOCK, dtype=torch.uint8)
