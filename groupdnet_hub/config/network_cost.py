"""The cost of GroupDNet's encoder and decoder, and of whatever is made of them; the layers are those of ``models/``."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from groupdnet_hub.config.cost import Cost, CostTally

if TYPE_CHECKING:
    from groupdnet_hub.config.decoder_layout import BlockConfig
    from groupdnet_hub.config.groupdnet import GroupDNetConfig

# Mean red, green and blue of a class's pixels, and how much of a cell they fill (models/encoder_options.py).
_COLOUR_CHANNELS = 4
# Values of 4 bytes per pixel and class that cutting a picture into classes holds at once (split_by_class).
_SPLIT_VALUES = {"crop": 12, "mask": 8, "none": 3}
# Of each pixel, at every resolution: label ids, the search for windows that are alike, and their numbers.
_VALUES_OF_A_LABEL = 24


def groupdnet_cost(config: GroupDNetConfig) -> Cost:
    """Return the cost of a GroupDNet, or of the other networks that a configuration of one describes."""
    tally = CostTally()
    _add_encoder(tally, config)
    h, w = config.latent_size
    slots = config.class_slots
    tally.convolve(
        slots * config.code_channels,
        config.fc_channels,
        h * w,
        groups=slots if config.fc_groups is None else config.fc_groups,
    )
    add_decoder(tally, config)
    classes, values = config.num_classes, math.prod(config.code_shape[1:])
    if config.prior_rank:
        tally.store(classes * (values * (config.prior_rank + 1) + 1))
    elif config.prior_codes:
        tally.store(classes * (2 * config.prior_codes * values + 1))
    return tally.cost()


def add_halvings(
    tally: CostTally, size: tuple[int, int], channels: list[int], groups: int = 1, *, beside: int = 0
) -> int:
    """Add 3x3 convolutions of stride 2, each with instance normalisation and an activation, and no bias.

    Args:
        tally: what they are added to.
        size: (height, width) of the first one's input.
        channels: of that input, and of each result.
        groups: of the convolutions.
        beside: values that are held all the while.

    Returns:
        Pixels of the last result.
    """
    height, width = size
    pixels = height * width
    for before, after in itertools.pairwise(channels):
        height, width = -(-height // 2), -(-width // 2)
        tally.convolve(before, after, height * width, groups=groups, bias=False)
        tally.hold(beside + before * pixels + 3 * after * height * width)
        pixels = height * width
    return pixels


def _add_encoder(tally: CostTally, config: GroupDNetConfig) -> None:
    height, width = config.image_size
    classes, groups = config.num_classes, config.encoder_groups
    copies = classes if config.encoder_grouped or config.split_mode != "none" else 1
    split = 3 * copies * height * width
    tally.hold((3 + copies * _SPLIT_VALUES[config.split_mode]) * height * width)
    channels = [3 * copies, *(config.encoder_width * m for m in config.encoder_multipliers)]
    pixels = add_halvings(tally, config.image_size, channels, groups, beside=split + classes * height * width)
    if config.latent_mode == "vector":
        pixels = 1
    features = channels[-1] + (_COLOUR_CHANNELS * classes if config.encoder_colours else 0)
    if config.encoder_colours:
        tally.hold(2 * split + (copies + classes) * height * width)
    for _ in ("mean", "logvar"):
        tally.convolve(features, classes * config.latent_channels, pixels, groups=groups)


def add_decoder(tally: CostTally, config: GroupDNetConfig) -> None:
    """Add all of a decoder that comes behind its first convolution."""
    first = config.latent_size[0] * config.latent_size[1]
    levels = [first * 4**i for i in range(len(config.blocks))]
    modulations = features = making = drawing = 0
    channels = config.fc_channels
    for block, pixels in zip(config.blocks, levels, strict=True):
        middle = min(channels, block.out_channels)
        norms = [channels, middle, *([channels] if channels != block.out_channels else [])]
        for width in norms:
            _add_modulation(tally, config, block, width, pixels)
        tally.convolve(channels, middle, pixels, groups=block.groups)
        tally.convolve(middle, block.out_channels, pixels, groups=block.groups)
        if channels != block.out_channels:
            tally.convolve(channels, block.out_channels, pixels, kernel=1, groups=block.groups, bias=False)
        # Scale and shift of the label map, for all pictures on it.
        modulations += 2 * sum(norms) * pixels
        widest = max(norms)
        labels, hidden = config.label_channels * pixels, block.hidden_channels * pixels
        # The hidden layers of two norms at a time, and one of them without its activation.
        # Weights of both results, with a batch norm's statistics and a singular value folded in.
        folded = 3 * 2 * widest * block.hidden_channels // block.modulation_groups * 9
        making = max(making, labels + folded + 2 * hidden + max(hidden, 4 * widest * pixels))
        drawing = max(drawing, (2 * channels + 2 * middle + block.out_channels) * pixels)
        features += block.out_channels * pixels
        channels = block.out_channels
    pixels = levels[-1]
    for _ in range(config.fusion_layers):
        tally.convolve(channels, channels, pixels)
    tally.convolve(channels, 3, pixels)
    kept = modulations + features + _VALUES_OF_A_LABEL * pixels
    tally.hold(kept + max(making, drawing))


def _add_modulation(
    tally: CostTally, config: GroupDNetConfig, block: BlockConfig, channels: int, pixels: int
) -> None:
    """Add the three convolutions of a CG-Norm of ``channels``."""
    tally.convolve(config.label_channels, block.hidden_channels, pixels, groups=block.label_groups)
    for _ in ("gamma", "beta"):
        tally.convolve(block.hidden_channels, channels, pixels, groups=block.modulation_groups)
