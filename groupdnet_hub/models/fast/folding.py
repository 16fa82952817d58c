"""Scale and shift of evaluation mode, with all that does not depend on the codes folded in."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.models.fast.label_windows import LabelLevel, rows_from_patches, window_patches
from groupdnet_hub.models.layers import GroupedConv2d

# Adding a looked-up number to a sum takes about as long as so many multiply-accumulates of a matrix product.
_LOOK_UP_COST = 4
# Bytes of the table that the parts of a 5x5 window are looked up in: they stay near the processor.
_TABLE_BYTES = 2**21


def folded_rows(level: LabelLevel, hidden: Tensor, convolutions: Sequence[GroupedConv2d]) -> list[Tensor]:
    """What 3x3 convolutions make of the hidden layer, without their bias, for each pixel or different window.

    A window's row is the sum of what each of its nine 3x3 windows contributes. There are fewer different 3x3
    windows than 5x5 windows, so that multiplying the former and adding up nine results, each looked up, takes fewer
    multiplications than multiplying the latter.

    Args:
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
    if len(hidden) * width + _LOOK_UP_COST * len(windows) >= len(windows) * width:
        patches = window_patches(level, hidden, groups)
        return [rows_from_patches(patches, c.weight, None) for c in convolutions]
    parts = windows + torch.arange(9, device=windows.device) * len(hidden)
    return [_sum_of_parts(parts, hidden, c.weight, groups) for c in convolutions]


def _sum_of_parts(parts: Tensor, hidden: Tensor, weight: Tensor, groups: int) -> Tensor:
    """Rows [U5, channels] of ``parts`` [U5, 9], numbered place by place, each place having a row of ``hidden``."""
    channels = max(16, _TABLE_BYTES // (9 * len(hidden) * hidden.element_size()))
    sums = []
    for own, matrices in zip(hidden.chunk(groups, dim=1), weight.flatten(2).chunk(groups), strict=True):
        for some in matrices.split(channels):
            table = torch.bmm(own.expand(9, -1, -1), some.permute(2, 1, 0))
            sums.append(F.embedding_bag(parts, table.flatten(0, 1), mode="sum"))
    return sums[0] if len(sums) == 1 else torch.cat(sums, dim=1)


def fold(
    norm: nn.BatchNorm2d,
    gamma: Tensor,
    gamma_bias: Tensor | None,
    beta: Tensor,
    beta_bias: Tensor | None,
    divisor: Tensor | None,
    widths: Sequence[int],
) -> tuple[Tensor, ...]:
    """``norm(x) * (1 + gamma) + beta``, divided by the next convolution's singular value, as scale and shift of x.

    Args:
        norm: with running statistics.
        gamma, beta: [U, C] without the biases [C].
        divisor: a positive scalar, or None.
        widths: channels of each table.

    Returns:
        tables of scale and shift [U, 2, channels]; not differentiable.
    """
    assert norm.running_mean is not None
    assert norm.running_var is not None

    per_channel = torch.zeros_like(norm.running_mean, dtype=torch.float32)
    gamma_start = per_channel + 1 if gamma_bias is None else 1 + gamma_bias.float()
    beta_start = per_channel if beta_bias is None else beta_bias.float()
    factor = torch.rsqrt(norm.running_var.float() + norm.eps)
    share = torch.ones_like(factor[:1])
    if divisor is not None:
        factor, beta_start, share = factor / divisor, beta_start / divisor, share / divisor
    gamma_start *= factor
    mean, tables, first = norm.running_mean.float(), [], 0
    for width in widths:
        own = slice(first, first + width)
        table = gamma.new_empty(len(gamma), 2, width, dtype=torch.float32)
        scale, shift = table.unbind(1)
        torch.addcmul(gamma_start[own], gamma[:, own].float(), factor[own], out=scale)
        torch.addcmul(beta_start[own], beta[:, own].float(), share, out=shift)
        shift.addcmul_(scale, mean[own], value=-1)
        tables.append(table.to(gamma.dtype))
        first += width
    return tuple(tables)
