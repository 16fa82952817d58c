"""The flags of train.py that shape a new GroupDNet, and what they mean for a model that exists already."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from typing import Any

from groupdnet_hub import GroupDNetConfig, LabelSet, PairedImages
from groupdnet_hub.baselines import SystemConfig
from groupdnet_hub.training.class_order import likeness_order

# Orders of the classes that have a name of their own.
ORDERS = ("ids", "likeness")
# Flags that are fields of a system's configuration.
_FIELDS = ("encoder_width", "groups")
_CODE_FIELDS = ("latent_channels", "code_placement", "code_grid", "encoder_colours", "code_filling")


def add_network_arguments(parser: argparse.ArgumentParser) -> None:
    """``--class_order``, ``--hidden_channels`` and the flags of codes."""
    add = parser.add_argument
    add(
        "--class_order",
        nargs="+",
        default="ids",
        metavar="CLASS",
        help="order of the classes inside a new GroupDNet, of which neighbours share groups: ids, that of their ids; "
        "likeness, alike ones side by side; or all class names",
    )
    add(
        "--hidden_channels",
        type=int,
        help="hidden channels for each class in a new GroupDNet's CG-Norms; by default 0.8 x --width for all classes "
        "together, at least 2 for each",
    )
    add("--latent_channels", type=int, help="channels of the code of each class, for a new model")
    add(
        "--code_placement",
        choices=("frame", "box"),
        help="where a new GroupDNet lays the code of a class: over the whole frame, as in the paper and by default, or "
        "in the class's bounding box, so that a print moves with its cloth",
    )
    add(
        "--code_grid",
        type=int,
        help="with --code_placement box: by how much finer the grid that codes are pasted into is than the decoder's "
        "first feature map; by default 4",
    )
    add(
        "--encoder_colours",
        action=argparse.BooleanOptionalAction,
        help="show the last layers of a new GroupDNet's encoder the mean colours of each class, which its norms take "
        "away otherwise",
    )
    add(
        "--code_filling",
        choices=("none", "nearest"),
        help="what the code of a class holds where its box does not show it: whatever the encoder says, by default, or "
        "the code of the nearest place that shows it, so that it is whole on another label map",
    )


def plain_order(value: Sequence[str] | str) -> str | list[str]:
    """``--class_order`` as ``ids``, ``likeness``, or a list of names."""
    names = [value] if isinstance(value, str) else list(value)
    return names[0] if len(names) == 1 and names[0] in ORDERS else names


def named_order(names: Sequence[str], labels: LabelSet) -> tuple[int, ...]:
    """Class ids in an order that is given by names.

    Raises:
        ValueError: unless each class is named once.
    """
    counts = Counter(names)
    problems = {
        "unknown": [name for name in counts if name not in labels.names],
        "named twice": [name for name, count in counts.items() if count > 1],
        "missing": [name for name in labels.names if name not in counts],
    }
    if any(problems.values()):
        found = "; ".join(f"{what}: {', '.join(which)}" for what, which in problems.items() if which)
        raise ValueError(
            f"--class_order names each class of the data once, or is one of {', '.join(ORDERS)} ({found}); the "
            f"classes are {', '.join(labels.names)}"
        )
    return tuple(labels.names.index(name) for name in names)


def network_fields(args: argparse.Namespace, labels: LabelSet) -> dict[str, Any]:
    """Fields of a new model's configuration that the command line names.

    Raises:
        ValueError: for an order that does not name each class once, and for ``--hidden_channels`` with a preset.
    """
    fields = {
        name: getattr(args, name) for name in (*_FIELDS, *_CODE_FIELDS) if getattr(args, name) is not None
    }
    if args.hidden_channels is not None:
        if args.preset:
            raise ValueError(
                f"--hidden_channels is for a network by --width: --preset {args.preset} has those of Table 4"
            )
        fields["hidden_per_class"] = args.hidden_channels
    if args.class_order == "likeness":
        data = PairedImages.from_folder(args.train_data_dir, args.resolution, labels=labels)
        fields["class_order"] = likeness_order(data)
    elif args.class_order != "ids":
        fields["class_order"] = named_order(args.class_order, labels)
    return fields


def check_existing(args: argparse.Namespace, config: SystemConfig, source: str) -> None:
    """Refuse flags that contradict a network that exists already.

    Args:
        source: the flag that gave the network.

    Raises:
        ValueError: naming the flag, and what the network has.
    """
    wanted = {f"--{name}": getattr(args, name) for name in _CODE_FIELDS}
    has = {f"--{name}": getattr(config, name, None) for name in _CODE_FIELDS}
    wanted["--hidden_channels"] = args.hidden_channels
    if isinstance(config, GroupDNetConfig):
        hidden = {block.hidden_channels / config.class_slots for block in config.blocks}
        has["--hidden_channels"] = hidden.pop() if len(hidden) == 1 else "several counts of"
        if isinstance(args.class_order, list):
            order = config.class_order or range(config.num_classes)
            wanted["--class_order"] = args.class_order
            has["--class_order"] = [config.class_names[class_id] for class_id in order]
    for flag, value in wanted.items():
        if value is not None and value != has.get(flag):
            raise ValueError(
                f"{flag} {_shown(value)} contradicts the network of {source}, which has {_shown(has.get(flag))}: a "
                "network keeps its shape; leave the flag out, or begin a new model without "
                f"{source}"
            )


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
