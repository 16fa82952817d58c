"""The conditional group block (section 3.3, Fig. 2)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from groupdnet_hub.networks.cg_norm import CGNorm, Modulation
from groupdnet_hub.networks.layers import LEAKY_SLOPE, GroupedConv2d
from groupdnet_hub.networks.modulation import LabelLevel


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

    def modulations(self, level: LabelLevel) -> dict[str, Modulation]:
        """gamma and beta of every CG-Norm of the block for one batch of label maps."""
        names = ("norm_0", "norm_1", "norm_s") if self.has_skip_convolution else ("norm_0", "norm_1")
        return {name: getattr(self, name).modulation(level) for name in names}

    def forward(self, x: Tensor, modulations: Mapping[str, Modulation]) -> Tensor:
        """x [B, in, H, W] and :meth:`modulations` at its resolution -> [B, out, H, W]."""
        skip = x
        if self.has_skip_convolution:
            skip = self.conv_s(modulations["norm_s"].apply(self.norm_s.norm(x)))
        y = self.conv_0(modulations["norm_0"].apply(self.norm_0.norm(x), LEAKY_SLOPE))
        y = self.conv_1(modulations["norm_1"].apply(self.norm_1.norm(y), LEAKY_SLOPE))
        return skip + y
