"""Where the pictures of a run are kept once they are read: on the training device, in memory, or nowhere."""

from __future__ import annotations

import os
from functools import partial
from typing import Literal

import psutil
import torch
from accelerate import Accelerator
from tqdm.auto import tqdm

from groupdnet_hub import PairedImages, StreamedImages
from groupdnet_hub.training.config import TrainConfig

Place = Literal["device", "memory", "none"]

# Of a GPU's free memory, where nobody chose: the rest is for networks and what they compute.
_FRACTION_OF_A_GPU = 0.25
# GiB that pictures may take in memory, where --cache_gb says nothing.
_MEMORY_GB = 4.0


def keep_pictures(
    settings: TrainConfig, data: PairedImages | StreamedImages, accelerator: Accelerator
) -> Place:
    """Read the training pictures to where ``--cache_data`` says, or where they fit, and say so in one line.

    Returns:
        Where they are.

    Raises:
        ValueError: if they do not fit where they are asked for, or one cannot be read.
    """
    if isinstance(data, StreamedImages):
        return "none"
    device, asked = accelerator.device, settings.cache_data
    needed = data.cache_size()
    too_large = {
        "device": _too_large_for_device(needed, device),
        "memory": _too_large_for_memory(needed, settings.cache_gb),
    }
    refused = too_large.get(asked) if asked else None
    if refused is not None:
        raise ValueError(
            f"--cache_data {asked}: {len(data):,} pictures take {_gib(needed)}, {refused}: "
            f"{'choose memory or none' if asked == 'device' else 'raise --cache_gb, or choose none'}"
        )
    place, note = (asked, "") if asked else _chosen(settings, needed, device, too_large["memory"])
    if place == "none":
        accelerator.print(f"{len(data):,} pictures are read again in each epoch{note}")
        return place
    where = device if place == "device" else torch.device("cpu")
    bar = partial(
        tqdm, desc="reading pictures", delay=5, leave=False, disable=not accelerator.is_local_main_process
    )
    data.cache(where, workers=settings.dataloader_num_workers, progress=bar)
    named = f"on {device}" if place == "device" else "in memory"
    accelerator.print(f"{len(data):,} pictures are kept {named} ({_gib(needed)}){note}")
    return place


def _chosen(
    settings: TrainConfig, needed: int, device: torch.device, too_large: str | None
) -> tuple[Place, str]:
    """Return where they are kept if nobody says, and why not at a better place."""
    if settings.cache_gb == 0:
        return "none", ""
    note = ""
    if device.type == "cuda":
        if needed <= free_bytes(device) * _FRACTION_OF_A_GPU:
            return "device", ""
        note = f": on {device} they would take more than a quarter of its free {_gib(free_bytes(device))}"
    if too_large is None:
        return "memory", note
    return "none", f": they would take {_gib(needed)}, {too_large}"


def _too_large_for_device(needed: int, device: torch.device) -> str | None:
    if device.type == "cpu":
        return _too_large_for_host(needed)
    if device.type == "cuda" and needed > free_bytes(device):
        return f"more than the {_gib(free_bytes(device))} that are free on {device}"
    return None


def _too_large_for_memory(needed: int, limit: float | None) -> str | None:
    limit = _MEMORY_GB if limit is None else limit
    if needed > limit * 2**30:
        return f"more than the {limit:g} GiB of --cache_gb"
    return _too_large_for_host(needed)


def _too_large_for_host(needed: int) -> str | None:
    # Every process keeps its own.
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    free = psutil.virtual_memory().available
    if needed * processes <= free:
        return None
    times = f" for each of {processes} processes" if processes > 1 else ""
    return f"more than this machine's free memory of {_gib(free)} has{times}"


def free_bytes(device: torch.device) -> int:
    """Return how much memory of a GPU nobody uses."""
    return torch.cuda.mem_get_info(device)[0]


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 0.05 * 2**30 else f"{size / 2**20:.1f} MiB"
