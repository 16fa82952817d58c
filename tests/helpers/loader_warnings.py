"""Warnings that the worker processes of a loader show."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from groupdnet_hub import PairedImages


def shown_by_workers(data: PairedImages, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Read all items twice, each time in a new worker process, and return the warnings that were shown.

    Args:
        data: the data set.
        folder: folder in which the workers, which share no memory, write them down.
        monkeypatch: replaces what shows warnings.
    """
    told = folder / "told"

    def write(message: Warning | str, *_: object) -> None:
        with told.open("a") as file:
            file.write(str(message))

    monkeypatch.setattr(warnings, "showwarning", write)
    for _ in range(2):
        list(DataLoader(data, batch_size=1, num_workers=1, generator=torch.Generator()))
    return told.read_text()
