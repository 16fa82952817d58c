"""What the model card says of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groupdnet_hub.training.config import TrainConfig

# Flags that the card tells of where they are used.
_USED = (
    "random_shift",
    "random_scale",
    "random_turn",
    "simplified_maps",
    "balanced_sampling",
    "recoloured_classes",
    "redraw_memory",
    "perceptual_crop",
    "discriminator_crop",
    "r1_weight",
    "diffaugment_target",
    "kl_free_nats",
    "class_balance",
)


def run_facts(
    settings: TrainConfig,
    before: Mapping[str, Any],
    weights: Mapping[str, float],
    *,
    step: int,
    pictures: int | None,
    pictures_per_step: int,
) -> dict[str, Any]:
    """``card_facts`` of the model as it is now.

    Args:
        before: those of the model that the run started from: its licence and notes stay, its metrics do not hold
            any more.
        weights: those that count.
        pictures: how many there are to train on; None for a stream.
    """
    kept = {name: value for name, value in before.items() if name in ("license", "license_note", "notes")}
    start = settings.pretrained_model_name_or_path
    if start:
        steps = f", which had {before['steps']} steps behind it" if "steps" in before else ""
        kept["notes"] = [*kept.get("notes", []), f"Trained on from {Path(start).name}{steps}."]
    used = {name: getattr(settings, name) for name in _USED if getattr(settings, name)}
    if settings.discriminator == "segmentation":
        used["discriminator"] = "segmentation of pixels"
        used["labelmix_weight"] = settings.labelmix_weight
    return {
        **kept,
        "data": " and ".join(Path(folder).name for folder in settings.train_data_dir)
        if settings.train_data_dir
        else settings.dataset_name,
        "training_pictures": pictures,
        "steps": step,
        "batch_size": pictures_per_step,
        "perceptual_net": settings.perceptual_net,
        "loss_weights": dict(weights),
        **used,
        "precision": settings.mixed_precision,
    }
