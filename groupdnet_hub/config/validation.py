"""Checks of a configuration's fields, before memory is allocated; each raises a ValueError that says what is wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from groupdnet_hub.config.decoder_layout import BlockConfig
from groupdnet_hub.config.names import check_class_names
from groupdnet_hub.io.strict_json import shown

# Far above any network of this family.
MAX_CHANNELS = 32768
# The largest count that half precision represents.
MAX_PRIOR_CODES = 2048
MAX_CLASSES = 4096
MAX_SIDE = 8192
# Normalisations of the discriminator (models/discriminator.py).
DISCRIMINATOR_NORMS = ("instance", "none")

# The paper's (models/discriminator.py), and one per pixel (models/segmentation_discriminator.py).
DISCRIMINATORS = ("multiscale", "segmentation")


# What stands for "unknown" in label maps: an id, or an RGB colour.
Ignored = int | tuple[int, int, int]
# Largest id of a label map's 16 bit.
_MAX_ID = 65535


def as_sequence(value: Any, name: str) -> Sequence[Any]:
    """Return ``value`` if it is a list or tuple; raise a ValueError otherwise."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise ValueError(f"{name} is {shown(value)}; it must be a list")
    return value


def as_int_pair(value: Any, name: str) -> tuple[int, int]:
    """Return ``value`` as (height, width); raise a ValueError if it is not a pair of integers."""
    pair = as_sequence(value, name)
    if len(pair) != 2 or any(type(v) is not int for v in pair):
        raise ValueError(f"{name} is {shown(value)}; it must be (height, width) in whole pixels")
    return pair[0], pair[1]


def check_int(value: Any, name: str, low: int, high: int) -> None:
    """Refuse anything but an integer from ``low`` to ``high``."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} is {shown(value)}; it must be a whole number from {low} to {high}")


def check_choice(value: Any, name: str, allowed: Sequence[Any]) -> None:
    """Refuse anything but one of ``allowed`` (1 is not True here)."""
    if not any(value == choice and type(value) is type(choice) for choice in allowed):
        raise ValueError(f"{name} is {shown(value)}; it must be one of {', '.join(map(repr, allowed))}")


def check_classes(names: Sequence[Any], palette: Sequence[Sequence[Any]], class_slots: Any) -> None:
    """Require names as :func:`check_class_names` does, a unique colour for each, and at least as many slots."""
    check_int(len(names), "the number of classes", 1, MAX_CLASSES)
    check_class_names(names, "class_names")
    if len(palette) != len(names):
        raise ValueError(f"palette has {len(palette)} colours for {len(names)} classes")
    for colour in palette:
        if len(colour) != 3 or any(type(v) is not int or not 0 <= v <= 255 for v in colour):
            raise ValueError(f"palette holds {shown(colour)}; a colour is three whole numbers from 0 to 255")
    if len({tuple(colour) for colour in palette}) != len(names):
        raise ValueError("palette holds the same colour twice")
    check_int(class_slots, "class_slots", len(names), 2 * MAX_CLASSES)


def as_ignored(values: Any, palette: Sequence[tuple[int, int, int]]) -> tuple[Ignored, ...]:
    """Return the ids and colours that stand for "unknown" in label maps, each once.

    Raises:
        ValueError: for anything but a list of ids (0..65535) and RGB colours that are not those of classes, and if all
            classes would be unknown.
    """
    found: list[Ignored] = []
    for value in as_sequence(values, "ignore"):
        if type(value) is int and 0 <= value <= _MAX_ID:
            found.append(value)
            continue
        colour = tuple(value) if isinstance(value, Sequence) and not isinstance(value, (str, bytes)) else ()
        if len(colour) != 3 or any(type(v) is not int or not 0 <= v <= 255 for v in colour):
            raise ValueError(
                f"ignore holds {shown(value)}; it lists ids from 0 to {_MAX_ID} and colours [r, g, b] that stand for "
                "unknown pixels"
            )
        if colour in palette:
            raise ValueError(
                f"ignore holds the colour {colour} of class {palette.index(colour)}: list its id"
            )
        found.append(colour)
    if len(palette) <= len({value for value in found if isinstance(value, int) and value < len(palette)}):
        raise ValueError("ignore lists the ids of all classes: at least one must be known")
    return tuple(dict.fromkeys(found))


def check_size(image_size: tuple[int, int], num_blocks: int) -> None:
    """Require a picture that halves evenly, down to a latent map of more than one pixel."""
    if not 2 <= num_blocks <= 12:
        raise ValueError(f"blocks has {num_blocks} entries; 2 to 12 can be built")
    factor = 2 ** (num_blocks - 1)
    check_sides(image_size, factor, f"2**{num_blocks - 1}, its number of doublings")
    if image_size == (factor, factor):
        raise ValueError(
            f"image_size {image_size} leaves a latent map of 1x1, in which instance normalisation has nothing to "
            "normalise: use fewer blocks or a larger size"
        )


def halvings_for(image_size: tuple[int, int]) -> int:
    """Return how often a picture halves until its smaller side is 4 to 7 pixels.

    Raises:
        ValueError: for a size that is too small or does not halve evenly; the message names one that works.
    """
    small = min(image_size)
    if small < 8:
        raise ValueError(f"image_size is {image_size}; the smaller side must be at least 8 pixels")
    halvings = (small // 4).bit_length() - 1
    factor = 2**halvings
    if image_size[0] % factor or image_size[1] % factor:
        near = tuple(max(factor, round(side / factor) * factor) for side in image_size)
        raise ValueError(
            f"image_size is {image_size}; with a smaller side of {small} both sides must be multiples of "
            f"{factor}, for example {near}"
        )
    return halvings


def check_sides(image_size: tuple[int, int], factor: int, by: str = "its number of halvings") -> None:
    """Require sides that are multiples of ``factor``, from 1 to ``MAX_SIDE``."""
    for side in image_size:
        check_int(side, "a side of image_size", 1, MAX_SIDE)
        _check_divides(factor, side, "a side of image_size", by)


def check_class_order(order: Sequence[Any], num_classes: int) -> None:
    """Require every class once, or an empty order."""
    if order and (
        any(type(class_id) is not int for class_id in order) or sorted(order) != list(range(num_classes))
    ):
        raise ValueError(
            f"class_order is {shown(list(order))}; it must hold each class id from 0 to {num_classes - 1} once"
        )


def check_placement(
    placement: Any, grid: Any, split_mode: str, latent_channels: int, num_blocks: int
) -> None:
    """Require codes that cover the frame, or boxes on a grid of whole pixels."""
    check_choice(placement, "code_placement", ("frame", "box"))
    check_int(grid, "code_grid", 1, 2 ** (num_blocks - 1))
    if grid & (grid - 1):
        raise ValueError(f"code_grid is {grid}; it must be a power of two")
    if placement == "frame" and grid != 1:
        raise ValueError(
            f"code_grid is {grid} and code_placement 'frame': codes over the entire frame have no finer "
            "grid; take code_grid 1, or code_placement 'box'"
        )
    if placement == "box" and split_mode != "crop":
        raise ValueError(
            f"code_placement is 'box' and split_mode {split_mode!r}: codes belong in their class's box only where the "
            "encoder sees that box, with split_mode 'crop'"
        )
    check_int(latent_channels * grid**2, "latent_channels x code_grid x code_grid", 1, MAX_CHANNELS)


def check_encoder_colours(encoder_colours: Any, encoder_grouped: bool, split_mode: str) -> None:
    """Require an encoder that keeps classes apart for the colours of single classes."""
    check_choice(encoder_colours, "encoder_colours", (True, False))
    if encoder_colours and not (encoder_grouped and split_mode in ("crop", "mask")):
        raise ValueError(
            f"encoder_colours gives each class's group the colours of its pixels: it needs encoder_grouped, which is "
            f"{encoder_grouped}, and split_mode 'crop' or 'mask', which is {split_mode!r}"
        )


def check_code_filling(filling: Any, encoder_grouped: bool, split_mode: str) -> None:
    """Require an encoder that knows where it sees each class for filling the codes of single classes."""
    check_choice(filling, "code_filling", ("none", "nearest"))
    if filling != "none" and not (encoder_grouped and split_mode in ("crop", "mask")):
        raise ValueError(
            f"code_filling is {filling!r}: it needs encoder_grouped, which is {encoder_grouped}, and split_mode 'crop' "
            f"or 'mask', which is {split_mode!r}"
        )


def check_prior(rank: Any, codes: Any, code_size: int) -> None:
    """Require one prior at most: principal directions of a code of ``code_size`` values, or stored codes."""
    check_int(rank, "prior_rank", 0, code_size)
    check_int(codes, "prior_codes", 0, MAX_PRIOR_CODES)
    if rank and codes:
        raise ValueError(
            f"prior_rank is {rank} and prior_codes {codes}: a model has one prior, so that one of them must be 0"
        )


def check_prior_ties(ties: Sequence[Sequence[Any]], names: Sequence[str], codes: int) -> None:
    """Require ties of two classes or more, each class in one of them at most, and a model that stores codes."""
    if ties and not codes:
        raise ValueError(
            "prior_ties needs prior_codes: only where codes of pictures are stored can those of several classes come "
            "from one picture"
        )
    known, tied = frozenset(names), set()
    for tie in ties:
        if len(tie) < 2:
            raise ValueError(f"prior_ties holds {shown(list(tie))}; a tie names at least two classes")
        for name in tie:
            if not isinstance(name, str) or name not in known:
                raise ValueError(f"prior_ties holds {shown(name)}, which is not one of the model's classes")
            if name in tied:
                raise ValueError(f"prior_ties holds {shown(name)} twice; a class belongs to one tie at most")
            tied.add(name)


def check_encoder(width: Any, multipliers: Sequence[Any], groups: int, num_blocks: int) -> None:
    """Require a width that the groups divide, and as many halvings as the decoder has doublings."""
    check_int(width, "encoder_width", 1, MAX_CHANNELS)
    _check_divides(groups, width, "encoder_width", "the number of classes")
    if len(multipliers) != num_blocks - 1:
        raise ValueError(
            f"encoder_multipliers has {len(multipliers)} entries; with {num_blocks} blocks the decoder doubles its "
            f"input {num_blocks - 1} times, and so the encoder must halve as often"
        )
    for multiple in multipliers:
        check_int(multiple, "an encoder multiple", 1, MAX_CHANNELS // width)


def check_decoder(
    blocks: Sequence[Any], fc_channels: Any, class_slots: int, label_channels: int, fc_groups: Any
) -> None:
    """Require channels that the groups of every convolution divide."""
    check_int(fc_channels, "fc_channels", 1, MAX_CHANNELS)
    if fc_groups is None:
        _check_divides(class_slots, fc_channels, "fc_channels", "class_slots")
    else:
        check_int(fc_groups, "fc_groups", 1, class_slots)
        _check_divides(fc_groups, class_slots, "class_slots", "fc_groups")
        _check_divides(fc_groups, fc_channels, "fc_channels", "fc_groups")
    channels = fc_channels
    for i, block in enumerate(blocks):
        here = f"blocks[{i}]"
        if not isinstance(block, BlockConfig):
            raise ValueError(f"{here} is {shown(block)}; it must be a BlockConfig")
        for field in dataclasses.fields(BlockConfig):
            check_int(getattr(block, field.name), f"{here}.{field.name}", 1, MAX_CHANNELS)
        _check_divides(block.groups, channels, f"input channels of {here}", "its groups")
        _check_divides(block.groups, block.out_channels, f"{here}.out_channels", "its groups")
        _check_divides(block.label_groups, label_channels, "label channels", f"{here}.label_groups")
        _check_divides(
            block.label_groups, block.hidden_channels, f"{here}.hidden_channels", "its label_groups"
        )
        _check_divides(
            block.modulation_groups, block.hidden_channels, f"{here}.hidden_channels", "its modulation_groups"
        )
        for width in (channels, min(channels, block.out_channels)):
            _check_divides(block.modulation_groups, width, f"channels of {here}", "its modulation_groups")
        channels = block.out_channels


def blocks_from_json(value: Any) -> tuple[BlockConfig, ...]:
    """Return the decoder's blocks that a list of JSON objects describes."""
    keys = [field.name for field in dataclasses.fields(BlockConfig)]
    blocks = []
    for i, entry in enumerate(as_sequence(value, "blocks")):
        if not isinstance(entry, dict) or set(entry) != set(keys):
            raise ValueError(
                f"blocks[{i}] is {shown(entry)}; it must be an object with the keys {', '.join(keys)}"
            )
        blocks.append(BlockConfig(**entry))
    return tuple(blocks)


def _check_divides(divisor: int, value: int, what: str, by: str) -> None:
    if value % divisor:
        raise ValueError(f"{what} ({value}) does not divide evenly by {by} ({divisor})")
