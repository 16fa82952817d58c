"""What train.py refuses of its command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from groupdnet_hub.runs.flags import count_problem
from groupdnet_hub.training.discriminator_arguments import discriminator_problem
from groupdnet_hub.training.network_arguments import plain_order


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
    for folder in args.train_data_dir or ():
        if not Path(folder).is_dir():
            return f"--train_data_dir: there is no folder {folder}"
    if args.dataset_name and len(args.train_data_dir or ()) > 1:
        return "--dataset_name reads one --train_data_dir: leave it out to train on several folders"
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
    if args.model and (args.config or args.pretrained_model_name_or_path):
        return "--model makes a new model: leave it out with --config and --pretrained_model_name_or_path"
    if plain_order(args.class_order) == "likeness":
        if not args.train_data_dir:
            return "--class_order likeness looks at the pictures: it needs --train_data_dir"
        if args.config or args.pretrained_model_name_or_path:
            return (
                "--class_order likeness orders the classes of a new model: leave it out with --config and "
                "--pretrained_model_name_or_path"
            )
    if args.grow and not args.pretrained_model_name_or_path:
        return "--grow needs --pretrained_model_name_or_path, the model that grows"
    if args.perceptual_crop and args.perceptual_net == "none":
        return "--perceptual_crop has no effect with --perceptual_net none"
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
        return "--perceptual_weights has no effect with --perceptual_net none"
    problem = count_problem(
        args,
        (
            "train_batch_size",
            "gradient_accumulation_steps",
            "num_train_epochs",
            "checkpointing_steps",
            "validation_steps",
            "logging_steps",
            "max_train_steps",
            "checkpoints_total_limit",
            "batch_norm_parts",
            "perceptual_crop",
            "hidden_channels",
            "latent_channels",
            "code_grid",
            "redraw_memory",
            "redraw_interval",
        ),
    )
    if problem:
        return problem
    if args.max_train_seconds is not None and not args.max_train_seconds > 0:
        return f"--max_train_seconds is {args.max_train_seconds}; it must be above 0"
    if args.batch_norm_parts and args.train_batch_size % args.batch_norm_parts:
        return f"--batch_norm_parts {args.batch_norm_parts} does not divide --train_batch_size {args.train_batch_size}"
    if (args.cache_gb or 0) < 0 or args.dataloader_num_workers < 0:
        return "--cache_gb and --dataloader_num_workers must be 0 or more"
    if args.cache_gb is not None and args.cache_data in ("device", "none"):
        return f"--cache_gb has no effect with --cache_data {args.cache_data}: leave one out"
    if args.streaming and args.cache_data in ("device", "memory"):
        return f"--cache_data {args.cache_data} keeps pictures, and --streaming reads them as they come: leave one out"
    for name in ("random_shift", "random_scale"):
        if not 0 <= getattr(args, name) < 1:
            return f"--{name} is {getattr(args, name)}; it must lie from 0 up to less than 1"
    if not 0 <= args.random_turn <= 90:
        return f"--random_turn is {args.random_turn}; it must lie from 0 to 90 degrees"
    for name in ("simplified_maps", "balanced_sampling"):
        if not 0 <= getattr(args, name) <= 1:
            return f"--{name} is {getattr(args, name)}; it must lie from 0 to 1"
    if args.balanced_sampling and args.streaming:
        return "--balanced_sampling has no effect on a stream, whose pictures are not known beforehand: leave one out"
    for name, default in (("redraw_memory", None), ("redraw_interval", 1), ("redraw_window", None)):
        if getattr(args, name) != default and not args.redraw_weight:
            return f"--{name} has no effect without --redraw_weight"
    if args.redraw_window is not None and not 0.1 <= args.redraw_window <= 1:
        return f"--redraw_window is {args.redraw_window}; it is a share of height and width, from 0.1 to 1"
    if not 0 <= args.recoloured_share <= 1:
        return f"--recoloured_share is {args.recoloured_share}; it must lie from 0 to 1"
    for name in ("prior_rank", "prior_codes"):
        if getattr(args, name) is not None and getattr(args, name) < 0:
            return f"--{name} is {getattr(args, name)}; it must be 0 or more"
    if args.prior_rank is not None and args.prior_codes is not None:
        return "--prior_rank and --prior_codes are two priors: give one of them"
    if args.prior_ties and (args.prior_rank is not None or args.prior_codes == 0):
        return "--prior_ties needs --prior_codes: codes of several classes come from one picture where they are kept"
    if not 0 <= args.lr_decay_start <= 1:
        return f"--lr_decay_start is {args.lr_decay_start}; it is a share of the steps, from 0 to 1"
    if not 0 < args.ema_decay < 1:
        return f"--ema_decay is {args.ema_decay}; it must lie between 0 and 1"
    if args.push_to_hub != bool(args.hub_model_id):
        return "--push_to_hub and --hub_model_id user/name belong together"
    for name in ("redraw_weight", "kl_free_nats"):
        if getattr(args, name) < 0:
            return f"--{name} is {getattr(args, name)}; it must be 0 or more"
    if not 0 <= args.class_balance <= 1:
        return f"--class_balance is {args.class_balance}; it must lie from 0 to 1"
    problem = discriminator_problem(args)
    if problem:
        return problem
    if args.kl_warmup_steps and args.kl_weight_start is None:
        return "--kl_warmup_steps needs --kl_weight_start"
    resume = args.resume_from_checkpoint
    if resume and resume != "latest" and not Path(resume).is_dir():
        return f"--resume_from_checkpoint: there is no folder {resume}"
    return None
