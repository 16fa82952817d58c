"""Conditional group normalisation and the block that is made of it (section 3.3, Fig. 2)."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.config.decoder_layout import BlockConfig
from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.models.layers import GroupedConv2d, leaky_relu


def label_input(label: Tensor, edges: Tensor | None, class_slots: int, dtype: torch.dtype) -> Tensor:
    """Return label maps as CG-Norm's convolutions read them.

    Args:
        label: int64 [B, H, W], the slot of each pixel's class.
        edges: instance edge maps [B, 1, H, W], for a network that reads them.
        class_slots: number of class slots.
        dtype: type of the result.

    Returns:
        [B, class slots, H, W], one-hot; with edges [B, 2 * class slots, H, W], where each slot is followed by the
        edge map (c0, edge, c1, edge, ...).
    """
    B, H, W = label.shape
    one_hot = torch.zeros(B, class_slots, H, W, dtype=dtype, device=label.device).scatter_(
        1, label[:, None], 1
    )
    if edges is None:
        return one_hot
    return torch.stack((one_hot, edges.to(dtype).expand_as(one_hot)), dim=2).flatten(1, 2)


class CGNorm(nn.Module):
    """Conditional group normalisation: SPADE with grouped convolutions (Eq. 3 to 5).

    ``norm`` is batch normalisation without affine parameters (eps 1e-5, momentum 0.1), or group normalisation with
    ``norm_kind="group"``. It is an ordinary ``nn.BatchNorm2d``, so that training can convert it to its synchronised
    form.

    Args:
        channels: of the features that are normalised.
        norm_groups: groups of the convolution that made them, for group normalisation.
        block: widths and groups of the convolutions.
        config: the network that the norm is part of.

    Attributes:
        working: weight and bias of gamma and beta in one, that a training step lends
            (:mod:`groupdnet_hub.models.fast.working_weights`).
    """

    working: tuple[Tensor, Tensor] | None

    def __init__(self, channels: int, norm_groups: int, block: BlockConfig, config: GroupDNetConfig) -> None:
        super().__init__()
        self.working = None
        self.norm: nn.Module = (
            nn.BatchNorm2d(channels, affine=False)
            if config.norm_kind == "batch"
            else nn.GroupNorm(norm_groups, channels, affine=False)
        )
        self.shared = GroupedConv2d(config.label_channels, block.hidden_channels, groups=block.label_groups)
        self.gamma = GroupedConv2d(block.hidden_channels, channels, groups=block.modulation_groups)
        self.beta = GroupedConv2d(block.hidden_channels, channels, groups=block.modulation_groups)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Normalise features and modulate them by their label map (Eq. 5).

        Args:
            x: F^i of the paper, [B, C, H, W].
            labels: :func:`label_input` at the same resolution, [B or 1, label channels, H, W].

        Returns:
            F^o of the paper, [B, C, H, W].
        """
        hidden = F.relu(self.shared(labels))
        gamma, beta = self.gamma(hidden), self.beta(hidden)
        # The paper's gamma is 1 + gamma here, as in the authors' network, so that it starts near 1.
        return self.norm(x) * (1 + gamma) + beta


class CGBlock(nn.Module):
    """A residual block of two grouped 3x3 convolutions, each behind a CG-Norm and an activation (Fig. 2).

    Where the number of channels changes, the skip is a 1x1 convolution behind a CG-Norm, without activation.

    Args:
        in_channels: of the input.
        block: output channels, groups and the norms' widths.
        config: the network that the block is part of.
        in_groups: groups of the convolution that made the input.
    """

    def __init__(self, in_channels: int, block: BlockConfig, config: GroupDNetConfig, in_groups: int) -> None:
        super().__init__()
        self.groups, self.in_groups = block.groups, in_groups
        middle = min(in_channels, block.out_channels)
        norm = partial(CGNorm, block=block, config=config)
        convolution = partial(GroupedConv2d, groups=block.groups, spectral_norm=config.spectral_norm)
        self.norm_0 = norm(in_channels, in_groups)
        self.conv_0 = convolution(in_channels, middle)
        self.norm_1 = norm(middle, block.groups)
        self.conv_1 = convolution(middle, block.out_channels)
        self.has_skip_convolution = in_channels != block.out_channels
        if self.has_skip_convolution:
            self.norm_s = norm(in_channels, in_groups)
            self.conv_s = convolution(in_channels, block.out_channels, 1, bias=False)

    def forward(self, x: Tensor, labels: Tensor) -> Tensor:
        """Return [B, out, H, W] for x [B, in, H, W] and its :func:`label_input` [B or 1, label channels, H, W]."""
        y = self.conv_0(leaky_relu(self.norm_0(x, labels)))
        y = self.conv_1(leaky_relu(self.norm_1(y, labels)))
        skip = self.conv_s(self.norm_s(x, labels)) if self.has_skip_convolution else x
        return skip + y
