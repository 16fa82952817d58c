"""What a run of train.py compares before it resumes, and whether it is finished already."""

from __future__ import annotations

import json

from accelerate import Accelerator

from groupdnet_hub import LabelSet
from groupdnet_hub.baselines import SystemConfig, system_from_json
from groupdnet_hub.hub.discriminator_file import DISCRIMINATOR_FILE
from groupdnet_hub.hub.files import CARD_FILE, CONFIG_FILE, FACTS_FILE, WEIGHTS_FILE
from groupdnet_hub.training.build import objective_of
from groupdnet_hub.training.config import ResolvedTrainConfig, TrainConfig
from groupdnet_hub.training.data.data_facts import data_facts
from groupdnet_hub.training.data.pictures import Data
from groupdnet_hub.training.reports.run_record import RECORD_FILE
from groupdnet_hub.training.schedules import RunLength
from groupdnet_hub.training.state.checkpoints import Checkpoint
from groupdnet_hub.training.state.conditions import Comparison, Conditions, recorded_settings
from groupdnet_hub.training.state.quality_record import QUALITY_FILE, steps_made

# Folder of the model in a checkpoint.
MODEL_FOLDER = "generator"
# What a run writes beside its checkpoints.
WRITTEN = (
    *(f"model/{name}" for name in (CONFIG_FILE, WEIGHTS_FILE, FACTS_FILE, CARD_FILE, DISCRIMINATOR_FILE)),
    "samples/" + "[0-9]" * 7 + ".png",
    "logs/groupdnet",
    QUALITY_FILE,
    "logs/wandb",
    RECORD_FILE,
)


def compare_start(
    settings: TrainConfig, labels: LabelSet, checkpoint: Checkpoint | None, accelerator: Accelerator
) -> Comparison:
    """Compare what is known before anything is loaded: classes and settings.

    Returns:
        The comparison, for what is known later.

    Raises:
        ValueError: for other classes, and for other settings that are not allowed.
    """
    comparison = Comparison(checkpoint, settings, accelerator.print, MODEL_FOLDER)
    comparison.check_classes(labels)
    if comparison.network is not None:
        # Of the checkpoint's network: another one is refused as such.
        objective = objective_of(system_from_json(json.dumps(comparison.network)))
        processes = accelerator.num_processes
        comparison.check_settings(settings.resolved(objective, processes), labels, processes)
    return comparison


def finished(settings: TrainConfig, comparison: Comparison) -> str | None:
    """Return a line that says so if a run that is to resume has made all its steps and saved its model.

    A run whose model is to be uploaded is not finished before that.
    """
    saved = comparison.saved
    if settings.resume_from_checkpoint != "latest" or settings.push_to_hub:
        return None
    steps = settings.max_train_steps
    if (
        steps is None
        and saved is not None
        and saved.settings.get("num_train_epochs") == settings.num_train_epochs
    ):
        steps = saved.steps
    made = steps_made(settings.output_path)
    if steps is None or made is None or made < steps:
        return None
    flag = "max_train_steps" if settings.max_train_steps else "num_train_epochs"
    return (
        f"{settings.output_dir} is finished: all its {steps} steps were made. To train it further, raise --{flag} "
        f"and give --allow_changes {flag}: the learning rates follow the new length"
    )


def run_conditions(
    settings: ResolvedTrainConfig, config: SystemConfig, data: Data, length: RunLength, processes: int
) -> Conditions:
    """Return what the checkpoints of a run record."""
    return Conditions(
        network=config.to_dict(),
        settings=recorded_settings(settings, data.labels),
        data=data_facts(settings, data),
        steps=length.steps,
        processes=processes,
    )
