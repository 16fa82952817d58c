"""The machine and the commit of a measurement."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import torch

import groupdnet_hub


def machine() -> str:
    """Return the device with its cores, and the version of torch."""
    if torch.cuda.is_available():
        device = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    else:
        device = f"{_processor()}, {os.cpu_count()} cores"
    return f"{device}; torch {torch.__version__}"


def commit() -> str:
    """Return the commit of the checkout, marked if files were changed; outside of one, the package's version."""
    here = Path(__file__).resolve().parent

    def git(*command: str) -> str:
        done = subprocess.run(["git", "-C", str(here), *command], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return f"version {groupdnet_hub.__version__}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
