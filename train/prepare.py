"""Raw data sets -> the folders that train.py reads: ``python train/prepare.py SOURCE --input RAW --output FOLDER``.

SOURCE is one of

- ``ccp``: Clothing Co-Parsing; ``--download`` fetches it (Apache-2.0);
- ``deepfashion``: DeepFashion In-shop and a human parser's label maps (LIP, CIHP or ATR ids);
- ``cityscapes``: leftImg8bit and gtFine, with instance maps;
- ``ade20k``: the scene parsing benchmark, ADEChallengeData2016;
- ``folder``: any folder of pictures and one of label maps;
- ``photos``: photos without label maps, which a parser labels; those where it is sure are kept, or with ``--tags``
  those whose tags it agrees with.

It writes OUTPUT/classes.json and, for each split, OUTPUT/SPLIT/ with images/, labels/, instances/ where there are any,
and metadata.jsonl. A run that was stopped goes on when it is started again with the same flags. Pairs that cannot be
read or do not fit are listed at the end, and the exit status is then 1; it is 2 where nothing could be started.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groupdnet_hub import LabelSet
from groupdnet_hub.prepare.ccp import read_tags
from groupdnet_hub.prepare.config import (
    MIN_SURENESS,
    MIN_SURENESS_TAGGED,
    SMOOTH16,
    build_parser,
    find_problem,
)
from groupdnet_hub.prepare.download import CCP_LICENCE, download_ccp
from groupdnet_hub.prepare.items import Recipe
from groupdnet_hub.prepare.labels import (
    CITYSCAPES,
    LABEL_SETS,
    PARSER_RULES,
    ade20k_label_set,
    missing_classes,
)
from groupdnet_hub.prepare.photos import PhotoRecipe, find_photos
from groupdnet_hub.prepare.push import push, require_datasets
from groupdnet_hub.prepare.run import Preparation, Summary, prepare_all
from groupdnet_hub.prepare.sources import Found, find_ade20k, find_ccp, find_cityscapes, find_folder_pair
from groupdnet_hub.prepare.tags import check_tags, find_tags
from groupdnet_hub.runs.flags import parse_checked

# Raised when the rules change what is written for the same flags: folders of both must not mix.
_RULES = 2


def find_items(args: argparse.Namespace) -> tuple[Found, Preparation]:
    """The pairs of the source that the flags name, and how they are prepared.

    Raises:
        ValueError: if the input is not what the source needs.
    """
    shared = {"split": args.split, "validation_share": args.validation_share}
    raw_names: tuple[str, ...] = ()
    if args.source == "photos":
        labels = LABEL_SETS.get(args.classes) or LabelSet.from_file(args.classes)
        photos = PhotoRecipe(
            labels,
            args.parser,
            args.labels,
            args.resolution,
            args.aspect,
            args.cut_out,
            args.min_sureness,
            args.smooth,
            by_tags=args.tags is not None,
        )
        tags = None
        if photos.by_tags:
            tags = find_tags(None if args.tags is True else args.tags, args.input)
            check_tags(tags, labels)
        found = find_photos(args.input, args.output, tags=tags, **shared)
        return found.limited(args.max_items).framed(args.frame), photos
    if args.source == "ccp":
        labels = LABEL_SETS[args.classes]
        found = find_ccp(args.input, chosen=args.photos == "fashion8", **shared)
        raw_names = read_tags(args.input / "label_list.mat")
    elif args.source == "deepfashion":
        labels, raw_names = LABEL_SETS[args.classes], tuple(PARSER_RULES[args.label_set])
        found = find_folder_pair(args.input, args.labels, args.output, same_garment=True, **shared)
        missing = missing_classes(labels, args.label_set)
        if missing:
            found.remarks.append(
                f"{args.label_set} maps cannot say {', '.join(missing)}: no picture has them"
            )
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
        aspect=args.aspect,
        cut_out=args.cut_out,
        smooth=args.smooth,
        keep_gloves=args.keep_gloves,
    )
    return found.limited(args.max_items).framed(args.frame), recipe


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """What must be equal for two runs to share a folder."""
    names = ("source", "resolution", "label_set", "cut_out", "keep_gloves", "validation_share")
    names += ("parser", "min_sureness")
    settings: dict[str, Any] = {name: getattr(args, name) for name in names}
    settings["resolution"] = list(args.resolution) if args.resolution else None
    settings["frame"] = args.frame[0] if len(args.frame) == 1 else args.frame
    # Only where they are not what every folder before them was made with: those are still taken up.
    classes = args.classes if getattr(args, "classes", None) in LABEL_SETS else "people8"
    tags = str(args.tags.resolve()) if isinstance(args.tags, Path) else args.tags
    newer = {"aspect": (args.aspect, 1.0), "smooth": (args.smooth, 0), "photos": (args.photos, "all")}
    newer |= {"classes": (classes, "people8"), "tags": (tags, None)}
    for name, (value, before) in newer.items():
        if value != before:
            settings[name] = value
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
    parser = build_parser(__doc__)
    args = parse_checked(parser, find_problem, argv)
    if args.resolution is not None:
        height = args.resolution[0]
        width = args.resolution[1] if len(args.resolution) == 2 else max(1, round(height / args.aspect))
        args.resolution = (height, width)
    if args.smooth is None:
        smoothed = args.source in ("ccp", "photos") and args.classes == "people16"
        args.smooth = SMOOTH16 if smoothed else 0
    if args.source == "photos":
        args.classes = args.classes or "people8"
        if args.min_sureness is None:
            args.min_sureness = MIN_SURENESS if args.tags is None else MIN_SURENESS_TAGGED
    try:
        summary = run(args)
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser.prog}: stopped; the same line resumes from here", file=sys.stderr)
        return 130
    return 1 if summary.problems or not summary.prepared else 0


if __name__ == "__main__":
    sys.exit(main())
