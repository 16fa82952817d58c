"""The decoder (Fig. 9, 10, Table 4): CG-Blocks whose groups fall from one per class to 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.config import GroupDNetConfig
from groupdnet_hub.networks.blocks import CGBlock
from groupdnet_hub.networks.cg_norm import Modulation
from groupdnet_hub.networks.layers import LEAKY_SLOPE, GroupedConv2d, initialise_network
from groupdnet_hub.networks.modulation import label_level


@dataclass(frozen=True)
class Scene:
    """All that the decoder needs of a batch of label maps: computed once, it serves any number of codes.

    Attributes:
        label: int64 [B, H, W].
        modulations: for each block, gamma and beta of each of its CG-Norms.
        latent_size: (h, w) of the codes that fit.
    """

    label: Tensor
    modulations: tuple[dict[str, Modulation], ...]
    latent_size: tuple[int, int]


class GroupDecoder(nn.Module):
    """Codes of all classes and a label map to a picture."""

    def __init__(self, config: GroupDNetConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.fc = GroupedConv2d(
            config.class_slots * config.latent_channels,
            config.fc_channels,
            groups=config.class_slots if config.fc_groups is None else config.fc_groups,
        )
        blocks, channels, groups = [], config.fc_channels, self.fc.groups
        for block in config.blocks:
            blocks.append(
                CGBlock(
                    channels,
                    block.out_channels,
                    block.groups,
                    config.label_channels,
                    config.class_slots,
                    block.hidden_channels,
                    block.label_groups,
                    block.modulation_groups,
                    config.norm_kind,
                    config.spectral_norm,
                    in_groups=groups,
                )
            )
            channels, groups = block.out_channels, block.groups
        self.blocks = nn.ModuleList(blocks)
        self.fusion = nn.ModuleList(
            GroupedConv2d(channels, channels, spectral_norm=config.spectral_norm)
            for _ in range(config.fusion_layers)
        )
        self.to_rgb = GroupedConv2d(channels, 3)
        initialise_network(self, generator)

    def prepare(self, label: Tensor, edges: Tensor | None = None, *, lookup: bool = True) -> Scene:
        """The label map's work: gamma and beta of every CG-Norm.

        Args:
            label: int64 [B, H, W].
            edges: instance edge map [B, 1, H, W], for a configuration with ``instance_edges``.
            lookup: ``False`` convolves the whole maps throughout, as the paper's network does.
        """
        modulations = []
        factor = 2 ** (len(self.blocks) - 1)
        latent_size = (label.shape[1] // factor, label.shape[2] // factor)
        for i, block in enumerate(self._cg_blocks()):
            size = (latent_size[0] * 2**i, latent_size[1] * 2**i)
            level = label_level(label, edges, size, self.config.num_classes, lookup=lookup)
            modulations.append(block.modulations(level))
        return Scene(label, tuple(modulations), latent_size)

    def _cg_blocks(self) -> Iterator[CGBlock]:
        for block in self.blocks:
            assert isinstance(block, CGBlock)
            yield block

    def first_features(self, codes: Tensor, scene: Scene) -> Tensor:
        """The input [B, fc channels, h, w] of the first block."""
        x = codes
        unused = self.config.class_slots - self.config.num_classes
        if unused:
            x = F.pad(x, (0, 0, 0, 0, 0, 0, 0, unused))
        x = x.flatten(1, 2).expand(-1, -1, *scene.latent_size)
        return self.fc(x.contiguous(memory_format=torch.channels_last))

    def forward(self, codes: Tensor, scene: Scene) -> Tensor:
        """codes [B, C, z, h, w] (or [B, C, z, 1, 1]) and a scene of batch B or 1 -> picture [B, 3, H, W] in [-1, 1]."""
        return self.activations(codes, scene)[-1]

    def activations(self, codes: Tensor, scene: Scene) -> Sequence[Tensor]:
        """Outputs of ``fc``, of every block (before upsampling), and the picture."""
        x = self.first_features(codes, scene)
        outputs = [x]
        for i, block in enumerate(self.blocks):
            if i:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            x = block(x, scene.modulations[i])
            outputs.append(x)
        for layer in self.fusion:
            x = layer(F.leaky_relu(x, LEAKY_SLOPE))
        x = self.to_rgb(F.leaky_relu(x, LEAKY_SLOPE))
        outputs.append(torch.tanh(x.float()).to(codes.dtype))
        return outputs
