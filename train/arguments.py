"""Command line of train.py, checked before anything is loaded."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groupdnet_hub import PRESETS


def build_parser() -> argparse.ArgumentParser:
    """The flags, by the names that users of Hugging Face's training examples know."""
    parser = argparse.ArgumentParser(
        prog="train.py",
        description="Train or fine-tune a GroupDNet on pictures with label maps.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument

    def flag(name: str, text: str) -> None:
        add(name, action=argparse.BooleanOptionalAction, default=False, help=text)

    add("--args_file", help="YAML or JSON file of these flags; the command line wins over it")

    add(
        "--train_data_dir",
        help="folder with train/ (and validation/): images/, labels/, metadata.jsonl, classes.json",
    )
    add("--dataset_name", help="Hugging Face data set id, or 'imagefolder' together with --train_data_dir")
    flag(
        "--streaming", "read --dataset_name as it is downloaded, without keeping it; needs --max_train_steps"
    )
    add("--classes", help="classes.json of the label set; by default the one in --train_data_dir")
    add("--image_column", default="image", help="picture column of --dataset_name")
    add("--label_column", default="label", help="label map column of --dataset_name")

    add("--preset", choices=PRESETS, help="networks of the paper's Table 4")
    add("--config", help="config.json of a GroupDNet")
    add("--pretrained_model_name_or_path", help="GroupDNet to go on from: a folder or a Hub id")
    add(
        "--init_class",
        nargs="+",
        metavar="NEW=OLD",
        help="classes that the pretrained model lacks, each with the class of it that they start from; "
        "without one they start fresh",
    )
    add("--width", type=int, default=48, help="channels of the decoder's last block, for a new model")
    add("--encoder_width", type=int, help="channels of the encoder's first convolution, for a new model")
    add(
        "--resolution",
        type=int,
        nargs="+",
        default=[256],
        help="SIDE, or HEIGHT WIDTH, of the pictures, for a new model",
    )
    flag("--random_flip", "mirror half of the pictures")

    add("--output_dir", default="runs/groupdnet", help="where checkpoints, samples and the final model go")
    add("--train_batch_size", type=int, default=8, help="pictures per process and step")
    add("--gradient_accumulation_steps", type=int, default=1, help="batches per update")
    add("--num_train_epochs", type=int, default=100, help="passes over the data")
    add("--max_train_steps", type=int, help="steps, instead of --num_train_epochs")
    add(
        "--optimizer",
        choices=("adam", "sgd"),
        default="adam",
        help="adam (section 4.1), or plain sgd for checks",
    )
    add("--learning_rate", type=float, default=1e-4, help="rate of encoder and decoder")
    add("--discr_learning_rate", type=float, default=4e-4, help="rate of the discriminator")
    add(
        "--lr_decay_start",
        type=float,
        default=0.6,
        help="share of the steps after which both rates fall linearly to 0",
    )
    add(
        "--mixed_precision",
        choices=("no", "bf16", "fp16"),
        default="no",
        help="autocast precision; bf16 is the safe one",
    )
    flag("--allow_tf32", "TF32 matrix products on CUDA")
    flag("--use_ema", "keep an exponential moving average of the weights, and save that one")
    add("--ema_decay", type=float, default=0.999, help="decay of that average")
    add("--dataloader_num_workers", type=int, default=0, help="processes that read pictures")
    add(
        "--cache_gb",
        type=float,
        default=4.0,
        help="memory that may keep decoded pictures, all worker processes together; 0 reads them again",
    )
    flag("--compile", "torch.compile encoder, discriminator and perceptual net")
    add("--seed", type=int, default=0, help="fixes weights, data order, flips and noise")

    add(
        "--perceptual_net",
        choices=("vgg19", "vgg16", "none"),
        default="vgg19",
        help="net of the perceptual loss",
    )
    add(
        "--perceptual_weights",
        help="safetensors file of that net's weights; by default torchvision downloads them",
    )
    flag(
        "--perceptual_normalise",
        "give that net pictures normalised as it was trained; the paper's code does not",
    )
    add("--adversarial_weight", type=float, default=1.0, help="weight of the hinge loss")
    add("--feature_matching_weight", type=float, default=10.0, help="weight of feature matching")
    add("--perceptual_weight", type=float, default=10.0, help="weight of the perceptual loss")
    add(
        "--kl_weight",
        type=float,
        default=0.4,
        help="weight of the KL divergence per picture (paper: 0.05 x 8)",
    )
    add("--kl_weight_start", type=float, help="weight of the KL divergence at the first step; rises linearly")
    add("--kl_warmup_steps", type=int, default=0, help="steps over which the KL weight rises to --kl_weight")

    add(
        "--prior_rank",
        type=int,
        help="main directions of a prior that is fitted to each class's codes; 0 is the paper's N(0, 1); by default "
        "what the model has",
    )
    flag("--diffaugment", "augment what the discriminator sees; for small data")
    add("--checkpointing_steps", type=int, default=500, help="steps between checkpoints")
    add("--checkpoints_total_limit", type=int, help="keep only so many checkpoints")
    add("--resume_from_checkpoint", help="'latest', or the path of a checkpoint folder")
    add("--validation_steps", type=int, default=500, help="steps between sample grids")
    add(
        "--report_to",
        default="tensorboard",
        help="tracker(s) known to accelerate, comma-separated, or 'none'",
    )
    flag("--push_to_hub", "upload the final model")
    add("--hub_model_id", help="its name on the Hub, user/name")
    flag("--hub_private", "make that repository private")
    add("--logging_steps", type=int, default=20, help="steps between logged losses")
    return parser


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Flags from the command line and ``--args_file``; wrong combinations end with a message and exit status 2."""
    parser = build_parser()
    first, _ = parser.parse_known_args(argv)
    if first.args_file:
        try:
            values = _read_args_file(Path(first.args_file))
        except ValueError as error:
            parser.error(str(error))
        unknown = sorted(set(values) - set(vars(first)))
        if unknown:
            parser.error(f"{first.args_file} holds flags that do not exist: {', '.join(unknown)}")
        parser.set_defaults(**values)
    args = parser.parse_args(argv)
    problem = find_problem(args)
    if problem:
        parser.error(problem)
    args.resolution = tuple(args.resolution) if len(args.resolution) == 2 else (args.resolution[0],) * 2
    return args


def _read_args_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    text = path.read_text(encoding="utf-8")
    try:
        if path.suffix == ".json":
            values = json.loads(text)
        else:
            import yaml

            values = yaml.safe_load(text)
    except Exception as error:  # two libraries' many parse errors, all told the same way
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold one object of flags")
    return values


def neighbours(starts: Sequence[str] | str | None) -> dict[str, str]:
    """``--init_class NEW=OLD ...`` as a dictionary.

    Raises:
        ValueError: for another form, and for a class that is given twice.
    """
    pairs: dict[str, str] = {}
    for start in [starts] if isinstance(starts, str) else starts or []:
        new, equals, old = str(start).partition("=")
        new, old = new.strip(), old.strip()
        if not (new and equals and old):
            raise ValueError(f"--init_class takes NEW=OLD, such as bag=top-clothes, not {start!r}")
        if new in pairs:
            raise ValueError(f"--init_class gives {new!r} two starts, {pairs[new]!r} and {old!r}: choose one")
        pairs[new] = old
    return pairs


def find_problem(args: argparse.Namespace) -> str | None:
    """What is wrong with a combination of flags, in words; None if nothing is."""
    if not args.train_data_dir and not args.dataset_name:
        return "name the data: --train_data_dir FOLDER or --dataset_name ID"
    if args.train_data_dir and not Path(args.train_data_dir).is_dir():
        return f"--train_data_dir: there is no folder {args.train_data_dir}"
    if args.dataset_name and not args.train_data_dir and not args.classes:
        return (
            "--dataset_name needs --classes FILE: a classes.json with the names and colours of the label ids"
        )
    if args.streaming and not (args.dataset_name and args.max_train_steps):
        return "--streaming needs --dataset_name, and --max_train_steps because the length is not known"
    if args.streaming and args.dataloader_num_workers > 1:
        return "--streaming is read by one process: --dataloader_num_workers can be 0 or 1"
    given = [name for name in ("preset", "config", "pretrained_model_name_or_path") if getattr(args, name)]
    if len(given) > 1:
        return f"give only one of {', '.join('--' + name for name in given)}"
    if args.init_class:
        if not args.pretrained_model_name_or_path:
            return "--init_class needs --pretrained_model_name_or_path, the model whose classes it names"
        try:
            neighbours(args.init_class)
        except ValueError as error:
            return str(error)
    if len(args.resolution) > 2:
        return "--resolution takes one side, or height and width"
    for name in ("perceptual_weights", "classes", "config"):
        path = getattr(args, name)
        if path and not Path(path).is_file():
            return f"--{name}: there is no file {path}"
    if args.perceptual_weights and args.perceptual_net == "none":
        return "--perceptual_weights has no use with --perceptual_net none"
    for name in (
        "train_batch_size",
        "gradient_accumulation_steps",
        "num_train_epochs",
        "checkpointing_steps",
        "validation_steps",
        "logging_steps",
    ):
        if getattr(args, name) < 1:
            return f"--{name} is {getattr(args, name)}; it must be at least 1"
    for name in ("max_train_steps", "checkpoints_total_limit"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            return f"--{name} is {getattr(args, name)}; it must be at least 1"
    if args.cache_gb < 0 or args.dataloader_num_workers < 0:
        return "--cache_gb and --dataloader_num_workers must be 0 or more"
    if args.prior_rank is not None and args.prior_rank < 0:
        return f"--prior_rank is {args.prior_rank}; it must be 0 or more"
    if not 0 <= args.lr_decay_start <= 1:
        return f"--lr_decay_start is {args.lr_decay_start}; it is a share of the steps, from 0 to 1"
    if not 0 < args.ema_decay < 1:
        return f"--ema_decay is {args.ema_decay}; it must lie between 0 and 1"
    if args.push_to_hub != bool(args.hub_model_id):
        return "--push_to_hub and --hub_model_id user/name belong together"
    if args.kl_warmup_steps and args.kl_weight_start is None:
        return "--kl_warmup_steps needs --kl_weight_start"
    resume = args.resume_from_checkpoint
    if resume and resume != "latest" and not Path(resume).is_dir():
        return f"--resume_from_checkpoint: there is no folder {resume}"
    return None
