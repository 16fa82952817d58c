"""The decoder (Fig. 9, 10, Table 4): CG-Blocks whose groups fall from one per class to 1."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.models.blocks import CGBlock, label_input
from groupdnet_hub.models.code_placement import CodePlacement, code_placement
from groupdnet_hub.models.layers import LEAKY_SLOPE, GroupedConv2d, initialise_network


class GroupDecoder(nn.Module):
    """Codes of all classes and a label map to a picture.

    Args:
        config: the network.
        generator: draws the weights; without one they come from a generator seeded with 0.
    """

    def __init__(self, config: GroupDNetConfig, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.fc = GroupedConv2d(
            config.class_slots * config.code_channels,
            config.fc_channels,
            groups=config.class_slots if config.fc_groups is None else config.fc_groups,
        )
        channels, groups = config.fc_channels, self.fc.groups
        self.blocks = nn.ModuleList()
        for block in config.blocks:
            self.blocks.append(CGBlock(channels, block, config, groups))
            channels, groups = block.out_channels, block.groups
        self.fusion = nn.ModuleList(
            GroupedConv2d(channels, channels, spectral_norm=config.spectral_norm)
            for _ in range(config.fusion_layers)
        )
        self.to_rgb = GroupedConv2d(channels, 3)
        initialise_network(self, generator)

    def forward(self, codes: Tensor, label: Tensor, edges: Tensor | None = None) -> Tensor:
        """Draw label maps with the appearance that codes give them.

        Args:
            codes: [B, C, z, h, w], or [B, C, z, 1, 1] with ``latent_mode="vector"``.
            label: int64 [B or 1, H, W], the slot of each pixel's class.
            edges: instance edge maps [B or 1, 1, H, W], for a configuration with ``instance_edges``.

        Returns:
            [B, 3, H, W] in [-1, 1].
        """
        return self.activations(codes, label, edges)[-1]

    def activations(self, codes: Tensor, label: Tensor, edges: Tensor | None = None) -> list[Tensor]:
        """Return the outputs of ``fc``, of every block (before upsampling), and the picture; see :meth:`forward`."""
        x = self.first_features(codes, self.latent_size(label), self.first_input(label, edges))
        outputs = [x]
        for i, block in enumerate(self.blocks):
            if i:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
            # A feature map is a whole fraction of its picture.
            step = label.shape[1] // x.shape[2]
            small = None if edges is None else edges[..., ::step, ::step]
            x = block(x, label_input(label[:, ::step, ::step], small, self.config.class_slots, x.dtype))
            outputs.append(x)
        return [*outputs, self.picture(x)]

    def latent_size(self, label: Tensor) -> tuple[int, int]:
        """Return (height, width) of the first features for label maps [B, H, W]."""
        return label.shape[1] // self.config.size_factor, label.shape[2] // self.config.size_factor

    def first_input(self, label: Tensor, edges: Tensor | None) -> CodePlacement | Tensor | None:
        """Return what :meth:`first_features` need of the label maps: with ``code_placement="box"``, where codes lie."""
        config = self.config
        if config.code_placement != "box":
            return None
        h, w = self.latent_size(label)
        code_size = (h, w) if config.latent_mode == "map" else (1, 1)
        grid = h * config.code_grid, w * config.code_grid
        return code_placement(label, config.num_classes, grid, code_size, self.fc.weight.dtype)

    def first_features(
        self, codes: Tensor, size: tuple[int, int], first_input: CodePlacement | Tensor | None
    ) -> Tensor:
        """Return the input [B, fc channels, h, w] of the first block.

        Args:
            codes: [B, C, z, h, w], or [B, C, z, 1, 1].
            size: (h, w) of the result.
            first_input: what :meth:`first_input` made of the label maps.
        """
        placement = first_input if isinstance(first_input, CodePlacement) else None
        x = codes if placement is None else placement.paste(codes)
        unused = self.config.class_slots - self.config.num_classes
        if unused:
            x = F.pad(x, (0, 0, 0, 0, 0, 0, 0, unused))
        x = x.flatten(1, 2)
        # A cell's part of the grid becomes channels, and each class's channels stay together.
        x = x.expand(-1, -1, *size) if placement is None else F.pixel_unshuffle(x, self.config.code_grid)
        return self.fc(x.contiguous(memory_format=torch.channels_last))

    def picture(self, x: Tensor) -> Tensor:
        """Return the picture [B, 3, H, W] of the last block's output [B, channels, H, W]."""
        for layer in self.fusion:
            x = layer(F.leaky_relu(x, LEAKY_SLOPE))
        return torch.tanh(self.to_rgb(F.leaky_relu(x, LEAKY_SLOPE)).float()).to(self.fc.weight.dtype)
