"""The effect of image-level tags on a parser's label maps, measured on photos with pixel-level annotations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from groupdnet_hub.data.labels import resize_map
from groupdnet_hub.data.people import BACKGROUND
from groupdnet_hub.data.person_frames import crop
from groupdnet_hub.data.person_maps import remove_specks
from groupdnet_hub.io.images import read_photo
from groupdnet_hub.metrics import SegmentationMeter, Segmenter
from groupdnet_hub.metrics.estimates import percent
from groupdnet_hub.metrics.segmentation import FREQUENT, frequent_miou
from groupdnet_hub.metrics.segmenter import parse
from groupdnet_hub.prepare.ccp import merge_tags, read_tag_map
from groupdnet_hub.prepare.people import smooth_edges
from groupdnet_hub.prepare.photos import PhotoRecipe, find_person
from groupdnet_hub.prepare.sources import Item, find_ccp
from groupdnet_hub.prepare.tags import Tags, limits_of

WITHOUT, WITH = "without tags", "with tags"


@dataclass
class Agreement:
    """Agreement of the parser's maps of one frame with those of annotators.

    Attributes:
        meters: meters by :data:`WITHOUT` and :data:`WITH`.
        correct: fraction of the person's pixels that is correct, by the same, for each photo.
        photos: number of annotators' maps that show a class, by class name.
        left_out: reason for which ``prepare.py photos --tags`` would leave a photo out, or None, for each photo.
        nobody: number of photos in which the parser finds no person that can be framed; they count nowhere else.
    """

    meters: dict[str, SegmentationMeter]
    correct: dict[str, list[float]] = field(default_factory=lambda: {WITHOUT: [], WITH: []})
    photos: Counter[str] = field(default_factory=Counter)
    left_out: list[str | None] = field(default_factory=list)
    nobody: int = 0


def measure(
    segmenter: Segmenter, recipe: PhotoRecipe, items: Sequence[Item], names: Tags, frames: Sequence[str]
) -> dict[str, Agreement]:
    """Label every photo without its tags and with them, and compare the maps with its annotation.

    Each map is compared with the annotation in its own frame, at the size that would be written.

    Args:
        segmenter: parser.
        recipe: recipe of the photos, by tags.
        items: photos with pixel-level annotations.
        names: tags of the annotations by id.
        frames: frames to cut.

    Returns:
        The agreement by frame.

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
        assert item.label is not None, "find_ccp gives every photo its annotation"
        raw = read_tag_map(item.label, names, (photo.height, photo.width))
        truth = smooth_edges(merge_tags(raw, names, labels), recipe.smooth)
        limits = limits_of(tags_of(raw, names), labels)
        probabilities = parse(segmenter, photo)
        photos = {
            name: find_person(probabilities, labels, one) for name, one in ((WITHOUT, None), (WITH, limits))
        }
        for frame, agreement in found.items():
            maps = {
                name: recipe.label(segmenter, photo, frame, parsed)
                for name, parsed in photos.items()
                if parsed.ids.any()
            }
            labelled = {name: one for name, one in maps.items() if one is not None}
            if len(labelled) < len(photos):
                agreement.nobody += 1
                continue
            agreement.left_out.append(photos[WITH].left_out)
            for name, one in labelled.items():
                framed = truth if one.box is None else crop(photo, truth, one.box)[1]
                wanted, given = (resize_map(ids, recipe.resolution) for ids in (framed, one.ids))
                agreement.meters[name].update(index, torch.from_numpy(wanted), torch.from_numpy(given))
                person = (wanted != BACKGROUND) | (given != BACKGROUND)
                agreement.correct[name].append(float((wanted == given)[person].mean()))
            agreement.photos.update(labels.names[i] for i in np.unique(wanted))
    return found


def tags_of(raw: np.ndarray, names: Tags) -> Tags:
    """Return the tags that a pixel-level annotation would have as image-level ones.

    They are those of its pixels, without specks that are slips of the annotator's brush.

    Args:
        raw: tag ids [H, W].
        names: tags by id.
    """
    return tuple(names[i] for i in np.unique(remove_specks(raw)))


def agreement_table(agreement: Agreement) -> str:
    """Return the table of IoU by class, in percent, with the number of photos of the class, and of means."""
    scores = {name: meter.result() for name, meter in agreement.meters.items()}
    lines = [f"| class | photos | {WITHOUT} | {WITH} |", "|---|---|---|---|"]

    def line(title: str, count: object, values: Iterable[float | None]) -> None:
        lines.append(f"| {title} | {count} | {' | '.join(map(percent, values))} |")

    names = list(scores[WITH].iou)
    for name in names:
        line(name, agreement.photos[name], (scores[how].iou[name].value for how in scores))
    line("mean", scores[WITH].images, (scores[how].miou.value for how in scores))
    often = (frequent_miou(scores[how], agreement.photos) for how in scores)
    line(f"mean of those with {FREQUENT} photos", "", often)
    line("person labelled correctly", "", (float(np.mean(agreement.correct[how])) for how in scores))
    return "\n".join(lines)


def left_out_lines(agreement: Agreement) -> str:
    """Return the table of photos used, and left out by reason, with the person's fraction labelled correctly."""
    correct = np.array(agreement.correct[WITH])
    lines = [f"| photos, {WITH} | count | person labelled correctly |", "|---|---|---|"]
    reasons = Counter(agreement.left_out)
    for reason in sorted(reasons, key=lambda one: one or ""):
        there = np.array([one == reason for one in agreement.left_out])
        lines.append(f"| {reason or 'kept'} | {there.sum()} | {percent(float(correct[there].mean()))} |")
    if agreement.nobody:
        lines.append(f"| without a person in sight | {agreement.nobody} | - |")
    return "\n".join(lines)


def annotated_photos(folder: Path, part: str, count: int | None) -> list[Item]:
    """Return the annotated photos of one part of fashion8.

    Args:
        folder: folder of Clothing Co-Parsing.
        part: ``train`` or ``validation``.
        count: number of photos, the first ones; None for all.

    Raises:
        ValueError: for a folder that is not Clothing Co-Parsing, or has none of them.
    """
    found = find_ccp(folder, split="train", validation_fraction=0, chosen=True)
    items = [item for item in found.items if item.split == part]
    if not items:
        raise ValueError(f"{folder} has no annotated photo of fashion8's {part} part")
    return items[:count]


def report(found: dict[str, Agreement]) -> str:
    """Return all tables in Markdown."""
    parts = []
    for frame, agreement in found.items():
        parts.append(f"## Frame {frame}")
        if agreement.left_out:
            parts += [agreement_table(agreement), left_out_lines(agreement)]
        else:
            parts.append("The parser finds a person in none of the photos.")
    return "\n\n".join(parts)
