"""Scale and shift of evaluation mode, with all that does not depend on the codes folded in.

Of different label windows (:func:`folded_rows` and :func:`folded_tables`), as a CPU takes them, or of whole label maps
(:func:`dense_rows`), for a GPU, which is not asked what windows there are: there the running statistics and the
singular value are folded into the weights, so that one convolution of the hidden layer makes the finished scale and
shift of every pixel.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.models.fast.label_windows import LabelLevel, rows_from_patches, window_patches
from groupdnet_hub.models.layers import GroupedConv2d

# Adding a looked-up number to a sum takes about as long as this many multiply-accumulates of a matrix product.
LOOK_UP_COST = 4
# Bytes of the table that the parts of a 5x5 window are looked up in: they stay near the processor.
TABLE_BYTES = 2**21


def folded_rows(level: LabelLevel, hidden: Tensor, convolutions: Sequence[GroupedConv2d]) -> list[Tensor]:
    """Return what 3x3 convolutions make of the hidden layer, without their bias, for each pixel or window.

    A window's row is the sum of what each of its nine 3x3 windows contributes. There are fewer different 3x3
    windows than 5x5 windows, so that multiplying the former and adding up nine results, each looked up, takes fewer
    multiplications than multiplying the latter.

    Args:
        level: the label maps, with or without ``windows``.
        hidden: [B, hidden, H, W], or [U3 + 1, hidden] of a level with ``windows``.
        convolutions: of the same number of groups.

    Returns:
        [U, channels] for each convolution.
    """
    if level.windows is None:
        maps = [F.conv2d(hidden, c.weight, None, c.stride, c.padding, groups=c.groups) for c in convolutions]
        return [rows.permute(0, 2, 3, 1).flatten(0, 2) for rows in maps]
    windows, groups = level.windows.hidden, convolutions[0].groups
    width = hidden.shape[1] // groups
    if len(hidden) * width + LOOK_UP_COST * len(windows) >= len(windows) * width:
        patches = window_patches(level, hidden, groups)
        return [rows_from_patches(patches, c.weight, None) for c in convolutions]
    parts = windows + torch.arange(9, device=windows.device) * len(hidden)
    return [_sum_of_parts(parts, hidden, c.weight, groups) for c in convolutions]


def _sum_of_parts(parts: Tensor, hidden: Tensor, weight: Tensor, groups: int) -> Tensor:
    """Return rows [U5, channels] for ``parts`` [U5, 9], numbered place by place, each with a row of ``hidden``."""
    channels = max(16, TABLE_BYTES // (9 * len(hidden) * hidden.element_size()))
    sums = []
    for own, matrices in zip(hidden.chunk(groups, dim=1), weight.flatten(2).chunk(groups), strict=True):
        for some in matrices.split(channels):
            table = torch.bmm(own.expand(9, -1, -1), some.permute(2, 1, 0))
            sums.append(F.embedding_bag(parts, table.flatten(0, 1), mode="sum"))
    return sums[0] if len(sums) == 1 else torch.cat(sums, dim=1)


def folded_tables(
    norm: nn.BatchNorm2d,
    gamma: tuple[Tensor, Tensor | None],
    beta: tuple[Tensor, Tensor | None],
    divisor: Tensor | None,
    widths: Sequence[int],
) -> tuple[Tensor, ...]:
    """Return scale and shift of x that make ``norm(x) * (1 + gamma) + beta``, divided by the next singular value.

    Args:
        norm: with running statistics.
        gamma: [U, C] without bias, and the bias [C].
        beta: the same of the shift.
        divisor: a positive scalar, or None.
        widths: channels of each table.

    Returns:
        tables of scale and shift [U, 2, channels]; not differentiable.
    """
    (gamma_rows, gamma_bias), (beta_rows, beta_bias) = gamma, beta
    assert norm.running_mean is not None
    assert norm.running_var is not None

    per_channel = torch.zeros_like(norm.running_mean, dtype=torch.float32)
    gamma_start = per_channel + 1 if gamma_bias is None else 1 + gamma_bias.float()
    beta_start = per_channel if beta_bias is None else beta_bias.float()
    factor = torch.rsqrt(norm.running_var.float() + norm.eps)
    beta_factor = torch.ones_like(factor[:1])
    if divisor is not None:
        factor, beta_start, beta_factor = factor / divisor, beta_start / divisor, beta_factor / divisor
    gamma_start *= factor
    mean, tables, first = norm.running_mean.float(), [], 0
    for width in widths:
        own = slice(first, first + width)
        table = gamma_rows.new_empty(len(gamma_rows), 2, width, dtype=torch.float32)
        scale, shift = table.unbind(1)
        torch.addcmul(gamma_start[own], gamma_rows[:, own].float(), factor[own], out=scale)
        torch.addcmul(beta_start[own], beta_rows[:, own].float(), beta_factor, out=shift)
        shift.addcmul_(scale, mean[own], value=-1)
        tables.append(table.to(gamma_rows.dtype))
        first += width
    return tuple(tables)


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
    """Return scale and shift [B * H * W, 2, C] of ``BN(x) * (1 + gamma) + beta``, divided by the divisor.

    Args:
        label_input: [B, label channels, H, W].
        shared: the first convolution of a CG-Norm.
        gamma: its convolution for gamma.
        beta: its convolution for beta.
        constants: what else is folded in.
        compiled: by ``torch.compile``.
    """
    rows = compiled_rows() if compiled else rows_of_weights
    return rows(label_input, _parameters(shared), _parameters(gamma), _parameters(beta), constants)


def _parameters(layer: GroupedConv2d) -> tuple[Tensor, Tensor]:
    """Return weight and bias; detached, since torch.compile takes the shape of a parameter for a constant."""
    assert layer.bias is not None
    return layer.weight.detach(), layer.bias.detach()


def rows_of_weights(
    label_input: Tensor,
    shared: tuple[Tensor, Tensor],
    gamma: tuple[Tensor, Tensor],
    beta: tuple[Tensor, Tensor],
    constants: FoldedConstants,
) -> Tensor:
    """Do as :func:`dense_rows`, given weights and biases."""
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
    """Join rows: of each group first those of its scales, then those of its shifts."""
    by_group = [rows.unflatten(0, (groups, -1)) for rows in (scales, shifts)]
    return torch.cat(by_group, dim=1).flatten(0, 1)


@functools.cache
def compiled_rows() -> Callable[..., Tensor]:
    """Return :func:`rows_of_weights`, compiled."""
    # torch.compile keeps few variants; where models of many shapes need more, they run uncompiled.
    return torch.compile(rows_of_weights, dynamic=True)
