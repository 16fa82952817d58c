"""Flags of the metrics that look at several pictures of each label map."""

from __future__ import annotations

import argparse
from pathlib import Path

from groupdnet_hub.runs.flags import count_problem

# In the order in which they are reported.
SAMPLED_METRICS = (
    *("kid", "kid_inception", "sharpness", "fixed_pattern"),
    *("faces", "memory", "tone", "chroma"),
)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add them to evaluate.py's."""
    add = parser.add_argument
    add(
        "--name_suffix",
        metavar="END",
        help="measure only items whose picture's name, without its ending, ends so, such as _full or _upper, so that "
        "frames are judged apart; training photos are chosen alike",
    )
    add(
        "--kid_seeds",
        type=int,
        default=4,
        help="pictures of each label map for kid and the other metrics that look at several, but for fixed_pattern",
    )
    add("--pattern_seeds", type=int, default=12, help="pictures of each label map for fixed_pattern")
    add("--train_data_dir", help="data set folder of the training photos; by default --data_dir")
    add("--train_split", default="train", help="its split")
    add(
        "--garment_classes",
        nargs="+",
        metavar="CLASS",
        help="for sharpness; by default top-clothes, bottom-clothes, top, outerwear, dress, skirt, trousers and scarf "
        "where the label set has some of them, else all but the first class",
    )
    add(
        "--pattern_classes",
        nargs="+",
        metavar="CLASS",
        help="for fixed_pattern; by default top-clothes, top, outerwear and dress, else all but the first class",
    )
    add(
        "--chroma_classes",
        nargs="+",
        metavar="CLASS",
        help="for chroma; by default top-clothes, top and dress, else all but the first class",
    )
    add(
        "--head_classes",
        nargs="+",
        metavar="CLASS",
        help="for faces; by default hair, hat, face and glasses",
    )
    add(
        "--tone_classes",
        nargs=2,
        metavar=("FACE", "SKIN"),
        help="for tone; by default face and skin",
    )


def training_split(args: argparse.Namespace) -> Path:
    """The folder of the training photos."""
    return Path(args.train_data_dir or args.data_dir) / args.train_split


def sampled_problem(args: argparse.Namespace) -> str | None:
    """What is wrong with them; None if nothing is."""
    problem = count_problem(args, ("kid_seeds", "pattern_seeds"))
    if problem:
        return problem
    named = args.train_data_dir is not None or "memory" in args.metrics
    if named and not (training_split(args) / "metadata.jsonl").is_file():
        return f"--train_data_dir, --train_split: there is no metadata.jsonl in {training_split(args)}"
    if {"kid", "kid_inception"} & set(args.metrics) and args.num_images == 1:
        return "--num_images is 1; a kernel distance needs at least 2"
    return None
