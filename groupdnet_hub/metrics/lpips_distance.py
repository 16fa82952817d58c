"""LPIPS of the lpips package, with its AlexNet trunk from torchvision or a local file."""

from __future__ import annotations

import os
import warnings

import torch
from torch import nn

from groupdnet_hub.metrics.imagenet_trunks import imagenet_trunk

_ALEXNET_LAYERS = 12  # up to relu5


def alexnet_lpips(weights: str | os.PathLike[str] | None = None, *, spatial: bool = False) -> nn.Module:
    """LPIPS (AlexNet, v0.1), the distance of the paper's metrics (section 4.3).

    Args:
        weights: a safetensors file with torchvision's key names; by default torchvision downloads its own.
        spatial: a distance for each pixel [B, 1, H, W] in place of the picture's mean [B, 1, 1, 1].

    Returns:
        A module that takes two batches of pictures [B, 3, H, W] in [-1, 1].

    Raises:
        ValueError: if the file does not hold that trunk.
    """
    import lpips  # only measuring needs it

    trunk = imagenet_trunk("alexnet", _ALEXNET_LAYERS, weights).state_dict()
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():  # its trunk is drawn, and replaced
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")  # it asks in an old way
        metric = lpips.LPIPS(net="alex", spatial=spatial, pnet_rand=True, verbose=False)
    # lpips numbers torchvision's layers through its slices: "slice2.3.weight" is "features.3.weight".
    metric.net.load_state_dict({key: trunk[key.split(".", 1)[1]] for key in metric.net.state_dict()})
    return metric.eval().requires_grad_(False)
