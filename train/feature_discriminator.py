"""A discriminator that sees with an ImageNet-trained network: not in the paper, for small data.

What a discriminator learns of a few thousand pictures is soon how to tell those from others. Features of a frozen
network, trained on many more, show it what matters: after Sauer et al., "Projected GANs Converge Faster" (NeurIPS
2021), and Kumari et al., "Ensembling Off-the-shelf Models for GAN Training" (CVPR 2022). Small heads on the features
of EfficientNet-Lite0's strides 4 to 32 judge places, beside the discriminator of Fig. 7, with a loss of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from lite_encoder import NAME, STAGE_CHANNELS, STAGES, fill_encoder
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.networks.layers import GroupedConv2d, initialise_network, leaky_relu

_HEAD_WIDTH = 64


class FeatureView:
    """What the heads see of pictures: features of windows of them, with the label maps of the windows.

    Args:
        weights: of EfficientNet-Lite0, see :func:`lite_encoder.fill_encoder`.
        windows: label map and batches of channels -> windows of these; None for whole pictures.

    Raises:
        ValueError: if the weights cannot be read or are another network's, or timm is not installed.
    """

    def __init__(
        self,
        weights: Path,
        device: torch.device,
        windows: Callable[[Tensor, Sequence[Tensor]], Sequence[Tensor]] | None = None,
    ) -> None:
        try:
            import timm  # only this and the parser need it
        except ImportError:
            raise ValueError(
                "--feature_adversarial_weight needs timm: pip install 'groupdnet-hub[train,parser]'"
            ) from None
        # timm draws weights before any are loaded.
        with torch.random.fork_rng(devices=[]):
            trunk = timm.create_model(NAME, features_only=True, pretrained=False, out_indices=STAGES)
        fill_encoder(trunk, weights)
        self.trunk = trunk.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
        self.windows = windows

    def __call__(
        self,
        label: Tensor,
        condition: Tensor,
        pictures: Sequence[Tensor],
        augment: Callable[[Tensor, int], Tensor] | None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Windows of the label input, and the features of those of the pictures; gradients flow to the pictures.

        Args:
            label: int64 [B, H, W].
            condition: the discriminator's label input [B, channels, H, W].
            pictures: n batches [B, 3, H, W] in [-1, 1] for these label maps.
            augment: changes label input and picture, as for the other discriminator.

        Returns:
            ([n * B, channels, h, w], features of strides 4, 8, 16 and 32 of [n * B, 3, h, w]).
        """
        parts: Sequence[Tensor] = (condition, *pictures)
        if self.windows is not None:
            parts = self.windows(label, parts)
        together = torch.cat([torch.cat((parts[0].float(), picture.float()), dim=1) for picture in parts[1:]])
        if augment is not None:
            together = augment(together, len(pictures))
        shown = together[:, -3:].contiguous(memory_format=torch.channels_last)
        return together[:, :-3], self.trunk(shown)


class FeatureHeads(nn.Module):
    """For each stage of features three convolutions, 3x3, 3x3 and 1x1, the first two spectrally normalised.

    Args:
        label_channels: of the label input.
    """

    def __init__(self, label_channels: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.ModuleList(
                (
                    GroupedConv2d(channels + label_channels, _HEAD_WIDTH, spectral_norm=True),
                    GroupedConv2d(_HEAD_WIDTH, _HEAD_WIDTH, spectral_norm=True),
                    GroupedConv2d(_HEAD_WIDTH, 1, 1),
                )
            )
            for channels in STAGE_CHANNELS
        )
        initialise_network(self, generator)

    def forward(self, condition: Tensor, features: Sequence[Tensor]) -> list[list[Tensor]]:
        """Label input [B, channels, h, w] and the features of each stage -> for each stage its logits alone."""
        outputs = []
        for layers, seen in zip(self.stages, features, strict=True):
            first, second, last = layers
            # Each place's features are centred and scaled: stages differ in size by far.
            seen = F.layer_norm(seen.permute(0, 2, 3, 1), seen.shape[1:2]).permute(0, 3, 1, 2)
            labels = F.adaptive_avg_pool2d(condition, seen.shape[2:]).to(seen.dtype)
            hidden = leaky_relu(second(leaky_relu(first(torch.cat((seen, labels), dim=1)))))
            outputs.append([last(hidden)])
        return outputs


class DiscriminatorWithHeads(nn.Module):
    """A discriminator and feature heads, in one module that processes can share."""

    def __init__(self, discriminator: nn.Module, heads: FeatureHeads) -> None:
        super().__init__()
        self.discriminator, self.heads = discriminator, heads

    def forward(
        self, shown: Tensor, condition: Tensor, features: Sequence[Tensor]
    ) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """What each sees -> what each says."""
        return self.discriminator(shown), self.heads(condition, features)
