"""A trained model as the start of one for pictures twice as large (progressive growing; Karras et al., ICLR 2018)."""

from __future__ import annotations

import torch
from torch import nn

from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.models.blocks import CGBlock
from groupdnet_hub.models.groupdnet import GroupDNet
from groupdnet_hub.models.layers import GroupedConv2d


def grown_config(config: GroupDNetConfig) -> GroupDNetConfig:
    """Return the configuration of :func:`grow`: one more block and one more encoder convolution.

    Raises:
        ValueError: for MulNet, whose networks are apart, and where pictures of that size cannot be made.
    """
    if config.separate_networks:
        raise ValueError(f"a {config.system_name} has a network for each class: it cannot be grown")
    height, width = config.image_size
    return config.replace(
        image_size=(2 * height, 2 * width),
        blocks=(*config.blocks, config.blocks[-1]),
        encoder_multipliers=(config.encoder_multipliers[0], *config.encoder_multipliers),
    )


def grow(model: GroupDNet, *, generator: torch.Generator | None = None) -> GroupDNet:
    """Return a model for pictures of twice the height and width that starts from what ``model`` draws.

    The decoder gets one more block, at the full resolution, whose convolutions first add nothing to its input: the
    picture begins as one of nearest-enlarged features. The encoder's first convolution now sees the picture at full
    size; a new second one begins as the mean of 3x3 pixels, and those behind it see maps of the size that they know.
    Latent maps keep their size, so that codes, and a fitted prior, stay what they were.

    Args:
        model: it is not changed.
        generator: draws the new block's weights; by default one seeded with 0.

    Raises:
        ValueError: for a model that cannot be grown, see :func:`grown_config`.
    """
    if generator is None:
        generator = torch.Generator().manual_seed(0)
    new = GroupDNet(grown_config(model.config), generator=generator).to(model.device, model.dtype)
    blocks, layers = len(model.config.blocks), len(model.config.encoder_multipliers)
    with torch.no_grad():
        for name, part in model.named_children():
            if name not in ("encoder", "decoder"):
                new.get_submodule(name).load_state_dict(part.state_dict())
        for name, part in model.decoder.named_children():
            if name != "blocks":
                new.decoder.get_submodule(name).load_state_dict(part.state_dict())
        for i in range(blocks):
            new.decoder.blocks[i].load_state_dict(model.decoder.blocks[i].state_dict())
        _silence(new.decoder.blocks[blocks])
        for name in ("mean", "logvar"):
            new.encoder.get_submodule(name).load_state_dict(model.encoder.get_submodule(name).state_dict())
        for i in range(layers):
            new.encoder.layers[i + 1 if i else 0].load_state_dict(model.encoder.layers[i].state_dict())
        _average(new.encoder.layers[1], generator)
    new.card_facts = {
        key: value for key, value in model.card_facts.items() if key not in ("metrics", "evaluation")
    }
    return new.train(model.training)


def _silence(block: nn.Module) -> None:
    """Let the residual branch begin at zero: scale and shift in front of its last convolution are zero everywhere.

    A convolution under spectral norm cannot be small itself.
    """
    assert isinstance(block, CGBlock)
    for convolution, bias in ((block.norm_1.gamma, -1.0), (block.norm_1.beta, 0.0)):
        assert convolution.bias is not None
        nn.init.zeros_(convolution.weight)
        nn.init.constant_(convolution.bias, bias)
    if block.conv_1.bias is not None:
        nn.init.zeros_(block.conv_1.bias)


def _average(layer: nn.Module, generator: torch.Generator) -> None:
    """Let each channel begin as the mean of 3x3 pixels of the same channel."""
    assert isinstance(layer, GroupedConv2d)
    width = layer.weight.shape[1]
    nn.init.zeros_(layer.weight)
    rows = torch.arange(layer.out_channels, device=layer.weight.device)
    layer.weight[rows, rows % width] = 1 / 9
    if layer.spectral_norm:
        layer.find_singular_vectors(generator)
