"""Train or fine-tune a GroupDNet or a rival: ``accelerate launch train/train.py --train_data_dir FOLDER ...``.

:func:`train` is the loop. What it works with is built by :mod:`groupdnet_hub.training.run`, what one step does is in
:mod:`groupdnet_hub.training.step`, and its losses are in :mod:`groupdnet_hub.training.objectives`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm.auto import tqdm

from groupdnet_hub import load_system
from groupdnet_hub.baselines import System
from groupdnet_hub.config.limits import UNLIMITED
from groupdnet_hub.hub.discriminator_file import DISCRIMINATOR_FILE
from groupdnet_hub.runs.accelerators import device_type, process_count
from groupdnet_hub.runs.scripts import first_line, lost_process, run_command
from groupdnet_hub.runs.sharding import sole_run
from groupdnet_hub.runs.signals import Stopped, StopSignals, signal_name
from groupdnet_hub.runs.stopping import OUT_OF_TIME, StopAgreement
from groupdnet_hub.training.config import ResolvedTrainConfig, TrainConfig, parse_train_config
from groupdnet_hub.training.data.pictures import build_labels
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
        Stopped: after a signal that asked to stop.
    """
    # Devices and processes, and the form of the steps that they allow.
    form, notes = choose_form(settings, device_type(), process_count())
    accelerator = start_training(settings, form)
    accelerator.print(form.line(notes))
    labels, output_dir, stopped = build_labels(settings), settings.output_path, None
    with (
        StopSignals() as signals,
        sole_run(accelerator, output_dir, "train", "choose another --output_dir"),
    ):
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
            stopped = train_and_save(state, signals)
        accelerator.end_training()
    if stopped is not None:
        raise stopped


# -- the loop ---------------------------------------------------------------------------------------------------------


def train_and_save(run: Run, signals: StopSignals) -> Stopped | None:
    """Train, and save the model if all steps were made; return the signal that stopped the run.

    Steps, checkpoints and the model are finished before a signal is heeded, unless Ctrl-C comes twice.

    Raises:
        ValueError: if training fails; it says which checkpoint there is.
        Stopped: at a second Ctrl-C, and if the model was to be uploaded.
    """
    settings, steps, progress = run.settings, run.length.steps, run.batches.progress
    try:
        with signals.held():
            reason = train(run, signals)
            checkpoint = settings.output_path / f"checkpoint-{progress.step}"
            where = f"at step {progress.step} of {steps}: {checkpoint} is written, and"
            resumes = "--resume_from_checkpoint latest resumes from there"
            if reason is not None and reason != OUT_OF_TIME:
                return Stopped(reason, f"stopped by {signal_name(reason)} {where} {resumes}")
            save_preview(run)
            if reason == OUT_OF_TIME:
                run.learner.accelerator.print(
                    f"stopped after {settings.max_train_seconds:g} s {where} {resumes}"
                )
                return None
            save_model(run)
        if settings.push_to_hub:
            signals.raise_if_asked()
            upload_model(run)
    except (Stopped, ValueError, OSError, RuntimeError) as error:
        told = with_last_checkpoint(error, run, signals)
        if told is None:
            raise
        raise told from error
    return None


def with_last_checkpoint(error: BaseException, run: Run, signals: StopSignals) -> Stopped | ValueError | None:
    """Return an error that says where a run stopped and which checkpoint there is; None for a fault of the program."""
    where, there = f"at step {run.batches.progress.step}", last_checkpoint(run.settings.output_path)
    if isinstance(error, Stopped):
        return Stopped(error.number, f"stopped by {error.by} {where}; {there}")
    lost = lost_process(error)
    if lost is not None and signals.asked is not None:  # the signal has ended that process too
        return Stopped(signals.asked, f"stopped by {signal_name(signals.asked)} {where}: {lost}; {there}")
    if lost is None and isinstance(error, RuntimeError):
        return None
    return ValueError(f"stopped {where}: {lost or first_line(error)}; {there}")


def train(run: Run, signals: StopSignals) -> int | None:
    """Make the steps that are left, or those until a signal asks to stop or ``--max_train_seconds`` are over.

    Logs, previews and checkpoints are written on the way; the last step has a checkpoint.

    Returns:
        Why it stopped early, as of :meth:`StopAgreement.reason`.
    """
    settings, learner, progress, steps = run.settings, run.learner, run.batches.progress, run.length.steps
    accelerator = learner.accelerator
    learner.model.train()
    learner.discriminator.train()
    run.guard.begin()
    if run.quality.due(progress.step):  # stopped before it was measured
        evaluate(run)
    main_process = accelerator.is_main_process
    bar = tqdm(total=steps, initial=progress.step, disable=not main_process, mininterval=2)
    agreement = StopAgreement(signals, settings.max_train_seconds, accelerator.num_processes)
    throughput = Throughput(accelerator.device)
    count = max(0, steps - progress.step) * settings.gradient_accumulation_steps
    with bar:
        for batch in islice(run.batches, count):
            weights, kind = set_schedules(settings, learner, progress.step, steps)
            losses = run.make_step(batch, weights, kind)
            if not accelerator.sync_gradients:
                continue
            progress.step += 1
            run.guard.follow(progress.step, losses, batch)
            if kind.generator:
                run.inference.follow(accelerator.unwrap_model(learner.model))
            throughput.count(run.length.pictures_per_step)
            bar.update()
            is_last = progress.step == steps
            stops = None if is_last else agreement.reason()
            if progress.step % settings.logging_steps == 0:
                log(run, losses, throughput.report(), bar)
            with throughput.paused():
                if stops is None and progress.step % settings.validation_steps == 0:
                    save_preview(run)
                if stops is None and run.quality.due(progress.step):
                    evaluate(run)
                if stops is not None or is_last or progress.step % settings.checkpointing_steps == 0:
                    save_state(run)
            if stops is not None:
                return stops
    return None


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
        ValueError: if a loss or a gradient was not finite, at this step or one before.
    """
    left_out = run.guard.check()
    learner, augmentation = run.learner, run.learner.streams.augmentation
    followed = {} if augmentation is None else augmentation.report()
    values = mean_over_processes({**losses, **learner.penalty.report(), **learner.clip.report(), **followed})
    shown = {name[:6]: f"{value:.2f}" for name, value in values.items()}
    bar.set_postfix(shown | {"img/s": f"{throughput['images_per_second']:.1f}"})
    rate = float(learner.optimizer.param_groups[0]["lr"])
    run.trackers.scalars(
        {**values, **left_out, "learning_rate": rate, **throughput}, run.batches.progress.step
    )


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
    run.guard.check()
    with quality.timed():
        quality.measure(model_to_save(run), step)
        quality.keep(step, lambda: write_model(run))
    quality.report(run.trackers, step)
    if accelerator.is_main_process:
        tqdm.write(quality.line(step))
    run.learner.model.train()


def save_state(run: Run) -> None:
    """Write a checkpoint from which the run can be resumed, with the model as it would be saved now.

    Raises:
        ValueError: if it cannot be written, or what it would hold is not finite.
    """
    accelerator, settings, progress = run.learner.accelerator, run.settings, run.batches.progress
    run.guard.check()
    model = model_to_save(run)
    run.guard.check_weights(model, run.learner.model, run.learner.discriminator)

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
    if (checkpoint.folder / MODEL_FOLDER).is_dir():  # one of the state alone has no fitted prior
        run.inference.resumed_at(progress.step)
    accelerator.print(f"resuming from step {progress.step}")


def save_model(run: Run) -> None:
    """Write the last model into ``OUTPUT_DIR/model``, unless the best is there."""
    settings, accelerator, best = run.settings, run.learner.accelerator, run.quality.best
    if accelerator.is_main_process:
        if best is None:
            write_model(run)
        run.quality.finish()
        which = "" if best is None else f", the model of step {best.evaluation.step}"
        accelerator.print(f"saved {settings.output_path / 'model'}{which}")
    accelerator.wait_for_everyone()


def upload_model(run: Run) -> None:
    """Upload the model that was saved."""
    accelerator = run.learner.accelerator
    if accelerator.is_main_process:
        model = model_to_save(run) if run.quality.best is None else saved_model(run)
        accelerator.print(f"uploaded to {upload(model, run.settings)}")
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
    model = load_system(folder, limits=UNLIMITED)
    if run.settings.save_discriminator:
        discriminator = run.learner.accelerator.unwrap_model(run.learner.discriminator)
        model.discriminator_to_save = saved_weights(discriminator, folder, model.config)
    return model


if __name__ == "__main__":
    run_command(
        "train.py", main, stopped="no step was made since it started: start it again", wording=first_line
    )
