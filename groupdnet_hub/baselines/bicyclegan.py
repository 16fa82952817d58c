"""BicycleGAN (Zhu et al., "Toward Multimodal Image-to-Image Translation", NeurIPS 2017)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from groupdnet_hub.baselines.base import BaselineSystem, LabelInput, expanded
from groupdnet_hub.baselines.unet import UNet, UNetConfig
from groupdnet_hub.config.cost import Cost, CostTally
from groupdnet_hub.config.validation import MAX_CHANNELS, check_int
from groupdnet_hub.data.unknown import grey_unknown
from groupdnet_hub.models.encoder import Gaussian
from groupdnet_hub.models.layers import LEAKY_SLOPE, GroupedConv2d, initialise_network

# The encoder halves a picture down to this, and then takes the mean.
_SMALLEST_SIDE = 8


@dataclass(frozen=True)
class BicycleGANConfig(UNetConfig):
    """Everything that fixes the networks of a BicycleGAN.

    Attributes:
        encoder_width: output channels of the encoder's first convolution.
    """

    system_key: ClassVar[str | None] = "BicycleGAN"

    encoder_width: int = 64

    @property
    def encoder_widths(self) -> list[int]:
        """Channels behind the encoder's first convolution, and behind each of its blocks."""
        blocks = max(1, (min(self.image_size) // (2 * _SMALLEST_SIDE)).bit_length() - 1)
        return [self.encoder_width * min(i + 1, 4) for i in range(blocks + 1)]

    @property
    def cost(self) -> Cost:
        """What encoding a photo and drawing a picture cost."""
        tally = CostTally()
        self.add_unet(tally)
        widths, height, width = self.encoder_widths, self.image_size[0] // 2, self.image_size[1] // 2
        picture, pixels = 3 * 4 * height * width, height * width
        tally.convolve(3, widths[0], pixels, kernel=4)
        tally.hold(picture + widths[0] * pixels)
        for before, after in itertools.pairwise(widths):
            tally.convolve(before, before, pixels)
            tally.convolve(before, after, pixels)
            tally.hold(picture + (3 * before + after) * pixels)
            height, width = height // 2, width // 2
            pixels = height * width
            tally.convolve(before, after, pixels, kernel=1)
        for _ in ("mean", "logvar"):
            tally.convolve(widths[-1], self.latent_channels, 1, kernel=1)
        return tally.cost()

    def __post_init__(self) -> None:
        check_int(self.encoder_width, "encoder_width", 1, MAX_CHANNELS // 4)
        super().__post_init__()


class _ResidualHalving(nn.Module):
    """A pre-activation residual block whose two ways end in a mean over 2x2 pixels."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = GroupedConv2d(in_channels, in_channels)
        self.second = GroupedConv2d(in_channels, out_channels)
        self.skip = GroupedConv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, out, H / 2, W / 2] for x [B, in, H, W]."""
        y = self.first(F.leaky_relu(F.instance_norm(x), LEAKY_SLOPE))
        y = self.second(F.leaky_relu(F.instance_norm(y), LEAKY_SLOPE))
        return F.avg_pool2d(y, 2) + self.skip(F.avg_pool2d(x, 2))


class ResNetEncoder(nn.Module):
    """A picture to the mean and log-variance of one latent code."""

    def __init__(self, config: BicycleGANConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        widths = config.encoder_widths
        self.first = GroupedConv2d(3, widths[0], 4, stride=2, padding=1)
        self.blocks = nn.ModuleList(
            _ResidualHalving(before, after) for before, after in itertools.pairwise(widths)
        )
        self.mean = GroupedConv2d(widths[-1], config.latent_channels, 1)
        self.logvar = GroupedConv2d(widths[-1], config.latent_channels, 1)
        initialise_network(self, generator)

    def forward(self, image: Tensor) -> Gaussian:
        """Return the Gaussian over codes [B, 1, z, 1, 1] of pictures [B, 3, H, W] in [-1, 1]."""
        x = self.first(image)
        for block in self.blocks:
            x = block(x)
        x = F.leaky_relu(x, LEAKY_SLOPE).mean(dim=(2, 3), keepdim=True)
        return Gaussian(self.mean(x)[:, None], self.logvar(x)[:, None])


class BicycleGAN(BaselineSystem):
    """Label map and a latent code to picture, and a picture back to its code.

    Args:
        config: the networks and their label set.
        generator: draws the initial weights; by default they come from a generator seeded with 0.
    """

    config: BicycleGANConfig
    config_class = BicycleGANConfig

    def __init__(self, config: BicycleGANConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__(config)
        if generator is None:
            generator = torch.Generator().manual_seed(0)
        self.encoder = ResNetEncoder(config, generator=generator)
        self.unet = UNet(config, generator=generator)

    @property
    def has_encoder(self) -> bool:
        """True."""
        return True

    def encode(self, image: Tensor, label: Tensor) -> Gaussian:
        """Return the posterior of a picture's code: ``mean`` and ``logvar`` [B, 1, z, 1, 1].

        Args:
            image: [B, 3, H, W] in [-1, 1].
            label: int64 [B, H, W]; only its size is looked at.

        Raises:
            ValueError: for shapes that do not fit each other or the model.
        """
        image, _ = self._checked_pair(image, label)
        return self.encoder(image)

    def draw(self, codes: Tensor, prepared: LabelInput) -> Tensor:
        """Draw codes on label input."""
        return self.unet(expanded(prepared.channels, len(codes)), codes.flatten(1))

    def forward(
        self,
        image: Tensor,
        label: Tensor,
        instance: Tensor | None = None,
        noise: Tensor | None = None,
        unknown: Tensor | None = None,
    ) -> tuple[Tensor, Gaussian, Tensor, Tensor]:
        """Do the generator's training step, both halves of the bicycle.

        Args:
            image: float [B, 3, H, W] in [-1, 1].
            label: int64 [B, H, W].
            instance: int64 [B, H, W], where the system takes instance maps.
            noise: [B, 2, 1, z, 1, 1], standard normal: that of the posterior's sample, and a random code; drawn here
                if not given.
            unknown: bool [B, H, W], pixels at which the encoder sees grey instead of the drawn picture.

        Returns:
            (picture [B, 3, H, W] of the encoded code (cVAE-GAN), posterior,
            picture of the random code (cLR-GAN), that code as the encoder reads it from the picture [B, 1, z, 1, 1]:
            its gradient reaches the generator only).
        """
        posterior = self.encode(image, label)
        if noise is None:
            noise = torch.stack((torch.randn_like(posterior.mean), torch.randn_like(posterior.mean)), dim=1)
        prepared = self.prepare(label, instance)
        encoded = posterior.with_noise(noise[:, 0])
        reconstruction, sample = self.decode(encoded, prepared), self.decode(noise[:, 1], prepared)
        frozen = {name: value.detach() for name, value in self.encoder.named_parameters()}
        recovered = functional_call(self.encoder, frozen, (grey_unknown(sample, unknown),)).mean
        return reconstruction, posterior, sample, recovered
