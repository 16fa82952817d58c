"""Networks whose features the Frechet and the kernel distance compare, with the names of these distances."""

from __future__ import annotations

import io
import os
from pathlib import Path

import torch
from torch import Tensor, nn

from groupdnet_hub.io.foreign_weights import read_foreign_tensors
from groupdnet_hub.metrics.imagenet_trunks import imagenet_trunk

# For each net: number of layers of torchvision's "features" up to its last ReLU, and the name of that ReLU.
_LAST_RELU = {"vgg16": (30, "VGG16 relu5_3"), "alexnet": (12, "AlexNet relu5")}
FEATURE_NETS = tuple(_LAST_RELU)


class InceptionFeatures(nn.Module):
    """The 2048 pooled features of the Inception network of the FID reference, as torch-fidelity rebuilds it.

    Args:
        weights: torch-fidelity's ``weights-inception-2015-12-05-6726825d.pth``, or the same tensors as safetensors;
            downloaded from its release page if not given. Only tensors are read, no pickled code.

    Attributes:
        distance_name, kernel_name: names of the Frechet and the kernel distance of these features.

    Raises:
        ValueError: for a file that does not hold these weights.
    """

    distance_name, kernel_name = "FID", "KID"

    def __init__(self, weights: str | os.PathLike[str] | None = None) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3

        if weights is None:
            state = torch.hub.load_state_dict_from_url(
                URL_INCEPTION_V3, map_location="cpu", check_hash=True, weights_only=True
            )
        else:
            state = read_foreign_tensors(weights)
        # torch-fidelity unpickles the file that it is given: pass one of tensors alone, made here.
        tensors = io.BytesIO()
        torch.save(state, tensors)
        tensors.seek(0)
        try:
            with torch.random.fork_rng(devices=[]):
                self.network = FeatureExtractorInceptionV3(
                    "inception-v3-compat", ["2048"], feature_extractor_weights_path=tensors
                )
        except RuntimeError as error:  # missing, unknown or misshapen tensors
            raise ValueError(
                f"{Path(weights or URL_INCEPTION_V3).name} does not hold the FID reference's Inception weights: "
                f"{str(error)[:300]}"
            ) from None

    def forward(self, pictures: Tensor) -> Tensor:
        """Return features float32 [B, 2048] of uint8 [B, 3, H, W], resized to 299x299 as in the reference."""
        features: Tensor = self.network(pictures)[0]
        return features


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
        self.trunk = imagenet_trunk(net, length, weights)
        self.register_buffer("mean", torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Return features float32 [B, D] of uint8 [B, 3, H, W]; D is 512 for VGG16 and 256 for AlexNet."""
        features: Tensor = self.trunk((pictures.to(self.mean) / 255 - self.mean) / self.std)
        return features.mean(dim=(2, 3))


def eight_bit(image: Tensor) -> Tensor:
    """Return pictures float [B, 3, H, W] in [-1, 1] as uint8, rounded as when they are saved."""
    return ((image.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
