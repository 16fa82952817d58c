"""The discriminator of a saved model, taken up by a run that continues from it: also larger, and for other classes.

A generator that meets an untrained discriminator is pulled away from what it had learned, until that one has caught up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from groupdnet_hub.baselines import SystemConfig
from groupdnet_hub.hub.discriminator_file import (
    DISCRIMINATOR_FILE,
    DiscriminatorWeights,
    find_discriminator,
    read_description,
    read_discriminator,
)
from groupdnet_hub.io.strict_json import shown
from groupdnet_hub.models.layers import GroupedConv2d
from groupdnet_hub.models.segmentation_discriminator import SegmentationDiscriminator


def weights_to_save(discriminator: nn.Module, config: SystemConfig) -> DiscriminatorWeights:
    """Return what is saved of a discriminator, on whatever device it is."""
    return DiscriminatorWeights(discriminator.state_dict(), _description(discriminator, config))


def saved_weights(discriminator: nn.Module, folder: Path, config: SystemConfig) -> DiscriminatorWeights:
    """Return what was saved of a discriminator in the folder of a model, at an earlier step of the same run."""
    now = weights_to_save(discriminator, config)
    tensors = read_discriminator(folder / DISCRIMINATOR_FILE, str(folder), now.tensors)
    return DiscriminatorWeights(tensors, now.description)


def take_up(
    discriminator: nn.Module,
    source: str,
    config: SystemConfig,
    starts: Mapping[str, str],
    token: str | None = None,
) -> str:
    """Load the discriminator that lies beside a saved model, if there is one and it is of the same kind.

    It is convolutional: the same weights serve pictures of any size; a U-Net for larger ones is made as deep as the
    saved one. A class that the saved one does not know starts
    with the weights of another, or with none: zero.

    Args:
        discriminator: it is changed; its modules say in ``class_axes`` which of their tensors hold classes, and along
            which axis these come first.
        source: folder or Hub id of the model.
        config: of the model that is trained now.
        starts: for new classes, the old class whose weights they start with.
        token: of the Hub.

    Returns:
        A line that says what was taken up, or why the discriminator starts fresh.

    Raises:
        ValueError: for a file that is damaged or hostile.
    """
    fresh = "the discriminator starts fresh"
    path = find_discriminator(source, token=token)
    if path is None:
        return f"{fresh}: there is no {DISCRIMINATOR_FILE} with {source} (--save_discriminator saves one)"
    own = _description(discriminator, config)
    saved = read_description(path, source, discriminator.state_dict())
    other = [
        f"{key} is {shown(value)} here and {shown(saved.get(key))} there"
        for key, value in own.items()
        if key not in ("class_names", "depth") and saved.get(key) != value
    ]
    depth = saved.get("depth")
    if own["depth"] != depth and not (type(depth) is int and 0 < depth < (own["depth"] or 0)):
        other.append(f"depth is {shown(own['depth'])} here and {shown(depth)} there")
    if other:
        return f"{fresh}: that of {source} is another one ({'; '.join(other)})"
    old, new = list(saved["class_names"]), list(own["class_names"])
    origins = [name if name in old else starts.get(name) for name in new]
    sources = [old.index(origin) if origin in old else -1 for origin in origins]
    if max(sources) < 0:
        return f"{fresh}: that of {source} knows none of the classes"
    if own["depth"] != depth:
        # Of pictures of half the size: its levels are the upper ones of this one, which stays as deep as it was.
        assert isinstance(discriminator, SegmentationDiscriminator), "only a U-Net has a depth"
        assert isinstance(depth, int)
        discriminator.cut_to(depth)
    axes, state = _class_axes(discriminator), discriminator.state_dict()
    wanted = {
        key: torch.empty(shape, dtype=state[key].dtype, device="meta")
        for key, shape in _shapes(discriminator, state, axes, len(old) - len(new)).items()
    }
    tensors = read_discriminator(path, source, wanted)
    if old == new:
        discriminator.load_state_dict(tensors)
        return f"the discriminator is taken up from {source}"
    _load_for_classes(discriminator, tensors, axes, torch.tensor(sources), len(old))
    unknown = [name for name, place in zip(new, sources, strict=True) if place < 0]
    zero = f"; zero for {', '.join(unknown)}" if unknown else ""
    return (
        f"the discriminator is taken up from {source}, with its {len(old)} classes carried over by name{zero}"
    )


def _description(discriminator: nn.Module, config: SystemConfig) -> dict[str, Any]:
    return {
        "kind": type(discriminator).__name__,
        "class_names": list(config.class_names),
        "instance_edges": config.instance_edges,
        "width": config.discriminator_width,
        "scales": config.discriminator_scales,
        "norm": config.discriminator_norm,
        "spectral_norm": config.discriminator_spectral_norm,
        "depth": getattr(discriminator, "depth", None),
    }


def _class_axes(discriminator: nn.Module) -> dict[str, int]:
    """Return, by name of a tensor, the axis along which it holds the classes first."""
    return {
        f"{prefix}.{key}" if prefix else key: axis
        for prefix, module in discriminator.named_modules()
        for key, axis in getattr(module, "class_axes", {}).items()
    }


def _shapes(
    discriminator: nn.Module, state: Mapping[str, Tensor], axes: Mapping[str, int], more: int
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the discriminator's tensors if it had ``more`` classes."""
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    for key, axis in axes.items():
        shape = list(shapes[key])
        shape[axis] += more
        shapes[key] = tuple(shape)
        layer = key.removesuffix(".weight")
        if f"{layer}.weight_u" in shapes:
            shapes[f"{layer}.weight_u"] = (shape[0],)
            shapes[f"{layer}.weight_v"] = (math.prod(shape[1:]),)
    return shapes


@torch.no_grad()
def _load_for_classes(
    discriminator: nn.Module, tensors: dict[str, Tensor], axes: Mapping[str, int], sources: Tensor, old: int
) -> None:
    """Load tensors of ``old`` classes; ``sources`` [C] are old classes, -1 for what starts at zero."""
    layers = []
    for key, axis in axes.items():
        before = tensors[key].movedim(axis, 0)
        known = (sources >= 0).view(-1, *[1] * (before.ndim - 1))
        classes = torch.where(known, before[sources.clamp(min=0)], 0.0)
        tensors[key] = torch.cat((classes, before[old:])).movedim(0, axis)
        layer = discriminator.get_submodule(key.rpartition(".")[0])
        if isinstance(layer, GroupedConv2d) and layer.spectral_norm:
            layers.append(layer)
            name = key.removesuffix(".weight")
            for vector in ("weight_u", "weight_v"):  # of another length; found anew below
                tensors[f"{name}.{vector}"] = getattr(layer, vector)
    discriminator.load_state_dict(tensors)
    for layer in layers:
        layer.find_singular_vectors(torch.Generator().manual_seed(0))
