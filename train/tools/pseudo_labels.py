"""How much image-level tags help a parser: ``python train/tools/pseudo_labels.py --parser FOLDER --input CCP``.

Photos of Clothing Co-Parsing that annotators labelled pixel by pixel are treated as if they had tags only, as
``prepare.py photos --tags`` treats those that do. It prints, as Markdown for each frame, each class's IoU of the
parser's answer with the annotators' map, without the tags and with them; and which photos would be left out, and how
good the answers for these are.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

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
from groupdnet_hub.prepare.config import ASPECTS, PARSER, SMOOTH16, odd_or_0
from groupdnet_hub.prepare.items import resize_map
from groupdnet_hub.prepare.labels import LABEL_SETS
from groupdnet_hub.prepare.people import smooth_edges
from groupdnet_hub.prepare.photos import PhotoRecipe, look, segmenter_for
from groupdnet_hub.prepare.sources import Item, find_ccp
from groupdnet_hub.prepare.tags import Tags, limits_of
from groupdnet_hub.runs.flags import parse_settings
from groupdnet_hub.runs.settings import Settings, at_least, in_range, option
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


@dataclass(frozen=True, kw_only=True)
class PseudoLabelConfig(Settings):
    """Parser, photos, and the form of their frames."""

    parser: str = option(str(PARSER), "segmentation model of transformers, folder or Hub id")
    parser_labels: Path | None = option(
        None, "JSON file of its labels in the classes, where they are called otherwise"
    )
    input: Path = option(help="folder of Clothing Co-Parsing")
    photos: Literal["validation", "train"] = option("validation", "part of fashion8")
    classes: str = option("people16", "label set", choices=tuple(LABEL_SETS))
    frame: tuple[Literal["full", "upper"], ...] = option(("full", "upper"), "parts of the photos")
    aspect: float = option(2.0, "height of a frame over its width", check=ASPECTS)
    resolution: int = option(
        256, "height of the maps that are compared", check=in_range(32, 8192, "it must be from 32 to 8192")
    )
    smooth: int = option(SMOOTH16, "as for prepare.py", check=odd_or_0)
    max_items: int | None = option(None, "use only this many photos, the first ones", check=at_least(1))


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
    settings = parse_settings(
        PseudoLabelConfig,
        argv,
        prog="pseudo_labels.py",
        description="Measure how much image-level tags help a parser, on photos with pixel-level annotations.",
    )
    labels: LabelSet = LABEL_SETS[settings.classes]
    recipe = PhotoRecipe(
        labels,
        settings.parser,
        settings.parser_labels,
        (settings.resolution, max(1, round(settings.resolution / settings.aspect))),
        settings.aspect,
        smooth=settings.smooth,
        by_tags=True,
    )
    try:
        items = annotated_photos(settings.input, settings.photos, settings.max_items)
        names = read_tags(settings.input / "label_list.mat")
        segmenter = segmenter_for(settings.parser, settings.parser_labels, labels)
        print(report(measure(segmenter, recipe, items, names, settings.frame)))
    except (ValueError, OSError) as error:
        sys.exit(f"pseudo_labels.py: {error}")


if __name__ == "__main__":
    main()
