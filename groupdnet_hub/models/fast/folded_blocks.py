"""CG-Blocks of evaluation mode: running statistics and singular values folded in, drawn group by group.

All of it computes :meth:`groupdnet_hub.models.blocks.CGBlock.forward` (Eq. 3 to 5), exactly: LeakyReLU commutes with
the positive factor by which the convolution behind it is divided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from groupdnet_hub.models.blocks import CGBlock, CGNorm
from groupdnet_hub.models.fast.convolutions import convolve_channels, convolve_groups
from groupdnet_hub.models.fast.folding import FoldedConstants, dense_rows, folded_rows, folded_tables
from groupdnet_hub.models.fast.label_windows import LabelLevel
from groupdnet_hub.models.fast.modulation import FoldedModulation
from groupdnet_hub.models.fast.partial_sums import PartialSums, part_widths, split_into_parts, total_of
from groupdnet_hub.models.fast.unfolded_blocks import hidden_layer, norms_of
from groupdnet_hub.models.layers import LEAKY_SLOPE, GroupedConv2d


def singular_values(block: CGBlock) -> dict[str, Tensor | None]:
    """Return by what the convolution behind each CG-Norm divides its weight; None without spectral norm."""
    return {
        name: convolution.singular_value() if convolution.spectral_norm else None
        for name, (_, convolution) in norms_of(block).items()
    }


def fold(
    block: CGBlock,
    level: LabelLevel,
    class_slots: int,
    divisors: Mapping[str, Tensor | None],
    *,
    compiled: bool = False,
) -> dict[str, FoldedModulation]:
    """Return scale and shift of every CG-Norm of a block, with all that does not depend on the codes folded in.

    Not differentiable.

    Args:
        block: the block.
        level: the label maps; with windows, or where they were not worth a search.
        class_slots: number of class slots, as in the configuration.
        divisors: :func:`singular_values`, positive.
        compiled: scale and shift are applied by one kernel of ``torch.compile``.

    Raises:
        TypeError: for a norm that is not a batch norm with running statistics.
    """
    found = {}
    for name, (norm, convolution) in norms_of(block).items():
        hidden = hidden_layer(norm, level, class_slots)
        gamma, beta = folded_rows(level, hidden, (norm.gamma, norm.beta))
        tables = folded_tables(
            batch_norm_of(norm),
            (gamma, norm.gamma.bias),
            (beta, norm.beta.bias),
            divisors[name],
            _widths(block, name, convolution, level),
        )
        index = None if level.windows is None else level.windows.index
        found[name] = FoldedModulation(tables, index, level.size, compiled)
    return found


def fold_whole_maps(
    block: CGBlock,
    level: LabelLevel,
    class_slots: int,
    divisors: Mapping[str, Tensor | None],
    *,
    compiled: bool = False,
) -> dict[str, FoldedModulation]:
    """Do as :func:`fold`, by convolutions of the whole maps, without asking their device anything.

    Args:
        block: as :func:`fold` takes it.
        level: as :func:`fold` takes it.
        class_slots: as :func:`fold` takes it.
        divisors: as :func:`fold` takes them.
        compiled: these are compiled by ``torch.compile``, and so is what applies the result.
    """
    labels = level.label_input(class_slots, block.conv_0.weight.dtype)
    found = {}
    for name, (norm, convolution) in norms_of(block).items():
        batch_norm = batch_norm_of(norm)
        assert batch_norm.running_mean is not None
        assert batch_norm.running_var is not None
        constants = FoldedConstants(
            batch_norm.running_mean,
            batch_norm.running_var,
            batch_norm.eps,
            divisors[name],
            norm.shared.groups,
            norm.gamma.groups,
        )
        rows = dense_rows(labels, norm.shared, norm.gamma, norm.beta, constants, compiled=compiled)
        widths = _widths(block, name, convolution, level)
        found[name] = FoldedModulation(rows.split(widths, dim=2), None, level.size, compiled)
    return found


def batch_norm_of(norm: CGNorm) -> nn.BatchNorm2d:
    """Return the normalisation inside a CG-Norm, if it can be folded.

    Raises:
        TypeError: if it is not a batch norm with running statistics.
    """
    inner = norm.norm
    if not isinstance(inner, nn.BatchNorm2d) or inner.running_mean is None or inner.running_var is None:
        raise TypeError("only a batch norm with running statistics can be folded")
    return inner


def _widths(block: CGBlock, name: str, convolution: GroupedConv2d, level: LabelLevel) -> tuple[int, ...]:
    """Return channels of each part of the input of the convolution behind a CG-Norm."""
    before = block.groups if name == "norm_1" else block.in_groups
    area = convolution.kernel_size[0] * convolution.kernel_size[1]
    _, H, W = level.size
    return part_widths(convolution.in_channels, block.groups, before, area, H * W)


def run(
    block: CGBlock,
    pieces: Sequence[Tensor],
    modulations: Mapping[str, FoldedModulation],
    *,
    upsample: bool,
    all_groups: bool,
    old: Mapping[int, Tensor],
    sums: PartialSums | None = None,
) -> tuple[Tensor, ...]:
    """Return a block's output, one group at a time; not differentiable.

    Args:
        block: the block.
        pieces: the input's channels in order, [B, c, h, w] each.
        modulations: of :func:`fold` or :func:`fold_whole_maps`.
        upsample: the input is to be doubled in height and width first.
        all_groups: compute all groups in one call.
        old: results of groups that need not be computed.
        sums: keeps partial sums from one call to the next; the result is the same without.

    Returns:
        for each group [B, out / groups, H, W].
    """
    if all_groups:
        outputs = _run_groups(block, pieces, range(block.groups), modulations, upsample, None)
        # The old ones are equal, and what was computed from them before can be told to be the same.
        return tuple(old.get(group, out) for group, out in enumerate(outputs.chunk(block.groups, dim=1)))
    return tuple(
        old[group] if group in old else _run_groups(block, pieces, [group], modulations, upsample, sums)
        for group in range(block.groups)
    )


def _run_groups(
    block: CGBlock,
    pieces: Sequence[Tensor],
    groups: Sequence[int],
    modulations: Mapping[str, FoldedModulation],
    upsample: bool,
    sums: PartialSums | None,
) -> Tensor:
    """Return some neighbouring groups of a block, as one grouped convolution, [B, len(groups) * out / g, H, W]."""
    norms = norms_of(block)

    def convolved(name: str, slope: float | None) -> list[Tensor]:
        """Return what is to be added up: the convolution of both parts of the only group, or all in one."""
        modulation, (_, convolution) = modulations[name], norms[name]
        parts = split_into_parts(pieces, modulation.widths)
        in_group = len(parts) // block.groups
        numbers = range(groups[0] * in_group, (groups[-1] + 1) * in_group)

        def scaled(number: int) -> Tensor:
            channels = parts[number].channels
            return modulation.apply_group(channels, number, upsample=upsample, slope=slope)

        if in_group == 1 or len(groups) > 1:
            x = _concatenated([scaled(number) for number in numbers])
            return [convolve_groups(convolution, x, groups[0], len(groups))]
        first, second = numbers
        cut = modulation.widths[first]
        compute = {
            first: lambda: convolve_channels(convolution, scaled(first), groups[0], 0),
            second: lambda: convolve_channels(convolution, scaled(second), groups[0], cut),
        }
        if sums is None:
            return [compute[number]() for number in numbers]
        return [sums.find(name, number, parts[number], compute[number]) for number in numbers]

    middle = total_of(convolved("norm_0", LEAKY_SLOPE), overwrite=sums is None)
    parts = [
        modulations["norm_1"].apply_group([channels], group, slope=LEAKY_SLOPE, overwrite=True)
        for group, channels in zip(groups, middle.chunk(len(groups), dim=1), strict=True)
    ]
    del middle  # its memory serves again
    y = convolve_groups(block.conv_1, _concatenated(parts), groups[0], len(groups))
    if block.has_skip_convolution:
        for skip in convolved("norm_s", None):
            y.add_(skip)
        return y
    inputs = split_into_parts(pieces, [block.conv_0.in_channels // block.groups] * block.groups)
    start, step = 0, 2 if upsample else 1
    pixels = y.permute(0, 2, 3, 1)
    cells = pixels.unflatten(2, (-1, step)).unflatten(1, (-1, step))
    for piece in (piece for group in groups for piece in inputs[group].channels):
        end = start + piece.shape[1]
        cells[..., start:end].add_(piece.permute(0, 2, 3, 1)[:, :, None, :, None])
        start = end
    return y


def _concatenated(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate [B, c, H, W] each, along the channels, channels_last."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat([part.permute(0, 2, 3, 1) for part in parts], dim=3).permute(0, 3, 1, 2)
