"""What the C library keeps of freed memory: by itself glibc gives little of it back to the system.

After thousands of calls a page holds as many objects as after a few, and its memory has grown by up to a quarter. Three
settings of glibc prevent that; on other systems, and with other C libraries, nothing is changed.
"""

from __future__ import annotations

import ctypes
import os
import platform

# Of malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
# Larger pictures and activations come from the system and go back there; glibc would raise the limit to 32 MiB.
_MAPPED_FROM = 4 << 20
_KEPT_AT_MOST = 16 << 20
_ARENAS = 2


def keep_memory_flat() -> bool:
    """Let glibc give freed memory back; before threads are started. Return whether there is a glibc that does."""
    if platform.libc_ver()[0] != "glibc" or "MALLOC_ARENA_MAX" in os.environ:  # the operator has chosen
        return False
    mallopt = ctypes.CDLL(None).mallopt
    settings = {
        _M_ARENA_MAX: _ARENAS,
        _M_MMAP_THRESHOLD: _MAPPED_FROM,
        _M_TRIM_THRESHOLD: _KEPT_AT_MOST,
    }
    return all(mallopt(name, value) == 1 for name, value in settings.items())
