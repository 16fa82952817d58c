"""Command line of evaluate.py, checked before anything is loaded."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from groupdnet_hub.evaluation.sampled.arguments import SAMPLED_METRICS, add_flags, sampled_problem
from groupdnet_hub.metrics import FEATURE_NETS
from groupdnet_hub.runs.flags import count_problem, parse_checked, seed_problem

METRICS = ("mcsd", "mocd", "lpips", "fid", "frechet", *SAMPLED_METRICS, "miou", "fps", "macs", "params")
# Those that need no more than LPIPS.
_DEFAULT_METRICS = ("mcsd", "mocd", "lpips", "fps", "macs", "params")


def build_parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = argparse.ArgumentParser(
        prog="evaluate.py",
        description="Measure a model as the paper does: diversity by class, quality, segmentation, cost.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--model", required=True, help="the system to measure: a folder or a Hub id")
    add("--data_dir", required=True, help="data set folder of the model's classes")
    add("--split", default="validation", help="its split with the label maps and real photos")
    add(
        "--metrics",
        nargs="+",
        choices=METRICS,
        default=list(_DEFAULT_METRICS),
        help="miou comes with the pixel accuracy; frechet is the Frechet distance of other features than FID's; kid is "
        "the kernel distance of frechet's features, kid_inception that of FID's; sharpness is the roughness of "
        "garments, fixed_pattern that of one place whatever the codes; faces is how often mediapipe finds one in a "
        "head; memory is the LPIPS to the nearest training photo (less than 1: copied); tone is how far apart the "
        "colours of face and skin are; chroma is the share of garments of clear colour; kid and those after it stand "
        "beside their value for photos",
    )
    add("--output", default="results.json", help="file of the figures; begun before, it is resumed")
    add(
        "--num_samples",
        type=int,
        default=100,
        help="label maps for mCSD, mOCD and LPIPS, spread over the split",
    )
    add("--num_pairs", type=int, default=19, help="pairs of pictures for each of them, and for each class")
    add("--num_images", type=int, help="label maps for all but mCSD, mOCD and LPIPS; by default all")
    add(
        "--judged_size",
        type=int,
        nargs="+",
        metavar="SIDE",
        help="SIDE, or HEIGHT WIDTH, at which all but mCSD, mOCD and LPIPS look at pictures and photos, so that models "
        "of several sizes can be compared; by default the model's",
    )
    add(
        "--judged_aspect",
        type=float,
        metavar="RATIO",
        help="height over width of the middle part that they look at, such as 2 where people stand in wide frames; by "
        "default all of the picture",
    )
    add("--batch_size", type=int, default=8, help="pictures drawn at a time")
    add("--seed", type=int, default=0, help="fixes all codes")
    add(
        "--alexnet_weights",
        help="AlexNet trunk of LPIPS, a safetensors file; by default torchvision downloads",
    )
    add("--inception_weights", help="Inception of FID, a file; by default torch-fidelity's is downloaded")
    add("--frechet_net", choices=FEATURE_NETS, default="vgg16", help="features of frechet and kid")
    add("--frechet_weights", help="their trunk, a safetensors file; by default torchvision downloads")
    add(
        "--segmentation_model",
        help="for miou: a semantic segmentation model of transformers, folder or Hub id",
    )
    add(
        "--segmentation_labels",
        help='for miou: JSON file, {"labels": {"THEIR LABEL": "our class", ...}, "ignored": ["our class", ...]}; '
        "by default its labels are called as our classes are",
    )
    add("--fps_decodes", type=int, default=20, help="timed pictures of fps")
    add(
        "--sheet_rows",
        type=int,
        default=4,
        help="label maps on the contact sheet of each class; 0 for no sheets",
    )
    add(
        "--sheet_columns", type=int, default=6, help="pictures of each on it that differ in that class's code"
    )
    add_flags(parser)
    return parser


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The flags; wrong ones end with a message and exit status 2."""
    return parse_checked(build_parser(), find_problem, argv)


def find_problem(args: argparse.Namespace) -> str | None:
    """What is wrong with the flags, in words; None if nothing is."""
    split = Path(args.data_dir) / args.split
    if not (split / "metadata.jsonl").is_file():
        return (
            f"--data_dir, --split: there is no metadata.jsonl in {split}; name a split of a paired data set"
        )
    for name in ("alexnet_weights", "inception_weights", "frechet_weights", "segmentation_labels"):
        file = getattr(args, name)
        if file is not None and not Path(file).is_file():
            return f"--{name}: there is no file {file}"
    problem = count_problem(
        args, ("num_samples", "num_pairs", "num_images", "batch_size", "fps_decodes", "sheet_columns")
    )
    if problem:
        return problem
    if args.sheet_rows < 0:
        return f"--sheet_rows is {args.sheet_rows}; it must be 0 or more"
    if args.judged_size and (len(args.judged_size) > 2 or min(args.judged_size) < 16):
        return "--judged_size takes one side, or height and width, of 16 pixels or more"
    if args.judged_aspect is not None and not 0.1 <= args.judged_aspect <= 10:
        return f"--judged_aspect is {args.judged_aspect}; it must lie between 0.1 and 10"
    problem = seed_problem(args) or sampled_problem(args)
    if problem:
        return problem
    if "miou" in args.metrics and args.segmentation_model is None:
        return "miou needs --segmentation_model, such as space/parser for its classes of people"
    if "miou" not in args.metrics and (args.segmentation_model or args.segmentation_labels):
        return "--segmentation_model and --segmentation_labels are for miou, which is not among --metrics"
    if {"fid", "frechet"} & set(args.metrics) and args.num_images == 1:
        return "--num_images is 1; a Frechet distance needs at least 2"
    if Path(args.output).suffix != ".json" or Path(args.output).is_dir():
        return f"--output is {args.output}; it must be a file NAME.json"
    return None
