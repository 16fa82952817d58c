"""How much memory a process holds at the moment, as Linux tells it."""

from __future__ import annotations

import re
from pathlib import Path


def resident_mib(process: int) -> float:
    """Return the resident memory of a process in MiB.

    Raises:
        OSError: if there is no such process, or no ``/proc``.
    """
    status = Path(f"/proc/{process}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found, status
    return int(found[1]) / 1024
