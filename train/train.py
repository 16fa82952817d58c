"""Train or fine-tune a GroupDNet or a rival: ``accelerate launch train/train.py --train_data_dir FOLDER ...``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from accelerate.utils import (
    DataLoaderConfiguration,
    GradientAccumulationPlugin,
    ProjectConfiguration,
    set_seed,
)

from groupdnet_hub import GroupDNet
from groupdnet_hub.runs.accelerators import (
    build_accelerator,
    device_type,
    only_deterministic_algorithms,
    process_count,
)
from groupdnet_hub.runs.sharding import sole_run
from groupdnet_hub.training.build import build_model, objective_of, with_asked_prior
from groupdnet_hub.training.config import TrainConfig, parse_train_config
from groupdnet_hub.training.data import build_data, build_labels, grid_batch
from groupdnet_hub.training.device_data import keep_pictures
from groupdnet_hub.training.fast.step_form import choose_form
from groupdnet_hub.training.state.checkpoints import finish_checkpoints, first_line, last_checkpoint
from groupdnet_hub.training.trainer import Trainer


def main(argv: list[str] | None = None) -> None:
    """One run, from the command line to the saved model."""
    run(parse_train_config(argv))


def run(settings: TrainConfig) -> None:
    """One run, from its settings to the saved model.

    Raises:
        ValueError, OSError: for what the settings name and cannot be had, and where training fails.
    """
    output_dir = Path(settings.output_dir)
    form, notes = choose_form(settings, device_type(), process_count())
    trackers = None if settings.report_to == "none" else settings.report_to.split(",")
    accelerator = build_accelerator(
        mixed_precision="no" if form.dtype is not None else settings.mixed_precision,  # no casts in the loop
        log_with=trackers,
        project_config=ProjectConfiguration(
            project_dir=str(output_dir), logging_dir=str(output_dir / "logs")
        ),
        gradient_accumulation_plugin=GradientAccumulationPlugin(
            num_steps=settings.gradient_accumulation_steps, sync_with_dataloader=False
        ),
        # A GPU copies from pinned memory while the host goes on.
        dataloader_config=DataLoaderConfiguration(
            use_seedable_sampler=True, non_blocking=torch.cuda.is_available()
        ),
    )
    accelerator.print(form.line(notes))
    set_seed(settings.seed)
    if settings.deterministic:
        only_deterministic_algorithms()
    torch.backends.cuda.matmul.allow_tf32 = settings.allow_tf32
    torch.backends.cudnn.allow_tf32 = settings.allow_tf32

    labels = build_labels(settings)
    model, carried_over = build_model(settings, labels)
    if carried_over is not None:
        accelerator.print(carried_over.table())
    model = with_asked_prior(settings, model)
    if settings.redraw_weight and not isinstance(model, GroupDNet):
        raise ValueError(
            f"--redraw_weight has no effect: a {model.config.system_name} has no codes of classes"
        )
    objective = objective_of(model.config)
    resolved = settings.resolved(objective, accelerator.num_processes)
    data = build_data(settings, labels, model.config.image_size)
    on_device = keep_pictures(settings, data, accelerator) == "device"
    grid = grid_batch(settings, data)
    trainer = Trainer(resolved, accelerator, model, objective, data, grid, form, on_device=on_device)
    with sole_run(accelerator, output_dir, "train", "choose another --output_dir"):
        finish_checkpoints(accelerator, output_dir)
        if trackers:
            accelerator.init_trackers("groupdnet")
        if settings.resume_from_checkpoint:
            trainer.resume(settings.resume_from_checkpoint)
        try:
            trainer.train()
            trainer.look()
            if trainer.step >= trainer.total_steps:
                trainer.save_final()
            else:
                accelerator.print(
                    f"stopped after {settings.max_train_seconds:g} s at step {trainer.step} of {trainer.total_steps}: "
                    "--resume_from_checkpoint latest resumes from there"
                )
        except (ValueError, OSError) as error:
            where = f"stopped at step {trainer.step}"
            raise ValueError(f"{where}: {first_line(error)}; {last_checkpoint(output_dir)}") from error
        accelerator.end_training()


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"train.py: {first_line(error)}")
