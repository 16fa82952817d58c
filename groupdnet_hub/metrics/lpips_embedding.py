"""LPIPS as a distance of vectors, so that one picture is compared with many at the cost of one."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.metrics.lpips_distance import alexnet_lpips

# Cells of a description, along each side.
_CELLS = 4


class LpipsEmbedding(nn.Module):
    """Vectors whose squared Euclidean distance is LPIPS (AlexNet, v0.1).

    LPIPS (Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018) is a sum
    over layers of the mean, over positions, of ``sum of w_c (a_c - b_c)^2`` with features of unit length and weights
    w_c >= 0: the squared distance of the features times ``sqrt(w_c / positions)``.

    Args:
        weights: as :func:`alexnet_lpips`.
    """

    def __init__(self, weights: str | os.PathLike[str] | None = None) -> None:
        super().__init__()
        self.metric: Any = alexnet_lpips(weights)

    def forward(self, pictures: Tensor) -> Tensor:
        """uint8 [B, 3, H, W] -> float32 [B, D]; D is some 640,000 for 256 x 256 pixels."""
        return torch.cat([one.flatten(1) / one[0, 0].numel() ** 0.5 for one in self._layers(pictures)], dim=1)

    def describe(self, pictures: Tensor) -> Tensor:
        """uint8 [B, 3, H, W] -> float32 [B, 18432]: the same of means over 4 x 4 cells of each layer.

        By Jensen's inequality the squared distance is no larger than LPIPS, but for cells that overlap by a position.
        """
        means = [F.adaptive_avg_pool2d(one, _CELLS) for one in self._layers(pictures)]
        return torch.cat([one.flatten(1) / _CELLS for one in means], dim=1)

    def _layers(self, pictures: Tensor) -> list[Tensor]:
        """Weighted features of unit length, [B, C, h, w] of each layer."""
        inputs = self.metric.scaling_layer(pictures.float() / 127.5 - 1)
        layers = []
        for features, weighting in zip(self.metric.net(inputs), self.metric.lins, strict=True):
            length = features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10
            layers.append(features / length * weighting.model[-1].weight.clamp(min=0).sqrt())
        return layers
