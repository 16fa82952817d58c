"""The settings that shape a new GroupDNet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from groupdnet_hub import LabelSet
from groupdnet_hub.baselines import system_from_file, system_preset
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
        ValueError: for an order that does not name each class once.
    """
    fields = {
        name: getattr(settings, name)
        for name in (*_FIELDS, *_CODE_FIELDS)
        if getattr(settings, name) is not None
    }
    if settings.hidden_channels is not None:
        fields["hidden_per_class"] = settings.hidden_channels
    if settings.class_order == "likeness" and settings.train_data_dir:
        fields["class_order"] = likeness_order(folder_data(settings, labels, settings.image_size))
    elif isinstance(settings.class_order, tuple):
        fields["class_order"] = named_order(settings.class_order, labels)
    return fields


def draws_edges(settings: TrainConfig) -> bool:
    """Return whether the model to train draws instance edges, before it is built or loaded.

    Raises:
        ValueError, OSError: for a configuration that cannot be read.
    """
    if settings.pretrained_model_name_or_path:
        return saved_config(settings.pretrained_model_name_or_path, token=settings.hub_token).instance_edges
    if settings.config:
        return system_from_file(settings.config).instance_edges
    if settings.instance_edges is None and settings.preset:
        return system_preset(settings.system, settings.preset).instance_edges
    return bool(settings.instance_edges)
