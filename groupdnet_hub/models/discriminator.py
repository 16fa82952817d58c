"""The multi-scale patch discriminator (Fig. 7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.models.layers import LEAKY_SLOPE, GroupedConv2d, initialise_network, leaky_relu


class HasDiscriminator(Protocol):
    """What the configuration of any system says of its discriminator."""

    @property
    def discriminator_label_channels(self) -> int: ...

    @property
    def discriminator_width(self) -> int: ...

    @property
    def discriminator_scales(self) -> int: ...

    @property
    def discriminator_spectral_norm(self) -> bool: ...

    @property
    def discriminator_norm(self) -> str: ...


class PatchDiscriminator(nn.Module):
    """Five 4x4 convolutions, padding 2; widths w, 2w, 4w, 8w, 1; strides 2, 2, 2, 1, 1.

    The three in the middle are spectrally normalised, have no bias and are followed by instance normalisation.

    Args:
        in_channels: label channels and the picture's three.
        width: w.
        spectral_norm: spectral normalisation of the middle, or without instance normalisation of all five.
        norm: ``instance`` (Fig. 7), or ``none``. Instance normalisation takes a picture's own contrast out of every
            layer: of a picture that is mostly flat backdrop, hardly anything is left. Without it the layers in the
            middle have a bias, and what keeps the gradients in bounds is spectral normalisation of all layers (Miyato
            et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018).

    Attributes:
        class_axes: by name of a tensor, the axis along which the classes come first.
    """

    class_axes: ClassVar[Mapping[str, int]] = {"first.weight": 1}

    def __init__(self, in_channels: int, width: int, spectral_norm: bool, norm: str = "instance") -> None:
        super().__init__()
        self.normalised = norm == "instance"
        outer = spectral_norm and not self.normalised
        self.first = GroupedConv2d(in_channels, width, 4, stride=2, padding=2, spectral_norm=outer)
        self.middle = nn.ModuleList(
            GroupedConv2d(
                width * before,
                width * after,
                4,
                stride=stride,
                padding=2,
                bias=not self.normalised,
                spectral_norm=spectral_norm,
            )
            for before, after, stride in ((1, 2, 2), (2, 4, 2), (4, 8, 1))
        )
        self.last = GroupedConv2d(8 * width, 1, 4, padding=2, spectral_norm=outer)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the four hidden features and the patch logits [B, 1, h, w] for x [B, channels, H, W]."""
        features = [leaky_relu(self.first(x))]
        for layer in self.middle:
            x = layer(features[-1])
            # Not in place behind the norm, whose result is a view: its gradient would be copied several times.
            features.append(
                F.leaky_relu(F.instance_norm(x), LEAKY_SLOPE) if self.normalised else leaky_relu(x)
            )
        return [*features, self.last(features[-1])]


class MultiScaleDiscriminator(nn.Module):
    """The same network, with weights of its own, on the input at full size, half size, ..."""

    def __init__(self, config: HasDiscriminator, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            PatchDiscriminator(
                config.discriminator_label_channels + 3,
                config.discriminator_width,
                config.discriminator_spectral_norm,
                config.discriminator_norm,
            )
            for _ in range(config.discriminator_scales)
        )
        initialise_network(self, generator)

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        """Return, for label input and picture [B, C (+ 1) + 3, H, W], each scale's features, the logits last."""
        outputs = []
        for i, scale in enumerate(self.scales):
            if i:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            outputs.append(scale(x))
        return outputs
