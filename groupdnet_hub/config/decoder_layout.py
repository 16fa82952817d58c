"""The decoder's layout: channels and groups of each CG-Block (Table 4), for the paper's label sets and any other.

Groups start at one per class and fall to 1, so that classes are drawn separately first and fused later (section 3.4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class BlockConfig:
    """Widths of one CG-Block (Fig. 2, Table 4).

    Attributes:
        out_channels: output channels; the input channels are the output channels of the block before.
        groups: g, groups of the block's convolutions.
        hidden_channels: width of the hidden layer from which CG-Norm's gamma and beta are computed.
        label_groups: groups of CG-Norm's first convolution, from the label input to the hidden layer.
        modulation_groups: groups of CG-Norm's two convolutions that give gamma and beta.
    """

    out_channels: int
    groups: int
    hidden_channels: int
    label_groups: int
    modulation_groups: int


def modulation_like_deepfashion(
    out_channels: Sequence[int], groups: Sequence[int], hidden_channels: int = 128
) -> tuple[BlockConfig, ...]:
    """Return blocks whose CG-Norm has ``hidden_channels`` hidden channels and g groups throughout."""
    return tuple(BlockConfig(n, g, hidden_channels, g, g) for n, g in zip(out_channels, groups, strict=True))


def modulation_like_cityscapes(
    out_channels: Sequence[int], groups: Sequence[int], num_classes: int
) -> tuple[BlockConfig, ...]:
    """Return blocks whose CG-Norm has C*g hidden channels and one group per class throughout."""
    return tuple(
        BlockConfig(n, g, num_classes * g, num_classes, num_classes)
        for n, g in zip(out_channels, groups, strict=True)
    )


def modulation_like_ade20k(
    out_channels: Sequence[int], groups: Sequence[int], num_classes: int
) -> tuple[BlockConfig, ...]:
    """Return blocks whose CG-Norm has one group per class in its first convolution and g in the others.

    The hidden width is 2C where g divides C, and C*g elsewhere.
    """
    return tuple(
        BlockConfig(n, g, 2 * num_classes if num_classes % g == 0 else num_classes * g, num_classes, g)
        for n, g in zip(out_channels, groups, strict=True)
    )


def encoder_multipliers(stages: int) -> tuple[int, ...]:
    """Return the channel multipliers 1, 2, 4, 8, 8, ... of the encoder's stride-2 convolutions (Fig. 8)."""
    return tuple(min(2**i, 8) for i in range(stages))


def class_slots_for(num_classes: int) -> tuple[int, int]:
    """Return the number of class slots of the decoder and the group count that follows the first blocks.

    The second number is the largest power of two up to 16 that divides the number of classes after rounding it up by
    at most a quarter. Groups then merge as a unit: no class is split across two groups.

    Returns:
        (slots, merged): slots >= num_classes, slots % merged == 0.
    """
    for merged in (16, 8, 4, 2):
        slots = _round_up(num_classes, merged)
        if slots - num_classes <= num_classes / 4:
            return slots, merged
    return num_classes, 1


def groups_for(num_classes: int, num_blocks: int) -> tuple[int, ...]:
    """Return the group count of each block: from one per slot to 1, each a divisor of the one before."""
    slots, merged = class_slots_for(num_classes)
    if num_blocks == 1:
        return (1,)
    head = [] if slots == merged else [slots] * (2 if slots <= 16 and num_blocks > 3 else 1)
    levels = [merged >> i for i in range(merged.bit_length())]  # merged, merged/2, ..., 1
    free = num_blocks - len(head)
    if free < len(levels):  # a small picture has few blocks: skip levels, but end at 1
        levels = [*levels[: free - 1], 1]
    repeats, extra = divmod(free, len(levels))
    tail = [level for i, level in enumerate(levels) for _ in range(repeats + (i < extra))]
    return tuple(head + tail)


def blocks_for_labels(
    num_classes: int,
    num_blocks: int,
    width: int,
    groups: Sequence[int] | None = None,
    hidden_per_class: int | None = None,
) -> tuple[tuple[BlockConfig, ...], int, int]:
    """Return a valid layout for any number of classes, modelled on Table 4.

    Args:
        num_classes: C >= 1.
        num_blocks: number of CG-Blocks.
        width: output channels of the last block (160 in the paper's DeepFashion network).
        groups: group count of each block, instead of those of :func:`groups_for`.
        hidden_per_class: hidden channels of CG-Norm per class slot; by default as many as in the paper.

    Returns:
        (blocks, fc_channels, class_slots).

    Raises:
        ValueError: for a number of groups other than that of the blocks, groups that do not divide the class slots,
            and hidden channels that are not a positive integer.
    """
    slots, _ = class_slots_for(num_classes)
    if groups is None:
        groups = groups_for(num_classes, num_blocks)
    elif len(groups) != num_blocks or any(type(g) is not int or g < 1 or slots % g for g in groups):
        raise ValueError(
            f"groups are {list(groups)}; this network has {num_blocks} blocks, and the group count of each must "
            f"divide its {slots} class slots, for example {list(groups_for(num_classes, num_blocks))}"
        )
    multiples = [min(2 ** (num_blocks - 1 - i), 16) for i in range(num_blocks)]
    out = [_round_up(width * m, g) for m, g in zip(multiples, groups, strict=True)]
    # 128 hidden channels at width 160, and never fewer than two per class.
    hidden = _round_up(max(round(0.8 * width), 2 * slots), slots)
    if hidden_per_class is not None:
        if type(hidden_per_class) is not int or hidden_per_class < 1:
            raise ValueError(
                f"hidden_per_class is {hidden_per_class!r}; it must be a whole number of at least 1"
            )
        hidden = hidden_per_class * slots
    fc_channels = _round_up(width * multiples[0], slots)
    return modulation_like_deepfashion(out, groups, hidden), fc_channels, slots


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
