"""Parts of a grouped convolution, and convolutions in shapes that a processor computes in less time."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub.models.layers import GroupedConv2d

# Numbers in a register of a processor with AVX-512: oneDNN convolves 48 channels in less time than 40.
_LANES = 16
# Multiply-accumulates for each channel of a result; with fewer, time is lost.
_WORTH_LANES = 2**19


def convolve_groups(layer: GroupedConv2d, x: Tensor, first: int, count: int) -> Tensor:
    """Convolve ``count`` groups of a layer from ``first`` on, on their input channels alone.

    The weight is taken as it is, for an input that was divided by the singular value already.

    Args:
        layer: the convolution.
        x: [B, count * in / groups, H, W].
        first: number of the first group.
        count: number of groups.

    Returns:
        [B, count * out / groups, H, W].
    """
    width = layer.out_channels // layer.groups
    rows = slice(first * width, (first + count) * width)
    bias = None if layer.bias is None else layer.bias[rows]
    if count == 1:
        return _convolve_one_group(layer, x, layer.weight[rows], bias)
    return F.conv2d(x, layer.weight[rows], bias, layer.stride, layer.padding, groups=count)


def convolve_channels(layer: GroupedConv2d, x: Tensor, group: int, first: int) -> Tensor:
    """Return what some input channels of a group, from its ``first`` on, add to the convolution of that group.

    The bias belongs to the first channel; the weight is taken as by :func:`convolve_groups`.

    Args:
        layer: the convolution.
        x: these channels, [B, c, H, W].
        group: number of the group.
        first: number of the first of these channels in the group.

    Returns:
        [B, out / groups, H, W].
    """
    width = layer.out_channels // layer.groups
    rows = slice(group * width, (group + 1) * width)
    weight = layer.weight[rows, first : first + x.shape[1]]
    bias = None if layer.bias is None or first else layer.bias[rows]
    return _convolve_one_group(layer, x, weight, bias)


def _convolve_one_group(layer: GroupedConv2d, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve, with some channels more where that is quicker; the result is a view then."""
    channels, (H, W) = len(weight), x.shape[2:]
    more = -channels % _LANES
    wasteful = 4 * more > channels or channels > 4 * _LANES or weight[0].numel() * H * W < _WORTH_LANES
    if not more or wasteful or x.device.type != "cpu" or x.dtype != torch.float32:
        return F.conv2d(x, weight, bias, layer.stride, layer.padding)
    weight = torch.cat((weight, weight.new_zeros(more, *weight.shape[1:])))
    bias = None if bias is None else F.pad(bias, (0, more))
    wide = weight.contiguous(memory_format=torch.channels_last)
    return F.conv2d(x, wide, bias, layer.stride, layer.padding)[:, :channels]


def convolve_to_few_channels(layer: GroupedConv2d, x: Tensor) -> Tensor:
    """Convolve (3x3) a map of even height and width to a few channels, as to four times as many.

    A processor works on 8 or 16 channels at a time, and takes as long for three. So every 2x2 pixels of the result
    are the channels of one pixel: a 4x4 convolution with stride 2, 4 of whose 16 places belong to one pixel only.

    Args:
        layer: with one group, not spectrally normalised.
        x: [B, C, H, W].
    """
    weight, (H, W) = layer.weight, x.shape[2:]
    if x.device.type != "cpu" or layer.working is not None or H % 2 or W % 2:
        return layer(x)
    wide = weight.new_zeros(len(weight), 2, 2, weight.shape[1], 4, 4)
    for row in range(2):
        for column in range(2):
            wide[:, row, column, :, row : row + 3, column : column + 3] = weight
    wide = wide.flatten(0, 2).contiguous(memory_format=torch.channels_last)
    bias = None if layer.bias is None else layer.bias.repeat_interleave(4)
    return F.pixel_shuffle(F.conv2d(x, wide, bias, stride=2, padding=1), 2)
