"""A weighted sum of L1 distances of features, in few operations: what feature matching and perceptual loss come to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def sum_of_distances(
    found: Sequence[Tensor],
    wanted: Sequence[Tensor],
    factors: Sequence[float],
    weights: Tensor | None = None,
) -> Tensor:
    """Return ``sum_i factors[i] * mean(|found[i] - wanted[i]| * weights_i)``, a scalar in float32 at least.

    Args:
        found: features [B, channels, h, w] of any sizes; gradients flow to them.
        wanted: of the same shapes; constants.
        factors: of the sum.
        weights: how much each pixel [B, 1, H, W] of the pictures counts; ``weights_i`` is the mean over what lies
            behind each place.
    """
    places = () if weights is None else tuple(_behind(weights, features) for features in found)
    return _SumOfDistances.apply(tuple(factors), len(found), *found, *wanted, *places)


def _behind(weights: Tensor, features: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(weights, (features.shape[2], features.shape[3])).to(features.dtype)


class _SumOfDistances(torch.autograd.Function):
    """Features of all layers at once."""

    @staticmethod
    def forward(ctx: Any, factors: tuple[float, ...], layers: int, *tensors: Tensor) -> Tensor:
        found, wanted, places = tensors[:layers], tensors[layers : 2 * layers], tensors[2 * layers :]
        differences = list(torch._foreach_sub(list(found), [w.detach() for w in wanted]))
        if places:
            torch._foreach_mul_(differences, list(places))
        single = torch.promote_types(found[0].dtype, torch.float32)
        sums = [torch.linalg.vector_norm(d, 1, dtype=single) for d in differences]
        ctx.scales = [factor / d.numel() for factor, d in zip(factors, differences, strict=True)]
        ctx.save_for_backward(*differences, *places)
        return torch.stack(torch._foreach_mul(sums, ctx.scales)).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        layers, grad = len(ctx.scales), grads[0]
        differences, places = ctx.saved_tensors[:layers], ctx.saved_tensors[layers:]
        signs = list(torch._foreach_sign(list(differences)))
        if places:
            torch._foreach_mul_(signs, torch._foreach_mul(list(places), ctx.scales))
        else:
            torch._foreach_mul_(signs, ctx.scales)
        torch._foreach_mul_(signs, grad.to(signs[0].dtype))
        return (None, None, *signs, *(None for _ in range(layers + len(places))))
