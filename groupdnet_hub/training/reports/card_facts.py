"""What the model card says of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groupdnet_hub.training.config import ResolvedTrainConfig
from groupdnet_hub.training.objectives.loss_weights import used_weights, weights_at
from groupdnet_hub.training.schedules import RunLength

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


@dataclass(frozen=True)
class CardFacts:
    """What the cards of a run's models say of it.

    Attributes:
        settings: settings of the run.
        length: its length.
        used: names of the losses that have an effect.
        before: facts of the model that the run started from: its licence and notes stay, its metrics do not hold any
            more.
    """

    settings: ResolvedTrainConfig
    length: RunLength
    used: tuple[str, ...]
    before: Mapping[str, Any]

    def at(self, step: int) -> dict[str, Any]:
        """Return ``card_facts`` of the model after ``step`` updates."""
        settings = self.settings
        facts: dict[str, Any] = {
            name: value for name, value in self.before.items() if name in ("license", "license_note", "notes")
        }
        start = settings.pretrained_model_name_or_path
        if start:
            steps = f", which had {self.before['steps']} steps behind it" if "steps" in self.before else ""
            facts["notes"] = [*facts.get("notes", []), f"Trained on from {Path(start).name}{steps}."]
        used = {name: getattr(settings, name) for name in _USED if getattr(settings, name)}
        if settings.discriminator == "segmentation":
            used["discriminator"] = "segmentation of pixels"
            used["labelmix_weight"] = settings.labelmix_weight
        return {
            **facts,
            "data": " and ".join(Path(folder).name for folder in settings.train_data_dir)
            if settings.train_data_dir
            else settings.dataset_name,
            "training_pictures": self.length.pictures,
            "steps": step,
            "batch_size": self.length.pictures_per_step,
            "perceptual_net": settings.perceptual_net,
            "loss_weights": used_weights(self.used, weights_at(settings, step)),
            **used,
            "precision": settings.mixed_precision,
        }
