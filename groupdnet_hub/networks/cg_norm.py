"""Conditional group normalisation (section 3.3, Fig. 2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.networks.layers import GroupedConv2d
from groupdnet_hub.networks.modulation import LabelLevel, rows_from_patches, scale_and_shift, window_patches


@dataclass(frozen=True)
class Modulation:
    """scale = 1 + gamma and shift = beta of one CG-Norm on one batch of label maps.

    Attributes:
        scale, shift: [U, C] with an ``index`` [B, H, W] into them, or dense [B, C, H, W] without.
    """

    scale: Tensor
    shift: Tensor
    index: Tensor | None

    def apply(self, x: Tensor, slope: float | None = None) -> Tensor:
        """x [B, C, H, W] -> x * scale + shift, and LeakyReLU if ``slope`` is given.

        Maps of batch 1 serve any number of x.
        """
        if self.index is not None:
            return scale_and_shift(x, self.scale, self.shift, self.index, slope)
        out = torch.addcmul(self.shift.to(x.dtype), x, self.scale.to(x.dtype))
        return out if slope is None else F.leaky_relu(out, slope, inplace=True)


class CGNorm(nn.Module):
    """``Norm(x) * (1 + gamma) + beta``, gamma and beta from the label map by grouped convolutions (Eq. 4, 5).

    Norm is batch normalisation without affine (eps 1e-5, momentum 0.1), or group normalisation with
    ``norm_groups`` groups. ``nn.BatchNorm2d`` is an ordinary one, so that a training script can convert it to its
    synchronised form.
    """

    def __init__(
        self,
        channels: int,
        label_channels: int,
        class_slots: int,
        hidden_channels: int,
        label_groups: int,
        modulation_groups: int,
        norm_kind: str = "batch",
        norm_groups: int = 1,
    ) -> None:
        super().__init__()
        self.class_slots = class_slots
        self.norm: nn.Module = (
            nn.BatchNorm2d(channels, affine=False)
            if norm_kind == "batch"
            else nn.GroupNorm(norm_groups, channels, affine=False)
        )
        self.shared = GroupedConv2d(label_channels, hidden_channels, groups=label_groups)
        self.gamma = GroupedConv2d(hidden_channels, channels, groups=modulation_groups)
        self.beta = GroupedConv2d(hidden_channels, channels, groups=modulation_groups)

    def modulation(self, level: LabelLevel) -> Modulation:
        """gamma and beta for the label maps of ``level``, by look-up where that is cheaper (same result)."""
        if level.windows is None:
            hidden = F.relu(self.shared(level.label_input(self.class_slots, self.shared.weight.dtype)))
            return Modulation(1 + self.gamma(hidden), self.beta(hidden), None)
        patches = window_patches(
            level, self.shared.weight, self.shared.bias, self.shared.groups, self.gamma.groups
        )
        gamma = rows_from_patches(patches, self.gamma.weight, self.gamma.bias)
        beta = rows_from_patches(patches, self.beta.weight, self.beta.bias)
        return Modulation(1 + gamma, beta, level.windows.index)

    def forward(self, x: Tensor, level: LabelLevel) -> Tensor:
        """x [B, C, H, W] and the label maps at its resolution -> [B, C, H, W]."""
        return self.modulation(level).apply(self.norm(x))
