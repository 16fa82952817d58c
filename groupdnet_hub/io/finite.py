"""Tensors from files hold numbers: one that is NaN or infinite makes every picture black, and training useless."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor


def check_finite(name: str, tensor: Tensor, described: str, dtype: torch.dtype | None = None) -> None:
    """Refuse a tensor with values that are not finite, or would not be in another precision.

    One pass over the values, and no memory for another copy of them.

    Args:
        name: of the tensor, in messages.
        tensor: on the CPU; integers are always finite.
        described: name of its file in messages.
        dtype: precision that it is for; its own by default.

    Raises:
        ValueError: with the tensor and how many of its values these are.
    """
    if not tensor.is_floating_point() or not tensor.numel():
        return
    low, high = (float(bound) for bound in torch.aminmax(tensor.detach()))
    if not (math.isfinite(low) and math.isfinite(high)):
        nan, infinite = int(tensor.isnan().sum()), int(tensor.isinf().sum())
        raise ValueError(
            f"{name[:200]} in {described} holds {nan} values that are NaN and {infinite} that are infinite, of "
            f"{tensor.numel()}: the weights are spoilt, take those of an earlier save"
        )
    if dtype is not None and dtype.is_floating_point and max(-low, high) > torch.finfo(dtype).max:
        largest = torch.finfo(dtype).max
        count = int((tensor.abs() > largest).sum())
        raise ValueError(
            f"{name[:200]} in {described} holds {count} values of {tensor.numel()} beyond {largest:.6g}, the largest "
            f"of {str(dtype).removeprefix('torch.')}: load it in another dtype"
        )


def check_all_finite(tensors: Mapping[str, Tensor], described: str) -> None:
    """Refuse tensors by name as :func:`check_finite` does."""
    for name, tensor in tensors.items():
        check_finite(name, tensor, described)
