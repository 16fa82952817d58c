"""Conditional group normalisation (section 3.3, Fig. 2)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.networks.folding import fold, folded_rows
from groupdnet_hub.networks.label_windows import LabelLevel, rows_from_patches, window_hidden, window_patches
from groupdnet_hub.networks.layers import GroupedConv2d
from groupdnet_hub.networks.modulation import FoldedModulation, Modulation


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
            hidden = self._hidden(level)
            return Modulation(1 + self.gamma(hidden), self.beta(hidden), None)
        patches = window_patches(level, self._hidden(level), self.gamma.groups)
        gamma = rows_from_patches(patches, self.gamma.weight, self.gamma.bias)
        beta = rows_from_patches(patches, self.beta.weight, self.beta.bias)
        return Modulation(1 + gamma, beta, level.windows.index)

    def _hidden(self, level: LabelLevel) -> Tensor:
        """The hidden layer of the whole maps [B, hidden, H, W], or of their different windows [U3 + 1, hidden]."""
        if level.windows is None:
            return F.relu(self.shared(level.label_input(self.class_slots, self.shared.weight.dtype)))
        return window_hidden(level, self.shared.weight, self.shared.bias, self.shared.groups)

    def folded_modulation(
        self, level: LabelLevel, divisor: Tensor | None, widths: Sequence[int]
    ) -> FoldedModulation:
        """:meth:`modulation` with the running statistics folded in (batch norm only).

        Args:
            divisor: the singular value by which the convolution behind divides its weight; positive.
            widths: channels of each part of that convolution's input, in order.
        """
        norm = self.norm
        if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None or norm.running_var is None:
            raise TypeError("only a batch norm with running statistics can be folded")
        gamma, beta = folded_rows(level, self._hidden(level), (self.gamma, self.beta))
        tables = fold(norm, gamma, self.gamma.bias, beta, self.beta.bias, divisor, widths)
        index = None if level.windows is None else level.windows.index
        B, H, W = level.symbols.shape
        return FoldedModulation(tables, index, (B, H, W))

    def forward(self, x: Tensor, level: LabelLevel) -> Tensor:
        """x [B, C, H, W] and the label maps at its resolution -> [B, C, H, W]."""
        return self.modulation(level).apply(self.norm(x))
