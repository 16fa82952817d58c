"""The part that measures a metric of several pictures, by the metric's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from groupdnet_hub import LabelSet
from groupdnet_hub.evaluation.config import EvaluateConfig
from groupdnet_hub.evaluation.inputs import Inputs, Sampled
from groupdnet_hub.evaluation.sampled.kid import KidPart
from groupdnet_hub.evaluation.sampled.memory import MemoryPart
from groupdnet_hub.evaluation.sampled.parts import SampledPart
from groupdnet_hub.evaluation.training_photos import TrainingPhotos
from groupdnet_hub.metrics import (
    FaceMesh,
    measure_chroma,
    measure_faces,
    measure_pattern,
    measure_sharpness,
    measure_tone,
    summarise_chroma,
    summarise_faces,
    summarise_pattern,
    summarise_sharpness,
    summarise_tone,
)
from groupdnet_hub.runs.measuring.networks import Networks
from groupdnet_hub.runs.provenance import model_digest

# By metric: flag of its classes, function of one label map, and function of all rows.
_MEASURES: dict[str, tuple[str, Callable[..., np.ndarray], Callable[..., Any]]] = {
    "sharpness": ("garment_classes", measure_sharpness, summarise_sharpness),
    "fixed_pattern": ("pattern_classes", measure_pattern, summarise_pattern),
    "faces": ("head_classes", measure_faces, summarise_faces),
    "tone": ("tone_classes", measure_tone, summarise_tone),
    "chroma": ("chroma_classes", measure_chroma, summarise_chroma),
}
# Default classes by flag, of people8 and people16; those that a label set lacks are left out.
_DEFAULT_CLASSES = {
    "garment_classes": (
        *("top-clothes", "bottom-clothes"),
        *("top", "outerwear", "dress", "skirt", "trousers", "scarf"),
    ),
    "pattern_classes": ("top-clothes", "top", "outerwear", "dress"),
    "chroma_classes": ("top-clothes", "top", "dress"),
    "head_classes": ("hair", "hat", "face", "glasses"),
    "tone_classes": ("face", "skin"),
}


class FunctionPart(SampledPart):
    """A metric that two functions compute from pictures, photo and label map alone.

    Args:
        seeds: number of pictures of each label map.
        settings: settings that the metric depends on.
        measure: function of pictures, photo and label map that returns a row.
        summarise: function of the rows of all label maps that returns a dataclass.
    """

    def __init__(
        self,
        seeds: int,
        settings: dict[str, Any],
        measure: Callable[[Tensor, Tensor, Tensor], np.ndarray],
        summarise: Callable[[np.ndarray], Any],
    ) -> None:
        self.seeds, self.settings = seeds, settings
        self._measure, self._summarise = measure, summarise

    def measure(self, sampled: Sampled) -> np.ndarray:
        """Return the row of a label map."""
        return self._measure(sampled.pictures, sampled.photo, sampled.label)

    def summarise(self, rows: np.ndarray) -> dict[str, Any]:
        """Return the fields of the result."""
        return asdict(self._summarise(rows))


def sampled_part(name: str, settings: EvaluateConfig, inputs: Inputs, networks: Networks) -> SampledPart:
    """Return the part of one of ``SAMPLED_METRICS``, with its networks and photos loaded.

    Args:
        name: name of the metric.
        settings: settings of the run.
        inputs: what is measured.
        networks: networks of the run.

    Raises:
        ValueError: for missing weights, training photos or classes.
        ImportError: for faces without mediapipe.
    """
    seeds = settings.pattern_seeds if name == "fixed_pattern" else settings.kid_seeds
    conditions: dict[str, Any] = {"num_images": settings.num_images, **inputs.judging_settings()}
    conditions["pattern_seeds" if name == "fixed_pattern" else "kid_seeds"] = seeds
    if name in ("kid", "kid_inception"):
        network = networks.inception if name == "kid_inception" else networks.trunk
        conditions["network"] = model_digest(network)
        return KidPart(network, seeds, conditions, _as_many_training_photos(settings, inputs))
    if name == "memory":
        conditions["network"] = model_digest(networks.lpips_embedding)
        photos = TrainingPhotos(settings.training_split, inputs, settings.name_suffix)
        return MemoryPart(networks.lpips_embedding, seeds, conditions, photos)
    flag, measure, summarise = _MEASURES[name]
    classes = class_names(flag, getattr(settings, flag), inputs.system.labels)
    conditions[flag] = list(classes)
    more: dict[str, Any] = {"finder": FaceMesh()} if name == "faces" else {}
    measure = partial(measure, class_ids=tuple(inputs.system.labels.ids_of(classes)), **more)
    if name == "fixed_pattern":
        summarise = partial(summarise, names=classes)
    return FunctionPart(seeds, conditions, measure, summarise)


def _as_many_training_photos(settings: EvaluateConfig, inputs: Inputs) -> TrainingPhotos | None:
    """Return as many training photos as label maps are measured; None without a training split."""
    split = settings.training_split
    if not (split / "metadata.jsonl").is_file():
        return None
    return TrainingPhotos(split, inputs, settings.name_suffix, len(inputs.spread(settings.num_images)))


def class_names(flag: str, given: Sequence[str] | None, labels: LabelSet) -> tuple[str, ...]:
    """Return the class names of a flag: the given ones, those of people8 or people16, or else all but the first.

    Args:
        flag: name of the flag.
        given: its value.
        labels: label set.

    Raises:
        ValueError: for a class that the label set lacks, and for a default of which it has too few.
    """
    default = _DEFAULT_CLASSES[flag]
    if given is not None:
        try:
            labels.ids_of(given)
        except ValueError as error:
            raise ValueError(f"--{flag}: {error}") from None
        return tuple(given)
    known = tuple(name for name in default if name in labels.names)
    if (flag == "tone_classes" and len(known) < 2) or (flag == "head_classes" and not known):
        raise ValueError(
            f"the label set lacks the classes {', '.join(default)}; name those of yours with --{flag}"
        )
    return known or labels.names[1:] or labels.names
