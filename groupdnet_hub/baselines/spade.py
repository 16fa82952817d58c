"""SPADE, and its variational form with an image encoder (VSPADE of Table 1).

Park et al., "Semantic Image Synthesis with Spatially-Adaptive Normalization", CVPR 2019. A SPADE block is a CG-Block
of one group, and so the decoder is GroupDNet's with other parts in front of its blocks.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.baselines.base import BaselineSystem
from groupdnet_hub.baselines.config import BaselineConfig
from groupdnet_hub.config.cost import Cost, CostTally
from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.config.network_cost import add_decoder, add_halvings
from groupdnet_hub.config.validation import MAX_CHANNELS, check_choice, check_int
from groupdnet_hub.data.labels import LabelSet, one_hot
from groupdnet_hub.models.code_placement import CodePlacement
from groupdnet_hub.models.encoder import Gaussian
from groupdnet_hub.models.fast.decoder import FastDecoder
from groupdnet_hub.models.fast.prepared_map import PreparedMap
from groupdnet_hub.models.inputs import checked_edges
from groupdnet_hub.models.layers import GroupedConv2d, initialise_network, leaky_relu


def ordinary_decoder(labels: Any, image_size: tuple[int, int], width: int, **more: Any) -> GroupDNetConfig:
    """Return the configuration of a decoder whose convolutions all have one group, with SPADE's hidden width of 2 w.

    Args:
        labels: anything with ``names`` and ``palette``.
        image_size: (height, width) of the pictures.
        width: w, channels of the last block (64 in the paper's SPADE).
        more: fields of :meth:`GroupDNetConfig.for_labels`.

    Raises:
        ValueError: for ``hidden_per_class``, since its norms know no classes.
    """
    if more.get("hidden_per_class") is not None:
        raise ValueError(
            f"hidden_per_class is {more['hidden_per_class']}, but an ordinary decoder's norms have one hidden layer "
            "for all classes, of twice the width: leave it out"
        )
    grouped = GroupDNetConfig.for_labels(labels, image_size, width, **more)
    blocks = tuple(
        replace(
            block,
            out_channels=width * multiple,
            groups=1,
            hidden_channels=2 * width,
            label_groups=1,
            modulation_groups=1,
        )
        for block, multiple in zip(grouped.blocks, _multiples(len(grouped.blocks)), strict=True)
    )
    return grouped.replace(
        blocks=blocks,
        fc_channels=blocks[0].out_channels,
        fc_groups=1,
        class_slots=grouped.num_classes,
    )


def _multiples(num_blocks: int) -> Sequence[int]:
    return [min(2 ** (num_blocks - 1 - i), 16) for i in range(num_blocks)]


@dataclass(frozen=True)
class SPADEConfig(BaselineConfig):
    """Everything that fixes the networks of a SPADE.

    Attributes:
        variational: with an image encoder and a latent vector (VSPADE).
        latent_channels: length of that vector.
        encoder_width: output channels of the encoder's first convolution.
        spectral_norm: spectral normalisation of encoder, decoder and discriminator.
    """

    system_key: ClassVar[str | None] = "SPADE"

    variational: bool = False
    latent_channels: int = 256
    encoder_width: int = 64
    spectral_norm: bool = True

    @property
    def system_name(self) -> str:
        """SPADE or VSPADE."""
        return "VSPADE" if self.variational else "SPADE"

    @property
    def discriminator_spectral_norm(self) -> bool:
        """As the generator."""
        return self.spectral_norm

    @property
    def code_shape(self) -> tuple[int, ...]:
        """(1, z, 1, 1) with an encoder, else (0,)."""
        return (1, self.latent_channels, 1, 1) if self.variational else (0,)

    @property
    def decoder(self) -> GroupDNetConfig:
        """The decoder as one of GroupDNet's."""
        labels = LabelSet(self.class_names, self.palette, self.ignore)
        return ordinary_decoder(
            labels,
            self.image_size,
            self.width,
            instance_edges=self.instance_edges,
            spectral_norm=self.spectral_norm,
        )

    @property
    def size_factor(self) -> int:
        """As many halvings as leave the first block 4 to 7 pixels."""
        return min(self.image_size) // min(self.decoder.latent_size)

    @property
    def cost(self) -> Cost:
        """What encoding a photo, of a VSPADE, and drawing a picture cost."""
        tally, decoder = CostTally(), self.decoder
        height, width = decoder.latent_size
        if self.variational:
            tally.convolve(self.latent_channels, decoder.fc_channels * height * width, 1, kernel=1)
            widths = [3, *(self.encoder_width * m for m in decoder.encoder_multipliers)]
            cells = add_halvings(tally, self.image_size, widths)
            for _ in ("mean", "logvar"):
                tally.convolve(widths[-1] * cells, self.latent_channels, 1, kernel=1)
        else:
            tally.convolve(self.label_channels, decoder.fc_channels, height * width)
        add_decoder(tally, decoder)
        return tally.cost()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.variational, "variational", (True, False))
        check_choice(self.spectral_norm, "spectral_norm", (True, False))
        check_int(self.latent_channels, "latent_channels", 1, MAX_CHANNELS)
        check_int(self.encoder_width, "encoder_width", 1, MAX_CHANNELS // 8)
        _ = self.decoder  # refuses sizes that cannot work


class SPADEDecoder(FastDecoder):
    """SPADE blocks behind the latent vector, or behind the smallest label map where there is none."""

    def __init__(self, config: SPADEConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__(config.decoder, generator=generator)
        height, width = self.config.latent_size
        channels = self.config.fc_channels
        self.variational = config.variational
        self.fc = (
            GroupedConv2d(config.latent_channels, channels * height * width, 1)
            if config.variational
            else GroupedConv2d(config.label_channels, channels)
        )
        initialise_network(self.fc, generator)

    def first_input(self, label: Tensor, edges: Tensor | None) -> Tensor | None:
        """Return the label input [B, C (+ 1), h, w] of the first convolution, where there is no latent vector."""
        if self.variational:
            return None
        channels = one_hot(label, self.config.num_classes, self.fc.weight.dtype, check=False)
        if edges is not None:
            channels = torch.cat((channels, edges.to(channels)), dim=1)
        return F.interpolate(channels, size=self.latent_size(label), mode="nearest")

    def first_features(
        self, codes: Tensor, size: tuple[int, int], first_input: CodePlacement | Tensor | None
    ) -> Tensor:
        """Return the input [B, fc channels, h, w] of the first block for codes [B, 1, z, 1, 1] (or [B, 0])."""
        if self.variational:
            height, width = self.config.latent_size
            x = self.fc(codes[:, 0]).view(len(codes), -1, height, width)
        else:
            assert isinstance(first_input, Tensor)
            x = self.fc(first_input).expand(len(codes), -1, -1, -1)
        return x.contiguous(memory_format=torch.channels_last)


class VectorEncoder(nn.Module):
    """A picture to the mean and log-variance of one latent vector: stride-2 convolutions and two linear layers."""

    def __init__(self, config: SPADEConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        decoder = config.decoder
        widths = [3, *(config.encoder_width * m for m in decoder.encoder_multipliers)]
        self.layers = nn.ModuleList(
            GroupedConv2d(before, after, stride=2, bias=False, spectral_norm=config.spectral_norm)
            for before, after in itertools.pairwise(widths)
        )
        features = widths[-1] * decoder.latent_size[0] * decoder.latent_size[1]
        # Linear layers, as convolutions of one pixel.
        self.mean = GroupedConv2d(features, config.latent_channels, 1)
        self.logvar = GroupedConv2d(features, config.latent_channels, 1)
        initialise_network(self, generator)

    def forward(self, image: Tensor) -> Gaussian:
        """Return the Gaussian over codes [B, 1, z, 1, 1] of pictures [B, 3, H, W] in [-1, 1]."""
        x = image
        for layer in self.layers:
            x = leaky_relu(F.instance_norm(layer(x)))
        x = x.contiguous().view(len(x), -1, 1, 1)
        return Gaussian(self.mean(x)[:, None], self.logvar(x)[:, None])


class SPADE(BaselineSystem):
    """Label map to picture by SPADE blocks; with ``variational`` also a latent vector, and an encoder for it.

    Args:
        config: the networks and their label set.
        generator: draws the initial weights; by default they come from a generator seeded with 0.
    """

    config: SPADEConfig
    config_class = SPADEConfig

    def __init__(self, config: SPADEConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__(config)
        if generator is None:
            generator = torch.Generator().manual_seed(0)
        self.encoder = VectorEncoder(config, generator=generator) if config.variational else None
        self.decoder = SPADEDecoder(config, generator=generator)

    @property
    def has_encoder(self) -> bool:
        """True for the variational one."""
        return self.config.variational

    def encode(self, image: Tensor, label: Tensor) -> Gaussian:
        """Return the posterior of the latent vector of a picture, of a VSPADE.

        Args:
            image: [B, 3, H, W] in [-1, 1].
            label: int64 [B, H, W]; only its size is looked at.

        Returns:
            Gaussian with ``mean`` and ``logvar`` [B, 1, z, 1, 1].

        Raises:
            ValueError: for a SPADE without encoder, and shapes that do not fit each other or the model.
        """
        if self.encoder is None:
            return super().encode(image, label)
        image, _ = self._checked_pair(image, label)
        return self.encoder(image)

    def prepare(self, label: Tensor, instance: Tensor | None = None) -> PreparedMap:
        """Return the label map's part of :meth:`decode`; see :meth:`BaselineSystem.prepare`."""
        label = self._checked_label(label)
        return self.decoder.prepare(label, checked_edges(instance, label, self.config.instance_edges))

    def draw(self, codes: Tensor, prepared: PreparedMap) -> Tensor:
        """Draw codes on a prepared label map."""
        if prepared.label.shape[0] not in (1, len(codes)):
            raise ValueError(f"{len(codes)} codes cannot be drawn on {prepared.label.shape[0]} label maps")
        return self.decoder(codes, prepared)

    def forward(
        self, image: Tensor, label: Tensor, instance: Tensor | None = None, noise: Tensor | None = None
    ) -> tuple[Tensor, Gaussian | None]:
        """Do the generator's training step: (picture [B, 3, H, W], posterior if there is an encoder).

        Args:
            image: float [B, 3, H, W] in [-1, 1].
            label: int64 [B, H, W].
            instance: int64 [B, H, W], where the system takes instance maps.
            noise: [B, 1, z, 1, 1], standard normal; drawn here if not given.
        """
        if self.encoder is None:
            return self.decode(image.new_zeros(len(image), 0), label, instance), None
        posterior = self.encode(image, label)
        if noise is None:
            noise = torch.randn_like(posterior.mean)
        codes = posterior.with_noise(noise)
        return self.decode(codes, label, instance), posterior

    def _checked_label(self, label: Tensor) -> Tensor:
        label = super()._checked_label(label)
        if self.config.variational and tuple(label.shape[1:]) != self.config.image_size:
            height, width = self.config.image_size
            raise ValueError(
                f"the label map is {label.shape[1]}x{label.shape[2]}; this VSPADE's latent vector makes pictures of "
                f"{height}x{width} only"
            )
        return label
