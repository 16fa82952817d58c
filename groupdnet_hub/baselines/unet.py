"""The U-Net that BicycleGAN and DSCGAN draw with, a latent code added to the input of each of its levels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.baselines.base import TransposedConv2d
from groupdnet_hub.baselines.config import BaselineConfig
from groupdnet_hub.config.cost import Cost, CostTally
from groupdnet_hub.config.validation import check_int
from groupdnet_hub.models.layers import LEAKY_SLOPE, GroupedConv2d, initialise_network

_MAX_LEVELS = 8


@dataclass(frozen=True)
class UNetConfig(BaselineConfig):
    """What fixes a U-Net with a latent code.

    Attributes:
        latent_channels: z, length of the code.
    """

    latent_channels: int = 8

    @property
    def levels(self) -> int:
        """Halvings: down to one pixel on the shorter side, at most 8 ("U-Net 256")."""
        return min(_MAX_LEVELS, min(self.image_size).bit_length() - 1)

    @property
    def size_factor(self) -> int:
        """What both sides of a picture must be multiples of."""
        return 2**self.levels

    @property
    def code_shape(self) -> tuple[int, ...]:
        """(1, z, 1, 1)."""
        return (1, self.latent_channels, 1, 1)

    @property
    def cost(self) -> Cost:
        """What drawing a picture costs."""
        tally = CostTally()
        self.add_unet(tally)
        return tally.cost()

    @property
    def widths(self) -> list[int]:
        """Channels behind each halving."""
        return [self.width * min(2**i, 8) for i in range(self.levels)]

    def add_unet(self, tally: CostTally) -> None:
        """Add the cost of a :class:`UNet`."""
        z, widths, pixels = self.latent_channels, self.widths, self.image_size[0] * self.image_size[1]
        channels = self.label_channels
        features = channels * pixels
        for width in widths:
            # A level's input, and the same with the code beside it.
            tally.hold(features + (2 * channels + z) * pixels + width * pixels // 4)
            pixels //= 4
            tally.convolve(channels + z, width, pixels, kernel=4)
            features, channels = features + width * pixels, width
        for i in reversed(range(len(widths))):
            before = widths[i] if i == len(widths) - 1 else 2 * widths[i]
            after = widths[i - 1] if i else 3
            tally.convolve(before, after, pixels, kernel=4)  # transposed
            tally.hold(features + 2 * before * pixels + 4 * 2 * after * pixels)
            pixels *= 4

    def __post_init__(self) -> None:
        check_int(self.latent_channels, "latent_channels", 1, 1024)
        super().__post_init__()
        check_int(min(self.image_size), "the smaller side of image_size", 16, 8192)


class UNet(nn.Module):
    """4x4 convolutions of stride 2 down, transposed ones up, with skip connections between equal sizes."""

    def __init__(self, config: UNetConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        z = config.latent_channels
        widths = config.widths
        inputs = [config.label_channels, *widths[:-1]]
        self.down = nn.ModuleList(
            GroupedConv2d(before + z, after, 4, stride=2, padding=1)
            for before, after in zip(inputs, widths, strict=True)
        )
        # From the innermost level outwards; each but the innermost also reads what its level handed across.
        outputs = [3, *widths[:-1]]
        self.up = nn.ModuleList(
            TransposedConv2d(n if i == len(widths) - 1 else 2 * n, out, 4, stride=2, padding=1)
            for i, (n, out) in reversed(list(enumerate(zip(widths, outputs, strict=True))))
        )
        initialise_network(self, generator)

    def forward(self, channels: Tensor, codes: Tensor) -> Tensor:
        """Draw codes [B, z] on label input [B, C (+ 1), H, W] -> pictures [B, 3, H, W] in [-1, 1]."""
        features = []
        x = channels
        for i, layer in enumerate(self.down):
            x = x if i == 0 else F.leaky_relu(x, LEAKY_SLOPE)
            x = layer(torch.cat((x, codes[:, :, None, None].expand(-1, -1, *x.shape[2:])), dim=1))
            if 0 < i < len(self.down) - 1:
                x = F.instance_norm(x)
            features.append(x)
        features.pop()
        for layer in self.up[:-1]:
            x = F.instance_norm(layer(F.relu(x)))
            x = torch.cat((features.pop(), x), dim=1)
        return torch.tanh(self.up[-1](F.relu(x)))
