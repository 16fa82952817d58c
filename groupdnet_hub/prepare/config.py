"""The command line of prepare.py: a sub-command for each source, and what is wrong with the flags given."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from groupdnet_hub.data.person_frames import FRAMES
from groupdnet_hub.prepare.labels import LABEL_SETS, PARSER_RULES
from groupdnet_hub.runs.scripts import shipped

# Annotators of Clothing Co-Parsing chose superpixels, whose edges are stairs of 2 to 4 pixels. Maps of the 8 classes
# stay as they always were.
SMOOTH16 = 5
# The parser that ships, and the sureness at which its maps are worth training on (see its card), where no tags say so.
PARSER = shipped("space", "parser")
MIN_SURENESS = 0.8
# With tags, by eye: below it maps of photos of Clothing Co-Parsing are mottled.
MIN_SURENESS_TAGGED = 0.7


def build_parser(description: str | None) -> argparse.ArgumentParser:
    """One sub-command for each source."""
    parser = argparse.ArgumentParser(
        prog="prepare.py", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
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
            frame=["none"],
            aspect=1.0,
            smooth=0,
            photos="all",
            cut_out=False,
            keep_gloves=False,
            parser=None,
            min_sureness=None,
            tags=None,
            **defaults,
        )
        return one

    def one_split(one: argparse.ArgumentParser, share: float) -> None:
        one.add_argument("--split", default="train", help="split that the pictures go into")
        one.add_argument(
            "--validation_share", type=float, default=share, help="share that goes into validation instead"
        )

    def frames(one: argparse.ArgumentParser, frame: str) -> None:
        add = one.add_argument
        add(
            "--frame",
            nargs="+",
            choices=FRAMES,
            default=[frame],
            help="part of the photo: full (or person), all of the person; upper, head to hips; none, all of the photo. "
            "With several, NAME_FRAME is written for each",
        )
        add(
            "--aspect",
            type=float,
            default=1.0,
            metavar="RATIO",
            help="height of a frame over its width; 2 is upright. One --resolution is then the height",
        )
        add("--cut_out", action="store_true", help="put the person on a plain light backdrop")

    def smooth(one: argparse.ArgumentParser) -> None:
        one.add_argument(
            "--smooth",
            type=int,
            default=None,
            metavar="PIXELS",
            help="smooth label edges at the photo's own size: each pixel gets the class of most pixels in a square of "
            f"this side, an odd number; 0 does not. By default {SMOOTH16} for ccp and photos in people16, else 0",
        )

    def people(one: argparse.ArgumentParser, frame: str) -> None:
        add = one.add_argument
        add(
            "--classes",
            choices=tuple(LABEL_SETS),
            default="people8",
            help="people8: the paper's; people16: garments, glasses, hats and bags apart",
        )
        frames(one, frame)
        smooth(one)
        add("--keep_gloves", action="store_true", help="keep pictures with gloves, as skin")

    ccp = source("ccp", "Clothing Co-Parsing, 8 or 16 classes", "its folder; see --download")
    ccp.add_argument(
        "--download",
        action="store_true",
        help="fetch it into --input, by default clothing-co-parsing beside --output",
    )
    ccp.add_argument(
        "--photos",
        choices=("all", "fashion8"),
        default="all",
        help="fashion8: the 872 photos, chosen by eye, that the bundled model is trained on, in their own split; "
        "--validation_share has no effect on it",
    )
    one_split(ccp, 0.1)
    people(ccp, "person")
    ccp.set_defaults(resolution=[256])

    deepfashion = source(
        "deepfashion",
        "DeepFashion In-shop and a parser's maps, 8 or 16 classes",
        "folder of the pictures (img)",
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
    add(
        "--classes",
        metavar="CLASSES",
        help="people8, people16, or classes.json of the maps; by default people8, the paper's",
    )
    add("--labels", type=Path, help="JSON file of the parser's labels in them, as evaluate.py takes it")
    add(
        "--tags",
        nargs="?",
        const=True,
        type=Path,
        metavar="PATH",
        help="allow each photo only the classes of its tags, besides hair, face, skin and background, and leave out "
        "photos without tags, with gloves, of several people, and those of which a tagged garment is not found. Tags "
        "are those of Clothing Co-Parsing, or the classes' names. PATH: the folder of its image-level .mat files, or a "
        "metadata.jsonl whose lines have file_name and tags; by default what the folder of the photos has of the two",
    )
    add(
        "--min_sureness",
        type=float,
        help="mean probability of a class on its pixels, over the classes shown and the mirrored photo: where it is "
        f"less, the photo is left out; by default {MIN_SURENESS}, or {MIN_SURENESS_TAGGED} with "
        "--tags, which say more",
    )
    frames(photos, "none")
    smooth(photos)
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
    if not 0.25 <= args.aspect <= 4:
        return f"--aspect is {args.aspect}; it is height over width, from 0.25 to 4"
    if len(set(args.frame)) < len(args.frame):
        return f"--frame names a frame twice: {' '.join(args.frame)}"
    if args.aspect != 1 and "none" in args.frame:
        return f"--aspect {args.aspect:g} shapes a frame, and --frame none cuts none: use full or upper"
    if args.resolution is not None and len(args.resolution) == 2 and args.frame != ["none"]:
        height, width = args.resolution
        if height != round(width * args.aspect):
            return (
                f"--resolution {height} {width} would distort frames of --aspect {args.aspect:g}: use "
                f"--aspect {height / width:g}, or --resolution {height} {round(height / args.aspect)}"
            )
    if args.smooth is not None and (args.smooth < 0 or (args.smooth and args.smooth % 2 == 0)):
        return f"--smooth is {args.smooth}; it must be an odd number of pixels, or 0"
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
