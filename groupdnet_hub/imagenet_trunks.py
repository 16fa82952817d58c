"""Convolutional trunks trained on ImageNet: torchvision's download, or a local safetensors file."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor, nn

NETS = ("alexnet", "vgg16", "vgg19")


def imagenet_trunk(net: str, length: int, weights: str | os.PathLike[str] | None = None) -> nn.Sequential:
    """The first ``length`` layers of torchvision's ``features``, frozen; no ReLU works in place.

    Args:
        net: ``alexnet``, ``vgg16`` or ``vgg19``.
        weights: a safetensors file with torchvision's key names (``features.N.weight``); by default torchvision
            downloads its own.

    Raises:
        ValueError: for an unknown net, or a file that does not hold its weights.
    """
    if net not in NETS:
        raise ValueError(f"the net {net!r} is not known; there are {', '.join(NETS)}")
    import torchvision  # only training and measuring need it

    make = getattr(torchvision.models, net)
    if weights is None:
        with torch.random.fork_rng(devices=[]):  # torchvision draws weights before it loads them
            trunk = make(weights="IMAGENET1K_V1").features[:length]
    else:
        with torch.device("meta"):
            trunk = make(weights=None).features[:length]
        trunk.load_state_dict(_read_trunk(Path(weights), trunk), assign=True)
    for module in trunk:
        if isinstance(module, nn.ReLU):
            module.inplace = False  # the activations in between are the result
    return trunk.eval().requires_grad_(False)


def _read_trunk(path: Path, trunk: nn.Module) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise ValueError(f"there is no file {path} of ImageNet weights")
    try:
        found = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path.name} is not a safetensors file: {error}") from None
    wanted = trunk.state_dict()
    missing = [key for key in wanted if f"features.{key}" not in found]
    if missing:
        raise ValueError(
            f"{path.name} lacks features.{missing[0]} ({len(missing)} of {len(wanted)} are missing)"
        )
    for key, value in wanted.items():
        if found[f"features.{key}"].shape != value.shape:
            raise ValueError(
                f"features.{key} in {path.name} has shape {tuple(found[f'features.{key}'].shape)}, "
                f"and this net needs {tuple(value.shape)}: are these the weights of another net?"
            )
    return {key: found[f"features.{key}"].float() for key in wanted}
