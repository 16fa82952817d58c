"""Train or fine-tune a GroupDNet or a rival: ``accelerate launch train/train.py --train_data_dir FOLDER ...``.

:func:`train` is the loop. What it works with is built by :mod:`groupdnet_hub.training.run`, what one step does is in
:mod:`groupdnet_hub.training.step`, and its losses are in :mod:`groupdnet_hub.training.objectives`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm.auto import tqdm

from groupdnet_hub import load_system
from groupdnet_hub.baselines import System
from groupdnet_hub.hub.discriminator_file import DISCRIMINATOR_FILE
from groupdnet_hub.runs.accelerators import (
    device_type,
    process_count,
)
from groupdnet_hub.runs.scripts import first_line, program
from groupdnet_hub.runs.sharding import sole_run
from groupdnet_hub.runs.time_limit import TimeLimit
from groupdnet_hub.training.config import ResolvedTrainConfig, TrainConfig, parse_train_config
from groupdnet_hub.training.data.pictures import (
    build_labels,
)
from groupdnet_hub.training.distributed import mean_over_processes, start_training
from groupdnet_hub.training.fast.step_form import choose_form
from groupdnet_hub.training.objectives.loss_weights import LossWeights, weights_at, with_redraw_every
from groupdnet_hub.training.reports.start import make_record, report_start
from groupdnet_hub.training.reports.throughput import Throughput
from groupdnet_hub.training.resuming import MODEL_FOLDER, WRITTEN, compare_start, finished
from groupdnet_hub.training.run import Run, build_run
from groupdnet_hub.training.schedules import scheduled_factor, set_rate
from groupdnet_hub.training.state.checkpoints import (
    Checkpoint,
    last_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from groupdnet_hub.training.state.discriminator_state import saved_weights, weights_to_save
from groupdnet_hub.training.state.run_folder import open_run, remove_run
from groupdnet_hub.training.step import Learner, StepKind
from groupdnet_hub.training.upload import create_repository, upload


def main(argv: list[str] | None = None) -> None:
    """Train as the command line says."""
    run(parse_train_config(argv))


def run(settings: TrainConfig) -> None:
    """Build the networks, train them, and save the model.

    Raises:
        ValueError, OSError: for what the settings name and cannot be had, and where training fails.
    """
    # Devices and processes, and the form of the steps that they allow.
    form, notes = choose_form(settings, device_type(), process_count())
    accelerator = start_training(settings, form)
    accelerator.print(form.line(notes))
    labels, output_dir = build_labels(settings), settings.output_path
    with sole_run(accelerator, output_dir, "train", "choose another --output_dir"):
        # A run that resumes goes on with what it was started with.
        checkpoint = open_run(accelerator, output_dir, settings)
        comparison = compare_start(settings, labels, checkpoint, accelerator)
        if (note := finished(settings, comparison)) is not None:
            accelerator.print(note)
        else:
            if settings.push_to_hub and accelerator.is_main_process:
                create_repository(settings)
            state = build_run(settings, accelerator, form, labels, comparison)
            record = make_record(state, checkpoint)
            if settings.overwrite_output_dir:
                remove_run(accelerator, output_dir, WRITTEN)
            report_start(state, record)
            if checkpoint is not None:
                resume(state, checkpoint)
            state.quality.begin(None if checkpoint is None else state.batches.progress.step)
            train_and_save(state)
        accelerator.end_training()


# -- the loop ---------------------------------------------------------------------------------------------------------


def train_and_save(run: Run) -> None:
    """Train, and save the model if all steps were made.

    Raises:
        ValueError: if training fails; it says which checkpoint there is.
    """
    settings, steps = run.settings, run.length.steps
    progress, accelerator = run.batches.progress, run.learner.accelerator
    try:
        train(run)
        save_preview(run)
        if progress.step >= steps:
            save_model(run)
        else:
            accelerator.print(
                f"stopped after {settings.max_train_seconds:g} s at step {progress.step} of {steps}: "
                "--resume_from_checkpoint latest resumes from there"
            )
    except (ValueError, OSError) as error:
        where, there = f"stopped at step {progress.step}", last_checkpoint(settings.output_path)
        raise ValueError(f"{where}: {first_line(error)}; {there}") from error


def train(run: Run) -> None:
    """Make the steps that are left, or those that fit into ``--max_train_seconds``.

    Logs, previews and checkpoints are written on the way; the last step of a run that stops early has a checkpoint.
    """
    settings, learner, progress, steps = run.settings, run.learner, run.batches.progress, run.length.steps
    accelerator = learner.accelerator
    learner.model.train()
    learner.discriminator.train()
    if run.quality.due(progress.step):  # stopped before it was measured
        evaluate(run)
    main_process = accelerator.is_main_process
    bar = tqdm(total=steps, initial=progress.step, disable=not main_process, mininterval=2)
    limit = TimeLimit(settings.max_train_seconds, accelerator.num_processes, settings.logging_steps)
    throughput = Throughput(accelerator.device)
    count = max(0, steps - progress.step) * settings.gradient_accumulation_steps
    with bar:
        for batch in islice(run.batches, count):
            weights, kind = set_schedules(settings, learner, progress.step, steps)
            losses = run.make_step(batch, weights, kind)
            if not accelerator.sync_gradients:
                continue
            if kind.generator:
                run.inference.follow(accelerator.unwrap_model(learner.model))
            progress.step += 1
            throughput.count(run.length.pictures_per_step)
            bar.update()
            if progress.step % settings.logging_steps == 0:
                log(run, losses, throughput.report(), bar)
            with throughput.paused():
                if progress.step % settings.validation_steps == 0:
                    save_preview(run)
                if run.quality.due(progress.step):
                    evaluate(run)
                stops = progress.step < steps and limit.reached(progress.step)
                if stops or progress.step % settings.checkpointing_steps == 0:
                    save_state(run)
            if stops:
                break


def set_schedules(
    settings: ResolvedTrainConfig, learner: Learner, step: int, steps: int
) -> tuple[LossWeights, StepKind]:
    """Set the learning rates of a step, counted from 0; return the weights of its losses, and what it does."""
    factor = scheduled_factor(settings, step, steps)
    set_rate(learner.optimizer, settings.learning_rate * factor)
    set_rate(learner.discr_optimizer, settings.discr_learning_rate * factor)
    weights = with_redraw_every(weights_at(settings, step), step, settings.redraw_interval)
    kind = StepKind(
        generator=step >= settings.discriminator_warmup_steps,
        penalty=learner.penalty.due(step),
        weighted=weights.weighted(),
    )
    return weights, kind


def log(run: Run, losses: Mapping[str, Tensor], throughput: Mapping[str, float], bar: Any) -> None:
    """Report the losses of a step, the mean over all processes, to the trackers and the progress bar.

    Raises:
        ValueError: if one is not finite.
    """
    learner, augmentation = run.learner, run.learner.streams.augmentation
    followed = {} if augmentation is None else augmentation.report()
    values = mean_over_processes({**losses, **learner.penalty.report(), **learner.clip.report(), **followed})
    if not all(math.isfinite(value) for value in values.values()):
        raise ValueError(f"a loss is not finite: {values}")
    shown = {name[:6]: f"{value:.2f}" for name, value in values.items()}
    bar.set_postfix(shown | {"img/s": f"{throughput['images_per_second']:.1f}"})
    rate = float(learner.optimizer.param_groups[0]["lr"])
    run.trackers.scalars({**values, "learning_rate": rate, **throughput}, run.batches.progress.step)


# -- what comes out ---------------------------------------------------------------------------------------------------


def model_to_save(run: Run) -> System:
    """Return the model as it would be saved now, in evaluation mode."""
    accelerator = run.learner.accelerator
    model = run.inference.at(run.batches.progress.step, accelerator.unwrap_model(run.learner.model))
    if run.settings.save_discriminator:
        discriminator = accelerator.unwrap_model(run.learner.discriminator)
        model.discriminator_to_save = weights_to_save(discriminator, model.config)
    step = run.batches.progress.step
    model.card_facts = run.facts.at(step) | run.quality.facts(step)
    return model


def save_preview(run: Run) -> None:
    """Write a sample grid, and report what the model and the discriminator have learned."""
    accelerator, step = run.learner.accelerator, run.batches.progress.step
    if accelerator.is_main_process:
        discriminator = accelerator.unwrap_model(run.learner.discriminator)
        shown = run.preview.save(model_to_save(run), discriminator, step)
        run.trackers.scalars(shown.values, step)
        run.trackers.pictures({"samples": shown.grid}, step)
        run.trackers.table("classes", shown.classes, step)
        tqdm.write(f"step {step}: " + ", ".join(f"{key} {value:.3f}" for key, value in shown.values.items()))
    run.learner.model.train()


def evaluate(run: Run) -> None:
    """Measure the model on validation pictures; with ``--keep_best``, save it if it is the best so far."""
    accelerator, step, quality = run.learner.accelerator, run.batches.progress.step, run.quality
    with quality.timed():
        quality.measure(model_to_save(run), step)
        quality.keep(step, lambda: write_model(run))
    quality.report(run.trackers, step)
    if accelerator.is_main_process:
        tqdm.write(quality.line(step))
    run.learner.model.train()


def save_state(run: Run) -> None:
    """Write a checkpoint from which the run can be resumed, with the model as it would be saved now."""
    accelerator, settings, progress = run.learner.accelerator, run.settings, run.batches.progress
    model = model_to_save(run)

    def write_more(folder: Path) -> None:
        model.save_pretrained(folder / MODEL_FOLDER)
        run.conditions.write(folder)

    place, limit = (settings.output_path, progress.step), settings.checkpoints_total_limit
    save_checkpoint(accelerator, *place, progress.record(), write_more, limit)
    run.learner.model.train()


def resume(run: Run, checkpoint: Checkpoint) -> None:
    """Load a checkpoint into the run."""
    accelerator, progress = run.learner.accelerator, run.batches.progress
    load_checkpoint(accelerator, checkpoint)
    progress.load(checkpoint.progress)
    run.inference.resumed_at(progress.step)
    accelerator.print(f"resuming from step {progress.step}")


def save_model(run: Run) -> None:
    """Write the last model into ``OUTPUT_DIR/model``, unless the best is there; upload it if the settings say so."""
    settings, accelerator, best = run.settings, run.learner.accelerator, run.quality.best
    if accelerator.is_main_process:
        folder = settings.output_path / "model"
        if best is None:
            write_model(run)
        run.quality.finish()
        accelerator.print(
            f"saved {folder}" + ("" if best is None else f", the model of step {best.evaluation.step}")
        )
        if settings.hub_model_id:
            model = model_to_save(run) if best is None else saved_model(run)
            accelerator.print(f"uploaded to {upload(model, settings)}")
    accelerator.wait_for_everyone()


def write_model(run: Run) -> None:
    """Write the model into ``OUTPUT_DIR/model``, atomically."""
    settings = run.settings
    folder = settings.output_path / "model"
    model_to_save(run).save_pretrained(folder, repo_id=settings.hub_model_id)
    if not settings.save_discriminator:  # one of an earlier run would not be this model's
        (folder / DISCRIMINATOR_FILE).unlink(missing_ok=True)


def saved_model(run: Run) -> System:
    """Return the model that ``OUTPUT_DIR/model`` holds, with its discriminator if it has one."""
    folder = run.settings.output_path / "model"
    model = load_system(folder)
    if run.settings.save_discriminator:
        discriminator = run.learner.accelerator.unwrap_model(run.learner.discriminator)
        model.discriminator_to_save = saved_weights(discriminator, folder, model.config)
    return model


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"{program('train.py')}: {first_line(error)}")
