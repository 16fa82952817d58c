"""pix2pixHD's global generator (Wang et al., "High-Resolution Image Synthesis and Semantic Manipulation with
Conditional GANs", CVPR 2018): a residual network between downsampling and upsampling, without any latent code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.baselines.base import BaselineSystem, LabelInput, TransposedConv2d, expanded
from groupdnet_hub.baselines.config import BaselineConfig
from groupdnet_hub.config.cost import Cost, CostTally
from groupdnet_hub.config.validation import check_int
from groupdnet_hub.models.layers import GroupedConv2d, initialise_network


@dataclass(frozen=True)
class Pix2PixHDConfig(BaselineConfig):
    """Everything that fixes the networks of a pix2pixHD.

    Attributes:
        downsamplings: stride-2 convolutions in front of the residual blocks.
        residual_blocks: number of these.
    """

    system_key: ClassVar[str | None] = "pix2pixHD"

    downsamplings: int = 3
    residual_blocks: int = 9

    @property
    def size_factor(self) -> int:
        """What both sides of a picture must be multiples of."""
        return 2**self.downsamplings

    @property
    def cost(self) -> Cost:
        """What drawing a picture costs."""
        tally = CostTally()
        labels, width, (height, length) = self.label_channels, self.width, self.image_size
        pixels = height * length
        tally.convolve(labels, width, pixels, kernel=7)
        # The label input, also with its borders, stays while all is drawn.
        held = labels * (pixels + (height + 6) * (length + 6))
        tally.hold(held + 2 * width * pixels)
        for _ in range(self.downsamplings):
            pixels, width = pixels // 4, 2 * width
            tally.convolve(width // 2, width, pixels)
            tally.hold(held + (2 * width + 2 * width) * pixels)
        for _ in range(2 * self.residual_blocks):
            tally.convolve(width, width, pixels)
        tally.hold(held + 5 * width * pixels)
        for _ in range(self.downsamplings):
            tally.convolve(width, width // 2, pixels)  # transposed
            pixels, width = 4 * pixels, width // 2
            tally.hold(held + 3 * width * pixels)
        tally.convolve(width, 3, pixels, kernel=7)
        return tally.cost()

    def __post_init__(self) -> None:
        check_int(self.downsamplings, "downsamplings", 1, 5)
        check_int(self.residual_blocks, "residual_blocks", 1, 64)
        super().__post_init__()


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with reflected borders and instance normalisation, added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = GroupedConv2d(channels, channels, padding=0)
        self.second = GroupedConv2d(channels, channels, padding=0)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, channels, H, W] for the same."""
        y = F.relu(F.instance_norm(self.first(F.pad(x, (1, 1, 1, 1), mode="reflect"))))
        return x + F.instance_norm(self.second(F.pad(y, (1, 1, 1, 1), mode="reflect")))


class Pix2PixHD(BaselineSystem):
    """Label map to picture, one picture for each map.

    Args:
        config: the network and its label set.
        generator: draws the initial weights; by default they come from a generator seeded with 0.
    """

    config: Pix2PixHDConfig
    config_class = Pix2PixHDConfig

    def __init__(self, config: Pix2PixHDConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__(config)
        widths = [config.width * 2**i for i in range(config.downsamplings + 1)]
        self.first = GroupedConv2d(config.label_channels, widths[0], 7, padding=0)
        self.down = nn.ModuleList(GroupedConv2d(n, 2 * n, stride=2) for n in widths[:-1])
        self.blocks = nn.ModuleList(ResidualBlock(widths[-1]) for _ in range(config.residual_blocks))
        self.up = nn.ModuleList(
            TransposedConv2d(2 * n, n, 3, stride=2, padding=1, output_padding=1) for n in widths[-2::-1]
        )
        self.to_rgb = GroupedConv2d(widths[0], 3, 7, padding=0)
        initialise_network(self, generator)

    def draw(self, codes: Tensor, prepared: LabelInput) -> Tensor:
        """Draw as many pictures as there are (empty) codes."""
        x = self.first(F.pad(prepared.channels, (3, 3, 3, 3), mode="reflect"))
        x = F.relu(F.instance_norm(x))
        for layer in self.down:
            x = F.relu(F.instance_norm(layer(x)))
        for block in self.blocks:
            x = block(x)
        for layer in self.up:
            x = F.relu(F.instance_norm(layer(x)))
        picture = torch.tanh(self.to_rgb(F.pad(x, (3, 3, 3, 3), mode="reflect")))
        return expanded(picture, len(codes))

    def forward(
        self, image: Tensor, label: Tensor, instance: Tensor | None = None, noise: Tensor | None = None
    ) -> tuple[Tensor, None]:
        """Do the generator's training step: (picture [B, 3, H, W], no posterior)."""
        return self.decode(image.new_zeros(len(image), 0), label, instance), None
