"""The settings that shape a new GroupDNet, and what they mean for a model that exists already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from groupdnet_hub import GroupDNetConfig, LabelSet
from groupdnet_hub.baselines import SystemConfig, system_from_file, system_preset
from groupdnet_hub.baselines.registry import saved_config
from groupdnet_hub.training.config import TrainConfig
from groupdnet_hub.training.config.network import ORDERS
from groupdnet_hub.training.data.class_order import likeness_order
from groupdnet_hub.training.data.pictures import folder_data

# Flags that are fields of a system's configuration.
_FIELDS = ("encoder_width", "groups", "instance_edges")
_CODE_FIELDS = ("latent_channels", "code_placement", "code_grid", "encoder_colours", "code_filling")


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


def network_fields(settings: TrainConfig, labels: LabelSet) -> dict[str, Any]:
    """Fields of a new model's configuration that the command line names.

    Raises:
        ValueError: for an order that does not name each class once, and for ``--hidden_channels`` with a preset.
    """
    fields = {
        name: getattr(settings, name)
        for name in (*_FIELDS, *_CODE_FIELDS)
        if getattr(settings, name) is not None
    }
    if settings.hidden_channels is not None:
        if settings.preset:
            raise ValueError(
                f"--hidden_channels is for a network by --width: --preset {settings.preset} has those of Table 4"
            )
        fields["hidden_per_class"] = settings.hidden_channels
    if settings.class_order == "likeness" and settings.train_data_dir:
        fields["class_order"] = likeness_order(folder_data(settings, labels, settings.resolution))
    elif isinstance(settings.class_order, tuple):
        fields["class_order"] = named_order(settings.class_order, labels)
    return fields


def draws_edges(settings: TrainConfig) -> bool:
    """Return whether the model to train draws instance edges, before it is built or loaded.

    Raises:
        ValueError, OSError: for a configuration that cannot be read.
    """
    if settings.pretrained_model_name_or_path:
        return saved_config(settings.pretrained_model_name_or_path).instance_edges
    if settings.config:
        return system_from_file(settings.config).instance_edges
    if settings.instance_edges is None and settings.preset:
        return system_preset(settings.system, settings.preset).instance_edges
    return bool(settings.instance_edges)


def check_existing(settings: TrainConfig, config: SystemConfig, source: str) -> None:
    """Refuse flags that contradict a network that exists already.

    Args:
        settings: settings of the run.
        config: configuration of the network.
        source: the flag that gave the network.

    Raises:
        ValueError: naming the flag, and what the network has.
    """
    wanted = {f"--{name}": getattr(settings, name) for name in _CODE_FIELDS}
    has = {f"--{name}": getattr(config, name, None) for name in _CODE_FIELDS}
    wanted["--hidden_channels"] = settings.hidden_channels
    if settings.instance_edges is not None and settings.instance_edges != config.instance_edges:
        flag = "--instance_edges" if settings.instance_edges else "--no-instance_edges"
        raise ValueError(
            f"{flag} contradicts the network of {source}, which draws {'no' if settings.instance_edges else 'the'} "
            f"edges of instance maps: leave the flag out, or begin a new model without {source}"
        )
    if isinstance(config, GroupDNetConfig):
        hidden = {block.hidden_channels / config.class_slots for block in config.blocks}
        has["--hidden_channels"] = hidden.pop() if len(hidden) == 1 else "several counts of"
        if isinstance(settings.class_order, tuple):
            order = config.class_order or range(config.num_classes)
            wanted["--class_order"] = settings.class_order
            has["--class_order"] = tuple(config.class_names[class_id] for class_id in order)
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
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
