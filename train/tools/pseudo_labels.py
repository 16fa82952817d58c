"""How much image-level tags help a parser: ``python train/tools/pseudo_labels.py --parser FOLDER --input CCP``.

Photos of Clothing Co-Parsing that annotators labelled pixel by pixel are treated as if they had tags only, as
``prepare.py photos --tags`` treats those that do. It prints, as Markdown for each frame, each class's IoU of the
parser's answer with the annotators' map, without the tags and with them; and which photos would be left out, and how
good the answers for these are.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from groupdnet_hub import LabelSet
from groupdnet_hub.data.person_frames import crop
from groupdnet_hub.data.person_maps import BACKGROUND, remove_specks
from groupdnet_hub.evaluation.report_figures import percent
from groupdnet_hub.io.images import read_photo
from groupdnet_hub.metrics import SegmentationMeter, Segmenter
from groupdnet_hub.metrics.segmenter import parse
from groupdnet_hub.prepare.ccp import merge_tags, read_tag_map, read_tags
from groupdnet_hub.prepare.config import PARSER, SMOOTH16
from groupdnet_hub.prepare.items import resize_map
from groupdnet_hub.prepare.labels import LABEL_SETS
from groupdnet_hub.prepare.people import smooth_edges
from groupdnet_hub.prepare.photos import PhotoRecipe, look, segmenter_for
from groupdnet_hub.prepare.sources import Item, find_ccp
from groupdnet_hub.prepare.tags import Tags, limits_of
from groupdnet_hub.runs.flags import parse_checked
from train.tools.parser_scores import FEW_PHOTOS, frequent_miou

WITHOUT, WITH = "without tags", "with tags"


@dataclass
class Agreement:
    """Of the parser's maps of one frame with those of annotators.

    Attributes:
        meters: counts by :data:`WITHOUT` and :data:`WITH`.
        right: share of the person's pixels that is right, by the same, for each photo.
        photos: how many annotators' maps show each class.
        left_out: why ``prepare.py photos --tags`` would leave a photo out, or None, for each photo.
        nobody: photos in which the parser finds no person that can be framed; they count nowhere else.
    """

    meters: dict[str, SegmentationMeter]
    right: dict[str, list[float]] = field(default_factory=lambda: {WITHOUT: [], WITH: []})
    photos: Counter[str] = field(default_factory=Counter)
    left_out: list[str | None] = field(default_factory=list)
    nobody: int = 0


def measure(
    segmenter: Segmenter, recipe: PhotoRecipe, items: Sequence[Item], names: Tags, frames: Sequence[str]
) -> dict[str, Agreement]:
    """Label every photo without its tags and with them, and compare with its annotation.

    Each answer is compared with the annotation in its own frame, at the size that would be written.

    Args:
        items: photos with pixel-level annotations.
        names: the annotations' tags.

    Returns:
        By frame.

    Raises:
        ValueError: if a photo or an annotation cannot be read.
    """
    labels = recipe.labels
    found = {
        frame: Agreement({name: SegmentationMeter(labels.names) for name in (WITHOUT, WITH)})
        for frame in frames
    }
    for index, item in enumerate(tqdm(items, desc="parsing", unit="photo")):
        photo = read_photo(item.picture)
        raw = read_tag_map(item.label, names, (photo.height, photo.width))
        truth = smooth_edges(merge_tags(raw, names, labels), recipe.smooth)
        limits = limits_of(tags_of(raw, names), labels)
        shares = parse(segmenter, photo)
        wholes = {WITHOUT: look(shares, labels, None), WITH: look(shares, labels, limits)}
        for frame, agreement in found.items():
            answers = {}
            for name, whole in wholes.items():
                if whole.ids.any():
                    allowed = limits if name == WITH else None
                    answers[name] = recipe.label(segmenter, photo, frame, whole, allowed)
            if any(answers.get(name) is None for name in wholes):
                agreement.nobody += 1
                continue
            agreement.left_out.append(wholes[WITH].left_out)
            for name, answer in answers.items():
                framed = truth if answer.box is None else crop(photo, truth, answer.box)[1]
                size = (recipe.resolution[1], recipe.resolution[0])
                wanted, given = resize_map(framed, size), resize_map(answer.ids, size)
                agreement.meters[name].update(index, torch.from_numpy(wanted), torch.from_numpy(given))
                person = (wanted != BACKGROUND) | (given != BACKGROUND)
                agreement.right[name].append(float((wanted == given)[person].mean()))
            agreement.photos.update(labels.names[i] for i in np.unique(wanted))
    return found


def tags_of(raw: np.ndarray, names: Tags) -> Tags:
    """The tags that a pixel-level annotation would have as image-level ones: those of its pixels, but for specks that
    are slips of the annotator's brush.

    Args:
        raw: tag ids [H, W].
    """
    return tuple(names[i] for i in np.unique(remove_specks(raw)))


def agreement_table(agreement: Agreement) -> str:
    """IoU by class, in percent, with the number of photos of the class, and means."""
    scores = {name: meter.result() for name, meter in agreement.meters.items()}
    lines = [f"| class | photos | {WITHOUT} | {WITH} |", "|---|---|---|---|"]

    def line(title: str, count: object, values: Iterable[float | None]) -> None:
        lines.append(f"| {title} | {count} | {' | '.join(map(percent, values))} |")

    names = list(scores[WITH].iou)
    for name in names:
        line(name, agreement.photos[name], (scores[how].iou[name].value for how in scores))
    line("mean", scores[WITH].images, (scores[how].miou.value for how in scores))
    often = (frequent_miou(scores[how], agreement.photos) for how in scores)
    line(f"mean of those with {FEW_PHOTOS} photos", "", often)
    line("person labelled right", "", (float(np.mean(agreement.right[how])) for how in scores))
    return "\n".join(lines)


def left_out_lines(agreement: Agreement) -> str:
    """How many photos would be kept, and left out for each reason, and the share of the person labelled right there."""
    right = np.array(agreement.right[WITH])
    lines = [f"| photos, {WITH} | count | person labelled right |", "|---|---|---|"]
    reasons = Counter(agreement.left_out)
    for reason in sorted(reasons, key=lambda one: one or ""):
        there = np.array([one == reason for one in agreement.left_out])
        lines.append(f"| {reason or 'kept'} | {there.sum()} | {percent(float(right[there].mean()))} |")
    if agreement.nobody:
        lines.append(f"| without a person in sight | {agreement.nobody} | - |")
    return "\n".join(lines)


def build_parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = argparse.ArgumentParser(
        prog="pseudo_labels.py",
        description="Measure how much image-level tags help a parser, on photos with pixel-level annotations.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--parser", default=str(PARSER), help="segmentation model of transformers, folder or Hub id")
    add(
        "--parser_labels",
        type=Path,
        help="JSON file of its labels in the classes, where they are called otherwise",
    )
    add("--input", type=Path, required=True, help="folder of Clothing Co-Parsing")
    add("--photos", choices=("validation", "train"), default="validation", help="part of fashion8")
    add("--classes", choices=tuple(LABEL_SETS), default="people16")
    add("--frame", nargs="+", choices=("full", "upper"), default=["full", "upper"])
    add("--aspect", type=float, default=2.0, help="height of a frame over its width")
    add("--resolution", type=int, default=256, help="height of the maps that are compared")
    add("--smooth", type=int, default=SMOOTH16, help="as for prepare.py")
    add("--max_items", type=int, help="use only this many photos, the first ones")
    return parser


def find_problem(args: argparse.Namespace) -> str | None:
    """What is wrong with the flags; None if nothing is."""
    if not 0.25 <= args.aspect <= 4:
        return f"--aspect is {args.aspect}; it is height over width, from 0.25 to 4"
    if args.smooth < 0 or (args.smooth and args.smooth % 2 == 0):
        return f"--smooth is {args.smooth}; it must be an odd number of pixels, or 0"
    if not 32 <= args.resolution <= 8192:
        return f"--resolution is {args.resolution}; it must be from 32 to 8192"
    if args.max_items is not None and args.max_items < 1:
        return f"--max_items is {args.max_items}; it must be at least 1"
    return None


def annotated_photos(folder: Path, part: str, count: int | None) -> list[Item]:
    """The photos of one part of fashion8.

    Raises:
        ValueError: if the folder is not Clothing Co-Parsing, or has none of them.
    """
    found = find_ccp(folder, split="train", validation_share=0, chosen=True)
    items = [item for item in found.items if item.split == part]
    if not items:
        raise ValueError(f"{folder} has no annotated photo of fashion8's {part} part")
    return items[:count]


def report(found: dict[str, Agreement]) -> str:
    """All of it."""
    parts = []
    for frame, agreement in found.items():
        parts.append(f"## Frame {frame}")
        if agreement.left_out:
            parts += [agreement_table(agreement), left_out_lines(agreement)]
        else:
            parts.append("The parser finds a person in none of the photos.")
    return "\n\n".join(parts)


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    args = parse_checked(build_parser(), find_problem, argv)
    labels: LabelSet = LABEL_SETS[args.classes]
    recipe = PhotoRecipe(
        labels,
        args.parser,
        args.parser_labels,
        (args.resolution, max(1, round(args.resolution / args.aspect))),
        args.aspect,
        smooth=args.smooth,
        by_tags=True,
    )
    try:
        items = annotated_photos(args.input, args.photos, args.max_items)
        names = read_tags(args.input / "label_list.mat")
        segmenter = segmenter_for(args.parser, args.parser_labels, labels)
        print(report(measure(segmenter, recipe, items, names, args.frame)))
    except (ValueError, OSError) as error:
        sys.exit(f"pseudo_labels.py: {error}")


if __name__ == "__main__":
    main()
