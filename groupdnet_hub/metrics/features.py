"""ImageNet trunks whose features a Frechet or kernel distance compares, with the names of these distances."""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn

from groupdnet_hub.metrics.imagenet_trunks import imagenet_trunk

# For each net: number of layers of torchvision's "features" up to its last ReLU, and the name of that ReLU.
_LAST_RELU = {"vgg16": (30, "VGG16 relu5_3"), "alexnet": (12, "AlexNet relu5")}
FEATURE_NETS = tuple(_LAST_RELU)


class TrunkFeatures(nn.Module):
    """The last ReLU of an ImageNet net, averaged over all positions. Pictures keep their size.

    Args:
        net: ``vgg16`` or ``alexnet``.
        weights: as :func:`groupdnet_hub.metrics.imagenet_trunks.imagenet_trunk` takes them.

    Attributes:
        distance_name, kernel_name: names of the Frechet and the kernel distance of these features; the former is not
            FID.

    Raises:
        ValueError: for another net, or a file that does not hold its weights.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: str = "vgg16", weights: str | os.PathLike[str] | None = None) -> None:
        super().__init__()
        if net not in _LAST_RELU:
            raise ValueError(f"the feature net {net!r} is not known; there are {', '.join(FEATURE_NETS)}")
        length, layer = _LAST_RELU[net]
        self.distance_name, self.kernel_name = f"Frechet distance ({layer}, pooled)", f"KID ({layer}, pooled)"
        self.trunk = imagenet_trunk(net, length, weights, flag="--frechet_weights")
        self.register_buffer("mean", torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return features float32 [B, D] of uint8 [B, 3, H, W]; D is 512 for VGG16 and 256 for AlexNet."""
        features: Tensor = self.trunk((pictures.to(self.mean) / 255 - self.mean) / self.std)
        return features.mean(dim=(2, 3))


def eight_bit(image: Tensor) -> Tensor:
    """Return pictures float [B, 3, H, W] in [-1, 1] as uint8, rounded as when they are saved."""
    return ((image.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
