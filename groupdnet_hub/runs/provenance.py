"""Where a result comes from: the machine, the commit, the inputs, and the settings that it was started with."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import nn

import groupdnet_hub
from groupdnet_hub.runs.scripts import is_clone

# Packages whose versions may change what a run computes.
_PACKAGES = ("torch", "torchvision", "accelerate", "numpy", "pillow", "scipy")
# Access tokens of the Hub.
_TOKEN = re.compile(r"hf_[A-Za-z0-9]{8,}")
_HIDDEN = "***"


def machine() -> str:
    """Return the device with its cores, and the version of torch."""
    return f"{hardware()}; torch {torch.__version__}"


def hardware() -> str:
    """Return the device with its cores."""
    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return f"{_processor()}, {os.cpu_count()} cores"


def versions() -> dict[str, str]:
    """Return the versions of the package, of Python, of the packages that compute, and of CUDA if torch has it."""
    found = {"groupdnet_hub": groupdnet_hub.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    if torch.version.cuda is not None:
        found |= {"cuda": torch.version.cuda, "cudnn": str(torch.backends.cudnn.version())}
    return found


def without_secrets(words: Sequence[str], secrets: Collection[str]) -> list[str]:
    """Return a command line that anybody may read.

    Args:
        words: the command and its arguments.
        secrets: names of the flags whose values are hidden; the Hub's tokens are hidden wherever they stand.
    """

    def hides(word: str) -> bool:
        name = word[2:].partition("=")[0]
        # A flag may be shortened.
        return word.startswith("--") and name != "" and any(secret.startswith(name) for secret in secrets)

    shown: list[str] = []
    for before, word in zip(("", *words), words, strict=False):
        if hides(before) and "=" not in before:
            shown.append(_HIDDEN)
        elif hides(word) and "=" in word:
            shown.append(f"{word.partition('=')[0]}={_HIDDEN}")
        else:
            shown.append(_TOKEN.sub(_HIDDEN, word))
    return shown


def commit() -> str:
    """Return the commit of the checkout, marked if files were changed; outside of one, the package's version."""
    of_package = f"version {groupdnet_hub.__version__}"
    if not is_clone():
        return of_package  # git would name the commit of whatever project an environment lies in
    here = Path(__file__).resolve().parent

    def git(*command: str) -> str:
        done = subprocess.run(["git", "-C", str(here), *command], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return of_package


def digest(*parts: bytes | str) -> str:
    """Return the SHA-256 of several texts or bytes."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()


def model_digest(model: nn.Module, *more: str) -> str:
    """Return the SHA-256 of all tensors of a model, with their names, and of more texts."""
    parts: list[bytes | str] = list(more)
    for key, value in sorted(model.state_dict().items()):
        parts += [key, value.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()]
    return digest(*parts)


def refuse_other_settings(
    before: Mapping[str, Any], now: Mapping[str, Any], place: Path | str, otherwise: str
) -> None:
    """Refuse to resume what was started with other settings.

    Args:
        before: settings that it was started with, by name.
        now: settings of this command.
        place: what was started, for the message.
        otherwise: what to do if these settings are meant, for the message.

    Raises:
        ValueError: naming the first setting that differs.
    """
    for key in {**now, **before}:
        if before.get(key) != now.get(key):
            raise ValueError(
                f"{place} was started with {_setting(key, before.get(key))}, not {_setting(key, now.get(key))}: give "
                f"the same again, or {otherwise}"
            )


def _setting(key: str, value: Any) -> str:
    if isinstance(value, str) and len(value) == 64:  # a digest says nothing to people
        return f"{key.replace('_', ' ')} {value[:8]}..."
    return f"{key} {json.dumps(value, ensure_ascii=False)}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
