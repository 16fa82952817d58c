"""What a network for other classes takes from where in the old one: names, slots and channels, no weights.

The decoder's channels lie slot by slot. Where a block has one group for each slot, a class's channels are its own;
where groups merge, a group's channels belong to its slots together. So each layer's channels fall into *units* of
slots, and to carry weights over means to say, for each unit of the new network, which unit of the old one it was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from groupdnet_hub.config.decoder_layout import BlockConfig
from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.data.labels import LabelSet


@dataclass(frozen=True)
class ClassOrigin:
    """Where one class of the new label set starts from.

    Attributes:
        name: of the class.
        source: the old class whose weights it takes; None for a fresh class.
        carried: whether that is the class of the same name (else a named neighbour).
    """

    name: str
    source: str | None
    carried: bool


def class_origins(
    old: LabelSet, new: LabelSet, init_from: Mapping[str, str] | None = None
) -> tuple[ClassOrigin, ...]:
    """Return the origin of each class of ``new``: the old class of that name, one of ``init_from``, or none.

    Args:
        old: classes that the model has.
        new: classes that it is to have.
        init_from: old class names by new ones, for classes that the old model does not have.

    Raises:
        ValueError: for a name that is in neither set, a class that is carried over anyway, or no origin at all.
    """
    init_from = dict(init_from or {})
    for name, source in init_from.items():
        here = f"the start {name}={source}"
        try:
            new.id_of(name)
        except ValueError as error:
            raise ValueError(f"{here}: among the new classes, {error}") from None
        if name in old.names:
            raise ValueError(
                f"{here}: the model has a class {name!r}, which keeps its own weights; leave this start out"
            )
        try:
            old.id_of(source)
        except ValueError as error:
            raise ValueError(f"{here}: among the model's classes, {error}") from None
    origins = tuple(
        ClassOrigin(name, name if name in old.names else init_from.get(name), name in old.names)
        for name in new.names
    )
    if all(origin.source is None for origin in origins):
        raise ValueError(
            f"no class of the data ({_shown(new)}) is one of the model's ({_shown(old)}): name classes to start "
            "from, such as "
            f"{new.names[0]}={old.names[0]}, or begin a new model"
        )
    return origins


def _shown(labels: LabelSet) -> str:
    return ", ".join(labels.names[:20]) + (", ..." if len(labels) > 20 else "")


@dataclass(frozen=True)
class SlotSources:
    """For each slot of the new decoder the slot of the old one that it takes over, or -1.

    Attributes:
        source: old slot, or -1 for a fresh one.
        carried: whether the slot holds a class of both networks.
        old_slots: number of slots of the old decoder.
    """

    source: tuple[int, ...]
    carried: tuple[bool, ...]
    old_slots: int

    @classmethod
    def from_origins(
        cls, origins: Sequence[ClassOrigin], old: GroupDNetConfig, new_slots: int
    ) -> SlotSources:
        """Let each slot take over its class's old slot; spare slots and fresh classes take a free one in their place.

        A spare slot's code is always zero, but its channels still add a constant to the picture. Carrying it over
        keeps that constant, and its unused weights are as fresh as any.
        """
        ids = {name: i for i, name in enumerate(old.class_names)}
        source = [-1 if o.source is None else ids[o.source] for o in origins]
        carried = [origin.carried for origin in origins]
        taken = {s for s, same in zip(source, carried, strict=True) if same}
        for slot in range(new_slots):
            spare_before = old.num_classes <= slot < old.class_slots
            if slot >= len(origins):
                free = slot < old.class_slots and slot not in taken
                source.append(slot if free else -1)
                carried.append(False)
            elif source[slot] < 0 and spare_before:
                source[slot] = slot
        return cls(tuple(source), tuple(carried), old.class_slots)

    def units(self, old_groups: int) -> tuple[int, ...]:
        """Return, for each unit of the new network where the old one had ``old_groups``, the old unit or -1.

        A unit of several slots follows most of its carried classes; at equal votes, a unit not yet followed.
        """
        if not _holds_whole_slots(old_groups, self.old_slots):
            return tuple(
                range(old_groups)
            )  # one unit for all, or units that share classes: each stays in place
        span = self.old_slots // old_groups
        followed: list[int] = []
        for start in range(0, len(self.source), span):
            votes: dict[int, tuple[int, int]] = {}
            for source, carried in zip(
                self.source[start : start + span], self.carried[start : start + span], strict=True
            ):
                if source >= 0:
                    same, named = votes.get(source // span, (0, 0))
                    votes[source // span] = (same + carried, named + (not carried))
            best = max(votes, key=lambda unit: (*votes[unit], unit not in followed, -unit), default=-1)
            followed.append(best)
        return tuple(followed)

    def channels(self, old_groups: int, old_channels: int) -> Tensor:
        """Return the old channel of each new one, -1 for a fresh one, int64 [new channels], slot or unit by unit."""
        each = old_channels // old_groups
        units = torch.tensor(self.units(old_groups))[:, None]
        return torch.where(units < 0, -1, units * each + torch.arange(each)).flatten()

    def first_mixed_block(self, slot: int, groups: Sequence[int]) -> int | None:
        """Return the first block that this slot enters by another group than before; None if there is none."""
        source, slots = self.source[slot], len(self.source)
        for i, old_groups in enumerate(groups):
            if _holds_whole_slots(old_groups, self.old_slots):
                span = self.old_slots // old_groups
                kept = self.units(old_groups)[slot // span] == source // span
            else:  # its first and its last channel are where they were
                kept = all(
                    (slot * old_groups + last) // slots == (source * old_groups + last) // self.old_slots
                    for last in (0, old_groups - 1)
                )
            if not kept:
                return i
        return None


def config_for_classes(old: GroupDNetConfig, labels: LabelSet) -> GroupDNetConfig:
    """Return the configuration of ``old`` for other classes, such that weights can be carried over.

    The encoder keeps its channels per class. Classes that fit into the old decoder's slots leave its shape as it
    is. For more, each layer keeps its channels per unit and gets more units: a group spans as many slots as before
    where that divides the new slots, and all of them elsewhere; what was one group for all, or groups that hold
    parts of classes (the paper's 20 of 35), stay as wide as they were. Of the slot counts that allow this, the one
    with the fewest weights is taken.

    Raises:
        ValueError: if there is none, for example because the network would be too wide.
    """
    if old.system_name != "GroupDNet" or old.class_order:
        kind = "a GroupDNet of another class order" if old.class_order else f"a {old.system_name}"
        raise ValueError(
            f"{kind} cannot be made one of other classes: weights are carried over only for a GroupDNet whose classes "
            "stand in the order of their ids"
        )
    count = len(labels)
    fields = {
        "class_names": labels.names,
        "palette": labels.palette,
        "ignore": labels.ignore,
        "encoder_width": old.encoder_width // old.num_classes * count,
        "prior_ties": _kept_ties(old.prior_ties, labels),
    }
    try:
        if count <= old.class_slots:
            return old.replace(**fields)
        candidates = [wider for slots in range(count, 2 * count) for wider in _widened(old, fields, slots)]
        if not candidates:
            raise ValueError("its schedule of channels and groups cannot be widened; begin a new model")
        return min(candidates, key=_decoder_weights)
    except ValueError as error:
        raise ValueError(
            f"the model of {old.num_classes} classes cannot be made one of {count}: {error}"
        ) from None


def _kept_ties(ties: Sequence[Sequence[str]], labels: LabelSet) -> tuple[tuple[str, ...], ...]:
    """Return ties of the classes that there still are; one class alone is not tied."""
    kept = (tuple(name for name in tie if name in labels.names) for tie in ties)
    return tuple(tie for tie in kept if len(tie) > 1)


def _widened(old: GroupDNetConfig, fields: Mapping[str, Any], slots: int) -> list[GroupDNetConfig]:
    """Return ``old`` with more slots; None where channels do not divide, or weights would have no counterpart."""
    blocks = tuple(_wider_block(block, old.class_slots, slots) for block in old.blocks)
    fc_channels = old.fc_channels // old.class_slots * slots
    if not _keeps_structure(old, blocks, fc_channels, slots):
        return []
    try:
        return [old.replace(**fields, blocks=blocks, fc_channels=fc_channels, class_slots=slots)]
    except ValueError:
        return []


def _holds_whole_slots(groups: int, slots: int) -> bool:
    """Return whether each group holds whole slots; the paper's 20 groups of 35 classes do not."""
    return groups > 1 and slots % groups == 0


def _unit_count(old_groups: int, old_slots: int, slots: int) -> int:
    whole = _holds_whole_slots(old_groups, old_slots)
    return math.ceil(slots * old_groups / old_slots) if whole else old_groups


def _wider(old_groups: int, old_channels: int, old_slots: int, slots: int) -> tuple[int, int]:
    """Return (groups, channels) for more slots. Units that do not fill the slots evenly can only be one group."""
    units = _unit_count(old_groups, old_slots, slots)
    uneven = _holds_whole_slots(old_groups, old_slots) and slots * old_groups % old_slots
    return (1 if uneven else units), old_channels // old_groups * units


def _wider_block(block: BlockConfig, old_slots: int, slots: int) -> BlockConfig:
    groups, out_channels = _wider(block.groups, block.out_channels, old_slots, slots)
    label_groups, hidden_channels = _wider(block.label_groups, block.hidden_channels, old_slots, slots)
    modulation_groups, _ = _wider(block.modulation_groups, block.hidden_channels, old_slots, slots)
    return BlockConfig(out_channels, groups, hidden_channels, label_groups, modulation_groups)


def _keeps_structure(
    old: GroupDNetConfig, blocks: Sequence[BlockConfig], fc_channels: int, slots: int
) -> bool:
    """Return whether each block keeps its skip convolution, if it had one, and its middle layer's units."""
    before, after = old.fc_channels, fc_channels
    for was, now in zip(old.blocks, blocks, strict=True):
        if (before == was.out_channels) != (after == now.out_channels):
            return False
        units = _unit_count(was.groups, old.class_slots, slots)
        middle = min(before, was.out_channels) // was.groups * units
        if middle != min(after, now.out_channels):
            return False
        # Group normalisation over all units is not that over each.
        if old.norm_kind == "group" and now.groups != units:
            return False
        before, after = was.out_channels, now.out_channels
    return True


def _decoder_weights(config: GroupDNetConfig) -> int:
    """Return number of weights in the decoder's 3x3 convolutions, in nines."""
    total, channels = config.code_channels * config.fc_channels, config.fc_channels
    for block in config.blocks:
        middle = min(channels, block.out_channels)
        total += middle * (channels + block.out_channels) // block.groups
        norms = 2 + (channels != block.out_channels)
        total += norms * config.label_channels * block.hidden_channels // block.label_groups
        total += 2 * block.hidden_channels * ((norms - 1) * channels + middle) // block.modulation_groups
        channels = block.out_channels
    return total
