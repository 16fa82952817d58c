"""Folded scale and shift of a whole label map by convolutions: for a GPU, which is not asked what windows there are.

The running statistics and the singular value are folded into the weights, so that one convolution of the hidden layer
makes the finished scale and shift of every pixel.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub.models.layers import GroupedConv2d


class FoldedConstants(NamedTuple):
    """What is folded into the weights, and the groups of both layers.

    Attributes:
        mean, variance, eps: of the batch norm, [C].
        divisor: a positive scalar, or None.
        label_groups, groups: of the convolution to the hidden layer, and of those to gamma and beta.
    """

    mean: Tensor
    variance: Tensor
    eps: float
    divisor: Tensor | None
    label_groups: int
    groups: int


def dense_rows(
    label_input: Tensor,
    shared: GroupedConv2d,
    gamma: GroupedConv2d,
    beta: GroupedConv2d,
    constants: FoldedConstants,
    *,
    compiled: bool,
) -> Tensor:
    """Scale and shift [B * H * W, 2, C] of ``BN(x) * (1 + gamma) + beta``, divided by the divisor.

    Args:
        label_input: [B, label channels, H, W].
        shared, gamma, beta: the convolutions of a CG-Norm.
        compiled: by ``torch.compile``.
    """
    rows = _compiled_rows() if compiled else _rows
    return rows(label_input, _parameters(shared), _parameters(gamma), _parameters(beta), constants)


def _parameters(layer: GroupedConv2d) -> tuple[Tensor, Tensor]:
    """Weight and bias; detached, since torch.compile takes the shape of a parameter for a constant."""
    assert layer.bias is not None
    return layer.weight.detach(), layer.bias.detach()


def _rows(
    label_input: Tensor,
    shared: tuple[Tensor, Tensor],
    gamma: tuple[Tensor, Tensor],
    beta: tuple[Tensor, Tensor],
    constants: FoldedConstants,
) -> Tensor:
    """:func:`dense_rows` of weights and biases."""
    mean, variance, eps, divisor, label_groups, groups = constants
    dtype, padding = gamma[0].dtype, gamma[0].shape[-1] // 2
    hidden = F.relu(F.conv2d(label_input, *shared, padding=shared[0].shape[-1] // 2, groups=label_groups))
    # scale = (1 + gamma) * factor and shift = beta / divisor - (1 + gamma) * mean * factor, in single precision.
    factor = torch.rsqrt(variance.float() + eps)
    gamma_weight, gamma_bias, beta_weight, beta_bias = (tensor.float() for tensor in (*gamma, *beta))
    if divisor is not None:
        factor, beta_weight, beta_bias = factor / divisor, beta_weight / divisor, beta_bias / divisor
    centre = mean.float() * factor
    gamma_bias = 1 + gamma_bias
    weight = _joined(
        gamma_weight * factor[:, None, None, None],
        beta_weight - gamma_weight * centre[:, None, None, None],
        groups,
    )
    bias = _joined(gamma_bias * factor, beta_bias - gamma_bias * centre, groups)
    weight = weight.to(dtype, memory_format=torch.channels_last)
    both = F.conv2d(hidden, weight, bias.to(dtype), padding=padding, groups=groups)
    pixels = both.permute(0, 2, 3, 1).flatten(0, 2)
    return pixels.unflatten(1, (groups, 2, -1)).transpose(1, 2).flatten(2)


def _joined(scales: Tensor, shifts: Tensor, groups: int) -> Tensor:
    """Of each group first the rows of its scales, then those of its shifts."""
    by_group = [rows.unflatten(0, (groups, -1)) for rows in (scales, shifts)]
    return torch.cat(by_group, dim=1).flatten(0, 1)


@functools.cache
def _compiled_rows() -> Callable[..., Tensor]:
    # torch.compile keeps few variants; where models of many shapes need more, they run uncompiled.
    return torch.compile(_rows, dynamic=True)
