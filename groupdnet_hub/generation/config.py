"""Command line of generate.py, checked before anything is loaded."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from groupdnet_hub.runs.flags import count_problem, parse_checked, seed_problem


def build_parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = argparse.ArgumentParser(
        prog="generate.py",
        description="Draw N pictures for each label map of a folder, as a data set to train on.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--model", required=True, help="GroupDNet: a folder or a Hub id")
    add(
        "--label_dir",
        required=True,
        help="label maps: a folder of PNG files, or a split of a data set (with metadata.jsonl)",
    )
    add("--output_dir", required=True, help="data set folder to fill; started before, it is resumed")
    add("--split", default="train", help="folder in --output_dir for these pictures")
    add("--num_per_map", type=int, default=1, help="pictures for each label map")
    add("--seed", type=int, default=0, help="fixes all pictures")
    add(
        "--gallery_dir",
        help="split of a data set: photos whose appearances are mixed, each class from another photo",
    )
    add(
        "--classes_from_gallery",
        nargs="+",
        help="classes whose appearance comes from the gallery; by default all that it shows",
    )
    add("--save_codes", action="store_true", help="write each picture's codes as safetensors")
    add("--batch_size", type=int, default=8, help="pictures drawn at a time, all of one label map")
    add("--mixed_precision", choices=("no", "bf16"), default="no", help="autocast precision of the drawing")
    add("--push_to_hub", metavar="USER/NAME", help="upload the finished folder as a data set")
    add("--hub_private", action="store_true", help="make that repository private")
    return parser


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The flags; wrong ones end with a message and exit status 2."""
    return parse_checked(build_parser(), find_problem, argv)


def find_problem(args: argparse.Namespace) -> str | None:
    """What is wrong with the flags, in words; None if nothing is."""
    for name in ("label_dir", "gallery_dir"):
        folder = getattr(args, name)
        if folder is not None and not Path(folder).is_dir():
            return f"--{name}: there is no folder {folder}"
    if args.gallery_dir is not None and not (Path(args.gallery_dir) / "metadata.jsonl").is_file():
        return f"--gallery_dir: there is no metadata.jsonl in {args.gallery_dir}; name a split of a paired data set"
    if args.classes_from_gallery and args.gallery_dir is None:
        return "--classes_from_gallery needs --gallery_dir"
    problem = count_problem(args, ("num_per_map", "batch_size"))
    if problem:
        return problem
    problem = seed_problem(args)
    if problem:
        return problem
    if not re.fullmatch(r"\w[\w.-]*", args.split):
        return f"--split is {args.split!r}; it must be one name of letters, digits, '_', '-' and '.'"
    for folder in (Path(args.output_dir), Path(args.output_dir) / args.split):
        if folder.exists() and not folder.is_dir():
            return f"--output_dir: {folder} is a file"
    if args.push_to_hub is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", args.push_to_hub):
        return f"--push_to_hub is {args.push_to_hub!r}; it must be user/name"
    if args.hub_private and args.push_to_hub is None:
        return "--hub_private needs --push_to_hub user/name"
    return None
