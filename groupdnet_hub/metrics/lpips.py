"""LPIPS of the lpips package, as a distance and as vectors; its AlexNet trunk is torchvision's or a local file."""

from __future__ import annotations

import os
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.metrics.imagenet_trunks import imagenet_trunk

_ALEXNET_LAYERS = 12  # up to relu5
# Cells of a description, along each side.
_CELLS = 4


def alexnet_lpips(weights: str | os.PathLike[str] | None = None, *, spatial: bool = False) -> nn.Module:
    """Build LPIPS (AlexNet, v0.1), the distance of the paper's metrics (section 4.3).

    Args:
        weights: safetensors file with torchvision's key names; by default torchvision downloads its own.
        spatial: whether to return per-pixel distances [B, 1, H, W] instead of the picture's mean [B, 1, 1, 1].

    Returns:
        A module that takes two batches of pictures [B, 3, H, W] in [-1, 1].

    Raises:
        ValueError: for a file that does not hold that trunk.
    """
    import lpips  # only evaluation needs it

    trunk = imagenet_trunk("alexnet", _ALEXNET_LAYERS, weights, flag="--alexnet_weights").state_dict()
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():  # its random trunk is replaced
        warnings.filterwarnings(
            "ignore", category=UserWarning, module="torchvision"
        )  # lpips uses a deprecated argument
        metric = lpips.LPIPS(net="alex", spatial=spatial, pnet_rand=True, verbose=False)
    # lpips numbers torchvision's layers through its slices: "slice2.3.weight" is "features.3.weight".
    metric.net.load_state_dict({key: trunk[key.split(".", 1)[1]] for key in metric.net.state_dict()})
    return metric.eval().requires_grad_(False)


class LpipsEmbedding(nn.Module):
    """Vectors whose squared Euclidean distance is LPIPS (AlexNet, v0.1): many comparisons at the cost of one.

    LPIPS (Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018) is a sum
    over layers of the mean, over positions, of ``sum of w_c (a_c - b_c)^2`` with features of unit length and weights
    w_c >= 0: the squared distance of the features times ``sqrt(w_c / positions)``.

    Args:
        weights: as :func:`alexnet_lpips` takes them.
    """

    def __init__(self, weights: str | os.PathLike[str] | None = None) -> None:
        super().__init__()
        self.metric: Any = alexnet_lpips(weights)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return vectors float32 [B, D] of uint8 [B, 3, H, W]; D is about 640,000 for 256 x 256 pixels."""
        return torch.cat([one.flatten(1) / one[0, 0].numel() ** 0.5 for one in self._layers(pictures)], dim=1)

    def describe(self, pictures: Tensor) -> Tensor:
        """Return short vectors float32 [B, 18432] of uint8 [B, 3, H, W], of means over 4 x 4 cells of each layer.

        By Jensen's inequality their squared distance is at most LPIPS, except for cells that overlap by a position.
        """
        means = [F.adaptive_avg_pool2d(one, _CELLS) for one in self._layers(pictures)]
        return torch.cat([one.flatten(1) / _CELLS for one in means], dim=1)

    def _layers(self, pictures: Tensor) -> list[Tensor]:
        """Return weighted features of unit length, [B, C, h, w] for each layer."""
        inputs = self.metric.scaling_layer(pictures.float() / 127.5 - 1)
        layers = []
        for features, weighting in zip(self.metric.net(inputs), self.metric.lins, strict=True):
            length = features.square().sum(dim=1, keepdim=True).sqrt() + 1e-10
            layers.append(features / length * weighting.model[-1].weight.clamp(min=0).sqrt())
        return layers
