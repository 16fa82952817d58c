"""Raw data sets -> the folders that train.py reads: ``python train/prepare.py SOURCE --input RAW --output FOLDER``.

SOURCE is one of

- ``ccp``: Clothing Co-Parsing; ``--download`` fetches it (Apache-2.0);
- ``deepfashion``: DeepFashion In-shop and a human parser's label maps (LIP, CIHP or ATR ids);
- ``cityscapes``: leftImg8bit and gtFine, with instance maps;
- ``ade20k``: the scene parsing benchmark, ADEChallengeData2016;
- ``folder``: any folder of pictures and one of label maps;
- ``photos``: photos without label maps, which a parser labels; those where it is sure are kept.

It writes OUTPUT/classes.json and, for each split, OUTPUT/SPLIT/ with images/, labels/, instances/ where there are any,
and metadata.jsonl. A run that was stopped goes on when it is started again with the same flags. Pairs that cannot be
read or do not fit are listed at the end, and the exit status is then 1; it is 2 where nothing could be started.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from checked_flags import parse_checked
from prepare_ccp import read_tags
from prepare_download import CCP_LICENCE, download_ccp
from prepare_items import Recipe
from prepare_labels import CITYSCAPES, PARSER_RULES, PEOPLE, ade20k_label_set
from prepare_photos import PhotoRecipe, find_photos
from prepare_push import push, require_datasets
from prepare_run import Preparation, Summary, prepare_all
from prepare_sources import Found, find_ade20k, find_ccp, find_cityscapes, find_folder_pair

from groupdnet_hub import LabelSet

# Raised when the rules change what is written for the same flags: folders of both must not mix.
_RULES = 2
# The parser that ships, and the sureness at which its maps are worth training on (see its card).
PARSER = Path(__file__).resolve().parent.parent / "space" / "parser"
MIN_SURENESS = 0.8


def build_parser() -> argparse.ArgumentParser:
    """One sub-command for each source."""
    parser = argparse.ArgumentParser(
        prog="prepare.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sources = parser.add_subparsers(dest="source", required=True, metavar="SOURCE")

    def source(name: str, text: str, input_help: str, **defaults: Any) -> argparse.ArgumentParser:
        one = sources.add_parser(
            name, help=text, description=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter
        )
        add = one.add_argument
        add("--input", type=Path, required=name != "ccp", help=input_help)
        add("--output", type=Path, required=True, help="folder to write")
        add(
            "--resolution",
            type=int,
            nargs="+",
            metavar="SIDE",
            help="SIDE, or HEIGHT WIDTH, to resize to; by default the native size",
        )
        add("--num_workers", type=int, default=min(8, os.cpu_count() or 1), help="processes; 0: this one")
        add("--max_items", type=int, help="use only the first so many pairs of each split")
        add("--push_to_hub", metavar="USER/NAME", help="upload the result as a Hugging Face data set")
        add("--hub_private", action="store_true", help="make that data set private")
        # What other sources ask for, so that every source has the same fields.
        one.set_defaults(
            labels=None,
            label_set=None,
            frame="none",
            cut_out=False,
            keep_gloves=False,
            parser=None,
            min_sureness=None,
            **defaults,
        )
        return one

    def one_split(one: argparse.ArgumentParser, share: float) -> None:
        one.add_argument("--split", default="train", help="split that the pictures go into")
        one.add_argument(
            "--validation_share", type=float, default=share, help="share that goes into validation instead"
        )

    def people(one: argparse.ArgumentParser, frame: str) -> None:
        add = one.add_argument
        add(
            "--frame",
            choices=("none", "person"),
            default=frame,
            help="person: a square around the labelled person, 1.08 x its longer side, padded in a plain colour",
        )
        add("--cut_out", action="store_true", help="put the person on a plain light backdrop")
        add("--keep_gloves", action="store_true", help="keep pictures with gloves, as skin")

    ccp = source("ccp", "Clothing Co-Parsing, 8 classes", "its folder; see --download")
    ccp.add_argument(
        "--download",
        action="store_true",
        help="fetch it into --input, by default clothing-co-parsing beside --output",
    )
    one_split(ccp, 0.1)
    people(ccp, "person")
    ccp.set_defaults(resolution=[256])

    deepfashion = source(
        "deepfashion", "DeepFashion In-shop and a parser's maps, 8 classes", "folder of the pictures (img)"
    )
    deepfashion.add_argument("--labels", type=Path, required=True, help="folder of the parser's maps")
    deepfashion.add_argument(
        "--label_set", choices=tuple(PARSER_RULES), default="lip", help="whose ids the maps hold"
    )
    one_split(deepfashion, 0.08)
    people(deepfashion, "none")

    for name, text, where in (
        ("cityscapes", "Cityscapes, 35 classes and instances", "folder with leftImg8bit/ and gtFine/"),
        ("ade20k", "ADE20K scene parsing, 151 classes", "folder with images/ and annotations/"),
    ):
        one = source(name, text, where, validation_share=0.0)
        one.add_argument("--split", choices=("train", "validation"), help="only this split; by default both")

    folder = source("folder", "pictures and label maps of the same names", "folder of the pictures")
    folder.add_argument("--labels", type=Path, required=True, help="folder of the label maps")
    folder.add_argument("--instances", type=Path, help="folder of instance maps, if there are any")
    folder.add_argument("--classes", type=Path, required=True, help="classes.json of the maps")
    one_split(folder, 0.0)

    photos = source(
        "photos",
        "photos without label maps, labelled by a parser",
        "folder of the photos; of Clothing Co-Parsing, those without a label map are taken",
    )
    add = photos.add_argument
    add("--parser", default=str(PARSER), help="segmentation model of transformers, folder or Hub id")
    add("--classes", type=Path, help="classes.json of the maps; by default the paper's 8 classes of people")
    add("--labels", type=Path, help="JSON file of the parser's labels in them, as evaluate.py takes it")
    add(
        "--min_sureness",
        type=float,
        default=MIN_SURENESS,
        help="mean probability of a class on its pixels, over the classes shown and the mirrored photo: where it is "
        "less, the photo is left out",
    )
    add(
        "--frame",
        choices=("none", "person", "upper"),
        default="none",
        help="cut to the person, or head to hips",
    )
    add("--cut_out", action="store_true", help="put the person on a plain light backdrop")
    one_split(photos, 0.0)
    photos.set_defaults(resolution=[256])
    return parser


def find_problem(args: argparse.Namespace) -> str | None:
    """What is wrong with the flags, in words; None if nothing is."""
    if args.source == "ccp" and args.input is None and not args.download:
        return "ccp needs --input FOLDER, or --download"
    if args.resolution is not None and (
        len(args.resolution) > 2 or not all(1 <= side <= 8192 for side in args.resolution)
    ):
        return "--resolution takes one side, or height and width, each from 1 to 8192 pixels"
    if not 0 <= args.validation_share < 1:
        return f"--validation_share is {args.validation_share}; it is a share from 0 to below 1"
    if args.split is not None and (not args.split.isidentifier()):
        return f"--split is {args.split!r}; it names a folder: letters, digits and _"
    if args.num_workers < 0:
        return f"--num_workers is {args.num_workers}; it must be 0 or more"
    if args.min_sureness is not None and not 0 <= args.min_sureness <= 1:
        return f"--min_sureness is {args.min_sureness}; it is a probability, from 0 to 1"
    if args.max_items is not None and args.max_items < 1:
        return f"--max_items is {args.max_items}; it must be at least 1"
    if args.hub_private and not args.push_to_hub:
        return "--hub_private needs --push_to_hub USER/NAME"
    return None


def find_items(args: argparse.Namespace) -> tuple[Found, Preparation]:
    """The pairs of the source that the flags name, and how they are prepared.

    Raises:
        ValueError: if the input is not what the source needs.
    """
    shared = {"split": args.split, "validation_share": args.validation_share}
    raw_names: tuple[str, ...] = ()
    if args.source == "photos":
        photos = PhotoRecipe(
            LabelSet.from_file(args.classes) if args.classes else PEOPLE,
            args.parser,
            args.labels,
            args.resolution,
            args.frame,
            args.cut_out,
            args.min_sureness,
        )
        return find_photos(args.input, args.output, **shared).limited(args.max_items), photos
    if args.source == "ccp":
        labels, found = PEOPLE, find_ccp(args.input, **shared)
        raw_names = read_tags(args.input / "label_list.mat")
    elif args.source == "deepfashion":
        labels, raw_names = PEOPLE, tuple(PARSER_RULES[args.label_set])
        found = find_folder_pair(args.input, args.labels, args.output, same_garment=True, **shared)
    elif args.source == "cityscapes":
        labels, found = CITYSCAPES, find_cityscapes(args.input, args.split)
    elif args.source == "ade20k":
        labels, found = ade20k_label_set(args.input), find_ade20k(args.input, args.split)
    else:
        labels = LabelSet.from_file(args.classes)
        found = find_folder_pair(args.input, args.labels, args.output, instances=args.instances, **shared)
    recipe = Recipe(
        args.source,
        labels,
        raw_names,
        label_set=args.label_set,
        resolution=args.resolution,
        frame_person=args.frame == "person",
        cut_out=args.cut_out,
        keep_gloves=args.keep_gloves,
    )
    return found.limited(args.max_items), recipe


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """What must be equal for two runs to share a folder."""
    names = ("source", "resolution", "label_set", "frame", "cut_out", "keep_gloves", "validation_share")
    names += ("parser", "min_sureness")
    settings: dict[str, Any] = {name: getattr(args, name) for name in names}
    settings["resolution"] = list(args.resolution) if args.resolution else None
    for name in ("input", "labels", "instances"):
        path = getattr(args, name, None)
        settings[name] = None if path is None else str(path.resolve())
    return {**settings, "rules": _RULES}


def run(args: argparse.Namespace) -> Summary:
    """Download if asked, prepare, and upload if asked.

    Raises:
        ValueError, OSError: if the run cannot be started or cannot go on.
    """
    if args.push_to_hub:
        require_datasets()  # before an hour of work
    if args.source == "ccp" and args.download:
        if args.input is None:
            args.input = args.output.absolute().parent / "clothing-co-parsing"
        print(CCP_LICENCE)
        download_ccp(args.input)
        print(f"Clothing Co-Parsing is in {args.input}")
    found, recipe = find_items(args)
    summary = prepare_all(found, recipe, settings_of(args), args.output, num_workers=args.num_workers)
    print("\n".join(summary.lines()), flush=True)
    if args.push_to_hub and summary.prepared:
        print(f"uploaded to {push(args.output, args.push_to_hub, private=args.hub_private)}")
    return summary


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = build_parser()
    args = parse_checked(parser, find_problem, argv)
    if args.resolution is not None:
        args.resolution = tuple(args.resolution) if len(args.resolution) == 2 else (args.resolution[0],) * 2
    try:
        summary = run(args)
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser.prog}: stopped; the same line goes on from here", file=sys.stderr)
        return 130
    return 1 if summary.problems or not summary.prepared else 0


if __name__ == "__main__":
    sys.exit(main())
