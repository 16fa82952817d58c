"""The per-pixel discriminator: a U-Net that says of each pixel which class it shows, or that it is fake.

After Schoenfeld et al., "You Only Need Adversarial Supervision for Semantic Image Synthesis" (ICLR 2021). The widths
and the blocks are this project's, chosen to train on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.models.layers import LEAKY_SLOPE, GroupedConv2d, initialise_network, leaky_relu

# Of the last convolution's random weights: at 0.02, that of the other networks, the features would learn slowly.
_LAST_GAIN = 0.3
# Channels at full size, half size, ..., as multiples of the width; most of the time goes into the first.
_MULTIPLES = (1, 2, 4, 4, 8)


class HasSegmentationDiscriminator(Protocol):
    """What the configuration of any system says of a discriminator that segments."""

    @property
    def num_classes(self) -> int: ...

    @property
    def image_size(self) -> tuple[int, int]: ...

    @property
    def discriminator_width(self) -> int: ...

    @property
    def discriminator_spectral_norm(self) -> bool: ...


class _Convolution(GroupedConv2d):
    """A convolution that spectral normalisation leaves a largest gain of 2, not of 1.

    Random weights of largest singular value 1, and LeakyReLU, each take away about a third of a signal; without any
    other norm the features of a picture would end 10 times smaller than it, and their fine details would be learned
    late.
    """

    gain = 2.0

    def initialise(self, gain: float, generator: torch.Generator | None = None) -> None:
        """Do as :meth:`GroupedConv2d.initialise`, with a gain of 1: no norm behind would take another one out."""
        super().initialise(1.0, generator)


class DownBlock(nn.Module):
    """Residual block to half the height and width: 3x3 convolution, 2x2 average, 3x3 convolution."""

    def __init__(self, in_channels: int, out_channels: int, spectral_norm: bool) -> None:
        super().__init__()
        self.conv_0 = _Convolution(in_channels, in_channels, spectral_norm=spectral_norm)
        self.conv_1 = _Convolution(in_channels, out_channels, spectral_norm=spectral_norm)
        self.shortcut = _shortcut(in_channels, out_channels, spectral_norm)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, out, H / 2, W / 2], rounded up, for x [B, in, H, W]."""
        inner = leaky_relu(self.conv_0(F.leaky_relu(x, LEAKY_SLOPE)))
        return self.conv_1(_halved(inner)) + self.shortcut(_halved(x))


class UpBlock(nn.Module):
    """Residual block to twice the height and width, which also sees the encoder's features of that size."""

    def __init__(self, below_channels: int, out_channels: int, spectral_norm: bool) -> None:
        super().__init__()
        # Apart, at the size of each: one convolution of both, enlarged and joined, would cost twice as much.
        self.conv_below = _Convolution(below_channels, out_channels, spectral_norm=spectral_norm)
        self.conv_beside = _Convolution(out_channels, out_channels, spectral_norm=spectral_norm)
        self.conv_1 = _Convolution(out_channels, out_channels, spectral_norm=spectral_norm)
        self.shortcut = _shortcut(below_channels, out_channels, spectral_norm)

    def forward(self, below: Tensor, beside: Tensor) -> Tensor:
        """Return [B, out, H, W] for decoder features [B, below, h, w] and encoder features [B, out, H, W]."""
        inner = _enlarged(self.conv_below(F.leaky_relu(below, LEAKY_SLOPE)), beside)
        inner = inner + self.conv_beside(F.leaky_relu(beside, LEAKY_SLOPE))
        return self.conv_1(leaky_relu(inner)) + _enlarged(self.shortcut(below), beside)


class SegmentationDiscriminator(nn.Module):
    """U-Net of residual blocks, spectrally normalised but for the last convolution, without any other norm.

    The picture alone goes in: what its label map is, the discriminator is to say. The encoder halves the picture until
    its smaller side is 4 to 7 pixels. Features have w channels at full size, then 2w, 4w, 4w and 8w.

    Args:
        config: says how many classes there are, the size of the pictures, which sets the depth, and w.
        generator: draws the weights.

    Attributes:
        class_axes: by name of a tensor, the axis along which the classes come first.
    """

    class_axes: ClassVar[Mapping[str, int]] = {"last.weight": 0, "last.bias": 0}

    def __init__(
        self, config: HasSegmentationDiscriminator, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        norm, width = config.discriminator_spectral_norm, config.discriminator_width
        depth = max(1, (min(config.image_size) // 4).bit_length() - 1)
        channels = [width * _MULTIPLES[min(level, len(_MULTIPLES) - 1)] for level in range(depth + 1)]
        self.first = _Convolution(3, width, spectral_norm=norm)
        self.down = nn.ModuleList(
            DownBlock(channels[level], channels[level + 1], norm) for level in range(depth)
        )
        self.up = nn.ModuleList(UpBlock(channels[level + 1], channels[level], norm) for level in range(depth))
        self.last = GroupedConv2d(width, config.num_classes + 1, 1)
        if generator is None:
            generator = torch.Generator().manual_seed(0)
        initialise_network(self, generator)
        if not self.last.weight.is_meta:
            self.last.initialise(_LAST_GAIN, generator)

    @property
    def depth(self) -> int:
        """How many times pictures are halved."""
        return len(self.down)

    def cut_to(self, depth: int) -> None:
        """Leave out the levels below ``depth`` halvings: it becomes the network for pictures of a smaller size."""
        self.down, self.up = self.down[:depth], self.up[:depth]

    def features(self, picture: Tensor) -> list[Tensor]:
        """Return what :meth:`forward` is made from, and its result, for pictures [B, 3, H, W] of any size.

        Returns:
            The decoder's features from the smallest size to the full one, then the logits.
        """
        encoded = [self.first(picture)]
        for down in self.down:
            encoded.append(down(encoded[-1]))
        found = [encoded[-1]]
        for level in reversed(range(len(self.up))):
            found.append(self.up[level](found[-1], encoded[level]))
        return [*found, self.last(F.leaky_relu(found[-1], LEAKY_SLOPE))]

    def forward(self, picture: Tensor) -> Tensor:
        """Return logits [B, N + 1, H, W], the N classes, then "fake", for pictures [B, 3, H, W] of any size."""
        return self.features(picture)[-1]


def _shortcut(in_channels: int, out_channels: int, spectral_norm: bool) -> nn.Module:
    if in_channels == out_channels:
        return nn.Identity()
    return _Convolution(in_channels, out_channels, 1, bias=False, spectral_norm=spectral_norm)


def _halved(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2, ceil_mode=True)


def _enlarged(x: Tensor, like: Tensor) -> Tensor:
    """Enlarge (nearest) to twice the size; where the larger one is odd, without the last row or column."""
    return F.interpolate(x, scale_factor=2.0)[:, :, : like.shape[2], : like.shape[3]]
