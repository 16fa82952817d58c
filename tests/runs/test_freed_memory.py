"""What a step frees is there for the next one."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from tests.helpers.shared_data import ROOT

# Pages fetched anew while 64 MiB are allocated, filled and freed for the last few times of some.
_COUNT = """
import ctypes, resource, sys
sys.path.insert(0, sys.argv[1])
if sys.argv[2] == "kept":
    from groupdnet_hub.runs.accelerators import keep_freed_memory
    assert keep_freed_memory()
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    place = library.malloc(2**26)
    ctypes.memset(place, 1, 2**26)
    library.free(place)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(sum([faults() for _ in range(8)][-4:]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told")
def test_memory_that_was_freed_is_used_again() -> None:
    pages = {}
    for how in ("kept", "given back"):
        done = subprocess.run(
            [sys.executable, "-c", _COUNT, str(ROOT), how],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        pages[how] = int(done.stdout)
    assert pages["given back"] > 10_000  # 64 MiB are 16,384 pages of 4 KiB
    assert pages["kept"] < pages["given back"] / 10
