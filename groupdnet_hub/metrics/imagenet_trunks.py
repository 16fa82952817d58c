"""Convolutional trunks trained on ImageNet: torchvision's download, or a local safetensors file."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor, nn

from groupdnet_hub.io.downloads import Download
from groupdnet_hub.io.finite import check_all_finite
from groupdnet_hub.io.tensors import open_tensors

NETS = ("alexnet", "vgg16", "vgg19")


def imagenet_trunk(
    net: str, length: int, weights: str | os.PathLike[str] | None = None, *, flag: str = "weights="
) -> nn.Sequential:
    """Return the first ``length`` layers of torchvision's ``features``, frozen, without in-place ReLUs.

    Args:
        net: ``alexnet``, ``vgg16`` or ``vgg19``.
        length: number of layers.
        weights: safetensors file with torchvision's key names (``features.N.weight``); by default torchvision
            downloads its own.
        flag: what names a local file, for the message of a failed download.

    Raises:
        ValueError: for an unknown net, a file that does not hold its weights, and a download that fails.
    """
    if net not in NETS:
        raise ValueError(f"the net {net!r} is not known; there are {', '.join(NETS)}")
    import torchvision  # only training and evaluation need it

    make = getattr(torchvision.models, net)
    if weights is None:
        with (
            trunk_download(net, flag).running(),
            torch.random.fork_rng(devices=[]),  # torchvision initialises weights before it loads them
        ):
            trunk = make(weights="IMAGENET1K_V1").features[:length]
    else:
        with torch.device("meta"):
            trunk = make(weights=None).features[:length]
        trunk.load_state_dict(_read_trunk(Path(weights), trunk), assign=True)
    for module in trunk:
        if isinstance(module, nn.ReLU):
            module.inplace = False  # the activations in between are the result
    return trunk.eval().requires_grad_(False)


def trunk_download(net: str, flag: str) -> Download:
    """Return torchvision's download of a net.

    Args:
        net: ``alexnet``, ``vgg16`` or ``vgg19``.
        flag: what names a local file, for messages.
    """
    import torchvision

    return Download(
        torchvision.models.get_model_weights(net).IMAGENET1K_V1.url,
        f"the ImageNet weights of {net}",
        f"name a local safetensors file with {flag}",
    )


def _read_trunk(path: Path, trunk: nn.Module) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"there is no file {path} of ImageNet weights")
    wanted = {f"features.{key}": (key, tuple(value.shape)) for key, value in trunk.state_dict().items()}
    with open_tensors(path, path.name) as file:
        missing = [name for name in wanted if name not in file.shapes]
        if missing:
            raise ValueError(f"{path.name} lacks {missing[0]} ({len(missing)} of {len(wanted)} are missing)")
        for name, (_, shape) in wanted.items():
            if file.shapes[name] != shape or file.types[name] not in ("F32", "F16", "BF16"):
                raise ValueError(
                    f"{name} in {path.name} has shape {file.shapes[name]} and type {file.types[name]}, and this net "
                    f"needs floats {shape}: are these the weights of another net?"
                )
        tensors = {key: file.read(name).float().clone() for name, (key, _) in wanted.items()}
    check_all_finite(tensors, path.name)
    return tensors
