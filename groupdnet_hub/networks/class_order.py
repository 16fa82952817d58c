"""Class ids and the slots that a network holds them in, where a configuration orders classes otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def label_in_slots(label: Tensor, order: Sequence[int]) -> Tensor:
    """Class ids int64 [B, H, W] -> slots; ``order`` holds the class id of each slot, or is empty."""
    if not order:
        return label
    return torch.tensor(_inverse(order), device=label.device)[label]


def codes_in_slots(codes: Tensor, order: Sequence[int]) -> Tensor:
    """[B, C, ...] by class id -> by slot."""
    return codes[:, list(order)] if order else codes


def codes_by_class(codes: Tensor, order: Sequence[int]) -> Tensor:
    """[B, C, ...] by slot -> by class id."""
    return codes[:, _inverse(order)] if order else codes


def _inverse(order: Sequence[int]) -> list[int]:
    return sorted(range(len(order)), key=order.__getitem__)
