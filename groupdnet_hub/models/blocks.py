"""The conditional group block (section 3.3, Fig. 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from groupdnet_hub.models.cg_norm import CGNorm
from groupdnet_hub.models.fast.joined_modulation import JoinedModulation
from groupdnet_hub.models.fast.label_windows import LabelLevel
from groupdnet_hub.models.fast.modulation import (
    AnyModulation,
    BatchStatistics,
    FixedModulation,
    FoldedModulation,
    Modulation,
)
from groupdnet_hub.models.fast.partial_sums import PartialSums, part_widths, split_into_parts, total_of
from groupdnet_hub.models.layers import LEAKY_SLOPE, GroupedConv2d

# A CG-Norm and the convolution behind it.
_NORMS = {"norm_0": "conv_0", "norm_1": "conv_1", "norm_s": "conv_s"}


class CGBlock(nn.Module):
    """A residual block of two grouped 3x3 convolutions, each behind a CG-Norm and a LeakyReLU.

    ``conv_1(lrelu(norm_1(conv_0(lrelu(norm_0(x)))))) + skip``, where skip is x itself, or, when the number of
    channels changes, a 1x1 convolution of ``norm_s(x)`` without activation.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        groups: int,
        label_channels: int,
        class_slots: int,
        hidden_channels: int,
        label_groups: int,
        modulation_groups: int,
        norm_kind: str = "batch",
        spectral_norm: bool = True,
        in_groups: int | None = None,
    ) -> None:
        """``in_groups``: groups of the convolution that made x, for ``norm_kind="group"`` (by default groups)."""
        super().__init__()
        self.groups = groups
        middle = min(in_channels, out_channels)

        def norm(channels: int, norm_groups: int) -> CGNorm:
            return CGNorm(
                channels,
                label_channels,
                class_slots,
                hidden_channels,
                label_groups,
                modulation_groups,
                norm_kind,
                norm_groups,
            )

        before = groups if in_groups is None else in_groups
        self.in_groups = before
        self.norm_0 = norm(in_channels, before)
        self.conv_0 = GroupedConv2d(in_channels, middle, groups=groups, spectral_norm=spectral_norm)
        self.norm_1 = norm(middle, groups)
        self.conv_1 = GroupedConv2d(middle, out_channels, groups=groups, spectral_norm=spectral_norm)
        self.has_skip_convolution = in_channels != out_channels
        if self.has_skip_convolution:
            self.norm_s = norm(in_channels, before)
            self.conv_s = GroupedConv2d(
                in_channels, out_channels, 1, groups=groups, bias=False, spectral_norm=spectral_norm
            )

    @property
    def _norms(self) -> list[str]:
        return list(_NORMS) if self.has_skip_convolution else ["norm_0", "norm_1"]

    def modulations(self, level: LabelLevel) -> dict[str, Modulation]:
        """gamma and beta of every CG-Norm of the block for one batch of label maps."""
        return {name: getattr(self, name).modulation(level) for name in self._norms}

    def joined_modulations(self, level: LabelLevel) -> dict[str, JoinedModulation]:
        """:meth:`modulations` by the weights that a training step lends, on whole label maps."""
        assert self.norm_0.working is not None
        channels = level.label_input(self.norm_0.class_slots, self.norm_0.working[0].dtype)
        return {name: getattr(self, name).joined_modulation(channels) for name in self._norms}

    @property
    def joined(self) -> bool:
        """Whether a training step lends the CG-Norms joined weights: they then take whole label maps."""
        return self.norm_0.working is not None

    def singular_values(self) -> dict[str, Tensor | None]:
        """By what the convolution behind each CG-Norm divides its weight; None without spectral norm."""
        convolutions = {name: getattr(self, _NORMS[name]) for name in self._norms}
        return {name: c.singular_value() if c.spectral_norm else None for name, c in convolutions.items()}

    def folded_modulations(
        self, level: LabelLevel, singular_values: Mapping[str, Tensor | None]
    ) -> dict[str, FoldedModulation]:
        """:meth:`modulations` of evaluation mode, with running statistics and singular values folded in."""
        return {
            name: getattr(self, name).folded_modulation(
                level, singular_values[name], self._widths(name, level)
            )
            for name in self._norms
        }

    def dense_modulations(
        self, level: LabelLevel, singular_values: Mapping[str, Tensor | None], *, compiled: bool
    ) -> dict[str, FoldedModulation]:
        """:meth:`folded_modulations` by convolutions of the whole maps, without asking their device anything."""
        label_input = level.label_input(self.norm_0.class_slots, self.conv_0.weight.dtype)
        return {
            name: getattr(self, name).dense_modulation(
                label_input, singular_values[name], self._widths(name, level), compiled=compiled
            )
            for name in self._norms
        }

    def _widths(self, name: str, level: LabelLevel) -> tuple[int, ...]:
        """Channels of each part of the input of the convolution behind a CG-Norm."""
        convolution = getattr(self, _NORMS[name])
        before = self.groups if name == "norm_1" else self.in_groups
        area = convolution.kernel_size[0] * convolution.kernel_size[1]
        pixels = level.symbols.shape[1] * level.symbols.shape[2]
        return part_widths(convolution.in_channels, self.groups, before, area, pixels)

    def forward(
        self,
        x: Tensor,
        modulations: Mapping[str, AnyModulation],
        statistics: dict[str, BatchStatistics] | None = None,
    ) -> Tensor:
        """x [B, in, H, W] and :meth:`modulations` at its resolution -> [B, out, H, W].

        Args:
            statistics: in training mode, what the batch norms normalise by is written here, by their names.
        """

        if self.joined:
            return self.joined_forward(x, modulations, statistics)

        def convolved(x: Tensor, name: str, slope: float | None) -> Tensor:
            norm, convolution, modulation = (
                getattr(self, name),
                getattr(self, _NORMS[name]),
                modulations[name],
            )
            if isinstance(modulation, FoldedModulation):
                return convolution.forward_groups(modulation.apply(x, slope), 0, self.groups)
            if isinstance(modulation, FixedModulation):
                return convolution(modulation.apply(x, slope))
            if statistics is None:
                return convolution(modulation.apply(norm.norm(x), slope))
            normalised, statistics[name] = norm.normalised(x)
            return convolution(modulation.apply(normalised, slope))

        skip = convolved(x, "norm_s", None) if self.has_skip_convolution else x
        return skip + convolved(convolved(x, "norm_0", LEAKY_SLOPE), "norm_1", LEAKY_SLOPE)

    def joined_forward(
        self,
        x: Tensor,
        modulations: Mapping[str, AnyModulation],
        statistics: dict[str, BatchStatistics] | None = None,
    ) -> Tensor:
        """:meth:`forward` in a training step that lends joined weights.

        norm_0 and norm_s normalise the same x, which is done once; their running statistics are the same.
        """

        def normalised(x: Tensor, name: str) -> Tensor:
            if isinstance(modulations[name], FixedModulation):
                return x
            result, found = getattr(self, name).joined_normalised(x, tell=statistics is not None)
            if statistics is not None and found is not None:
                statistics[name] = found
            return result

        first = normalised(x, "norm_0")
        y = self.conv_0(modulations["norm_0"].apply(first, LEAKY_SLOPE))
        y = self.conv_1(modulations["norm_1"].apply(normalised(y, "norm_1"), LEAKY_SLOPE))
        if not self.has_skip_convolution:
            return x + y
        if statistics is not None:
            statistics["norm_s"] = statistics["norm_0"]
        return y.add_(self.conv_s(modulations["norm_s"].apply(first)))

    def folded_forward(
        self,
        pieces: Sequence[Tensor],
        modulations: Mapping[str, FoldedModulation],
        *,
        upsample: bool,
        whole: bool,
        old: Mapping[int, Tensor],
        sums: PartialSums | None = None,
    ) -> tuple[Tensor, ...]:
        """:meth:`forward` on folded modulations, one group at a time; not differentiable.

        Args:
            pieces: the input's channels in order, [B, c, h, w] each.
            upsample: the input is to be doubled in height and width first.
            whole: compute all groups in one call.
            old: results of groups that need not be computed.
            sums: keeps partial sums from one call to the next; the result is the same without.

        Returns:
            for each group [B, out / groups, H, W].
        """
        if whole:
            outputs = self._folded_groups(pieces, range(self.groups), modulations, upsample, None)
            # The old ones are equal, and what was computed from them before can be told to be the same.
            return tuple(old.get(group, out) for group, out in enumerate(outputs.chunk(self.groups, dim=1)))
        return tuple(
            old[group] if group in old else self._folded_groups(pieces, [group], modulations, upsample, sums)
            for group in range(self.groups)
        )

    def _folded_groups(
        self,
        pieces: Sequence[Tensor],
        groups: Sequence[int],
        modulations: Mapping[str, FoldedModulation],
        upsample: bool,
        sums: PartialSums | None,
    ) -> Tensor:
        """Some neighbouring groups of the block as one grouped convolution [B, len(groups) * out / g, H, W]."""

        def convolved(name: str, slope: float | None) -> list[Tensor]:
            """What is to be added up: the convolution of both parts of the only group, or all in one."""
            modulation, convolution = modulations[name], getattr(self, _NORMS[name])
            parts = split_into_parts(pieces, modulation.widths)
            in_group = len(parts) // self.groups
            numbers = range(groups[0] * in_group, (groups[-1] + 1) * in_group)

            def scaled(number: int) -> Tensor:
                channels = parts[number].channels
                return modulation.apply_group(channels, number, upsample=upsample, slope=slope)

            if in_group == 1 or len(groups) > 1:
                x = _concatenated([scaled(number) for number in numbers])
                return [convolution.forward_groups(x, groups[0], len(groups))]
            first, second = numbers
            cut = modulation.widths[first]
            compute = {
                first: lambda: convolution.forward_channels(scaled(first), groups[0], 0),
                second: lambda: convolution.forward_channels(scaled(second), groups[0], cut),
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
        y = self.conv_1.forward_groups(_concatenated(parts), groups[0], len(groups))
        if self.has_skip_convolution:
            for skip in convolved("norm_s", None):
                y.add_(skip)
            return y
        inputs = split_into_parts(pieces, [self.conv_0.in_channels // self.groups] * self.groups)
        start, step = 0, 2 if upsample else 1
        pixels = y.permute(0, 2, 3, 1)
        cells = pixels.unflatten(2, (-1, step)).unflatten(1, (-1, step))
        for piece in (piece for group in groups for piece in inputs[group].channels):
            end = start + piece.shape[1]
            cells[..., start:end].add_(piece.permute(0, 2, 3, 1)[:, :, None, :, None])
            start = end
        return y


def _concatenated(parts: Sequence[Tensor]) -> Tensor:
    """[B, c, H, W] each, along the channels, channels_last."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat([part.permute(0, 2, 3, 1) for part in parts], dim=3).permute(0, 3, 1, 2)
