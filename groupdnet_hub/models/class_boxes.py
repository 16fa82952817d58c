"""The bounding box of each class in a label map: what the encoder cuts out, and where ``box`` placement puts codes."""

from __future__ import annotations

import torch
from torch import Tensor


def occupied_range(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """The range from the first to the last occupied place along the last axis.

    Args:
        occupied: bool [..., N].

    Returns:
        (first place, number of places), int64 [..., 1] each; (N, 0) where nothing is occupied.
    """
    length = occupied.shape[-1]
    places = torch.arange(length, device=occupied.device)
    first = torch.where(occupied, places, length).amin(dim=-1, keepdim=True)
    last = torch.where(occupied, places, -1).amax(dim=-1, keepdim=True)
    return first, (last - first + 1).clamp(min=0)
