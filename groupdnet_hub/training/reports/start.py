"""What is written and told when a run starts, before its first step: ``train_config.yaml``, and the trackers."""

from __future__ import annotations

import json
import platform
import shlex
import sys
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from groupdnet_hub.runs.args_file import PROVENANCE, secret_flags
from groupdnet_hub.runs.provenance import commit, digest, hardware, model_digest, versions, without_secrets
from groupdnet_hub.runs.sharding import on_main_process
from groupdnet_hub.training.config import ResolvedTrainConfig, TrainConfig
from groupdnet_hub.training.reports.repeats import differences, report
from groupdnet_hub.training.reports.run_record import RECORD_FILE, RunRecord, recorded_flags
from groupdnet_hub.training.reports.trackers import refuse_logs_of_others, remove_logs
from groupdnet_hub.training.run import Run
from groupdnet_hub.training.state.checkpoints import Checkpoint


def make_record(run: Run, checkpoint: Checkpoint | None) -> RunRecord:
    """Return the record of a run with its start, not written yet; say whether it repeats another run.

    Args:
        run: the run, of which no step was made and into which nothing was loaded.
        checkpoint: what it resumes from; None for a new run.

    Raises:
        ValueError: for a file in the place of the record that is not one, and logs of another run in the place of its.
    """

    def make() -> RunRecord:
        facts = start_facts(run, 0 if checkpoint is None else checkpoint.progress.get("step", 0))
        if checkpoint is not None:
            facts["checkpoint"] = str(checkpoint.folder.resolve())
        earlier = _read_own(run.settings.output_path / RECORD_FILE)
        record, note = _record(run.settings, facts, earlier)
        if len(record.starts) == 1:
            _make_room_for_logs(run.settings, record, earlier)
        if note is not None:
            accelerator.print(note)
        return record

    accelerator = run.learner.accelerator
    return on_main_process(accelerator, make)


def report_start(run: Run, record: RunRecord) -> None:
    """Write the record of a run, and start its trackers.

    Raises:
        ValueError: if it cannot be written, and for a tracker that cannot start.
    """
    settings, path = run.settings, run.settings.output_path / RECORD_FILE
    on_main_process(run.learner.accelerator, lambda: record.write(path))
    start = record.starts[-1]
    run.trackers.start(settings, settings.output_path, record.identity, start["step"])
    run.trackers.settings({**record.flags, PROVENANCE: start}, record.text(path), start["step"])


def start_facts(run: Run, step: int) -> dict[str, Any]:
    """Return what a run starts with beside its settings, in plain YAML types.

    Args:
        run: the run, with the weights that it starts from.
        step: updates that were made before.
    """
    learner, conditions = run.learner, run.conditions
    accelerator = learner.accelerator
    output = run.settings.output_path
    logs = run.settings.tensorboard_folder(output)
    networks = {"model": learner.model, "discriminator": learner.discriminator}
    weights = {name: model_digest(accelerator.unwrap_model(network)) for name, network in networks.items()}
    if (perceptual := learner.objective.parts.perceptual) is not None:
        weights["perceptual_net"] = model_digest(perceptual)
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "step": step,
        "command": shlex.join(without_secrets(sys.argv, secret_flags(TrainConfig))),
        "commit": commit(),
        "versions": versions(),
        "system": platform.platform(),
        "hardware": hardware(),
        "device": accelerator.device.type,
        "processes": accelerator.num_processes,
        "threads": torch.get_num_threads(),
        "precision": run.settings.mixed_precision,
        "step_form": run.form.line().removeprefix("training step: "),
        "data": dict(conditions.data),
        "network": digest(json.dumps(conditions.network, sort_keys=True)),
        "weights": weights,
        "tensorboard": str(logs if run.settings.shares_logs else logs.relative_to(output)),
    }


def _record(
    settings: ResolvedTrainConfig, facts: Mapping[str, Any], earlier: RunRecord | None
) -> tuple[RunRecord, str | None]:
    """Return the record with this start, and what a person is told of it."""
    flags = recorded_flags(settings)
    if facts["step"] and earlier is not None:
        return earlier.resumed(flags, facts), None
    record = RunRecord(flags, uuid.uuid4().hex[:12], [facts])
    if settings.args_file is None or (repeated := RunRecord.read(Path(settings.args_file))) is None:
        return record, None
    changes = differences(repeated, flags, facts)
    repeats = {
        "run": repeated.identity,
        "file": str(Path(settings.args_file).resolve()),
        "differs": [change.name for change in changes],
    }
    return replace(record, repeats=repeats), report(repeated, changes, settings.args_file)


def _make_room_for_logs(settings: ResolvedTrainConfig, record: RunRecord, earlier: RunRecord | None) -> None:
    """Remove TensorBoard's files of a run that is overwritten, wherever they are; refuse to mix with another run's."""
    output = settings.output_path
    if earlier is None:
        refuse_logs_of_others(settings, settings.tensorboard_folder(output))
    # The record of a folder that was copied names the logs of the original.
    elif settings.overwrite_output_dir and earlier.flags.get("output_dir") == record.flags["output_dir"]:
        for folder in {start["tensorboard"] for start in earlier.starts if "tensorboard" in start}:
            remove_logs(output / str(folder))


def _read_own(path: Path) -> RunRecord | None:
    """Return the record that the folder of a run holds; None for none.

    Raises:
        ValueError: for a file that a person wrote, which must not be lost.
    """
    if not path.exists():
        return None
    found = RunRecord.read(path)
    if found is None:
        raise ValueError(
            f"{path} is not the record of a run, which would take its place: give it another name"
        )
    return found
