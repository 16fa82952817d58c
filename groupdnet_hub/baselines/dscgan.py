"""DSCGAN (Yang et al., "Diversity-Sensitive Conditional Generative Adversarial Networks", ICLR 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from groupdnet_hub.baselines.base import BaselineSystem, LabelInput, expanded
from groupdnet_hub.baselines.unet import UNet, UNetConfig


@dataclass(frozen=True)
class DSCGANConfig(UNetConfig):
    """Everything that fixes the network of a DSCGAN: BicycleGAN's generator, without an encoder."""

    system_key: ClassVar[str | None] = "DSCGAN"


class DSCGAN(BaselineSystem):
    """Label map and a latent code to picture, trained to draw different pictures for different codes.

    Args:
        config: the network and its label set.
        generator: draws the initial weights; by default they come from a generator seeded with 0.
    """

    config: DSCGANConfig
    config_class = DSCGANConfig

    def __init__(self, config: DSCGANConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__(config)
        self.unet = UNet(config, generator=generator)

    def draw(self, codes: Tensor, prepared: LabelInput) -> Tensor:
        """Draw codes on label input."""
        return self.unet(expanded(prepared.channels, len(codes)), codes.flatten(1))

    def forward(
        self, image: Tensor, label: Tensor, instance: Tensor | None = None, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Do the generator's training step: draw two codes on each label map.

        Args:
            image: only its batch size is looked at.
            label: int64 [B, H, W].
            instance: int64 [B, H, W], where the system takes instance maps.
            noise: [B, 2, 1, z, 1, 1], standard normal; drawn here if not given.

        Returns:
            Two batches of pictures [B, 3, H, W].
        """
        if noise is None:
            noise = torch.randn(len(image), 2, *self.config.code_shape).to(image)
        prepared = self.prepare(label, instance)
        return self.decode(noise[:, 0], prepared), self.decode(noise[:, 1], prepared)
