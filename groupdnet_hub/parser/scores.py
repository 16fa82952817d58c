"""The scores of a parser on label maps, and their tables in Markdown."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from tqdm.auto import tqdm

from groupdnet_hub import PairedImages
from groupdnet_hub.data.people import PEOPLE, PEOPLE16, merge_people16, merge_people16_probabilities
from groupdnet_hub.data.person_maps import keep_main_person
from groupdnet_hub.data.unknown import mark_unknown
from groupdnet_hub.io.images import tensor_to_picture
from groupdnet_hub.metrics import LabelTable, SegmentationMeter, SegmentationScores, Segmenter
from groupdnet_hub.metrics.estimates import percent
from groupdnet_hub.metrics.segmentation import FREQUENT, frequent_miou
from groupdnet_hub.metrics.segmenter import parse_both, sureness

# Number of photos on which the time is measured.
_TIMED = 5


@dataclass(frozen=True)
class ParserScores:
    """Scores on one data set.

    Attributes:
        plain: scores of the parser as evaluate.py uses it.
        mirrored: scores of the mean over a photo and its mirror image, as the page and prepare.py use it.
        merged: the latter in the paper's 8 classes; None where the classes are not the 16 of people.
        photos: number of photos that show a class, by class name.
        sureness: sureness of each photo, float64 [photos].
        correct: fraction of the person's pixels that ``mirrored`` labels correctly, float64 [photos].
        seconds: median time of a plain prediction.
    """

    plain: SegmentationScores
    mirrored: SegmentationScores
    merged: SegmentationScores | None
    photos: dict[str, int]
    sureness: np.ndarray
    correct: np.ndarray
    seconds: float


def measure(segmenter: Segmenter, table: LabelTable, data: PairedImages) -> ParserScores:
    """Parse every picture of a data set and compare the result with its label map, where that is known."""
    names = table.labels.names
    meters = [SegmentationMeter(names, table.ignored) for _ in range(2)]
    merged = SegmentationMeter(PEOPLE.names) if replace(table.labels, ignore=()) == PEOPLE16 else None
    photos = np.zeros(len(names), np.int64)
    sure, correct, seconds = [], [], []
    for index in tqdm(range(len(data)), desc="parsing", unit="picture"):
        item = data[index]
        picture, label = tensor_to_picture(item["image"]), item["label"]
        if index < _TIMED:
            pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)
            started = time.perf_counter()
            with torch.inference_mode():
                segmenter(pixels[None])
            seconds.append(time.perf_counter() - started)
        both = parse_both(segmenter, picture)
        probabilities = both.mean(axis=0)
        ids = probabilities.argmax(0)
        unknown = item.get("unknown")
        for meter, predicted in zip(meters, (both[0].argmax(0), ids), strict=True):
            meter.update(index, mark_unknown(label, unknown), torch.from_numpy(predicted))
        main, truth = keep_main_person(ids), label.numpy()
        known = np.ones(truth.shape, bool) if unknown is None else ~unknown.numpy()
        photos[np.unique(truth[known])] += 1
        if merged is not None:
            eight = merge_people16_probabilities(probabilities).argmax(0)
            of_eight = mark_unknown(torch.from_numpy(merge_people16(truth)), unknown)
            merged.update(index, of_eight, torch.from_numpy(eight))
        person = ((truth > 0) | (main > 0)) & known
        sure.append(sureness(probabilities, main))
        correct.append(float((main == truth)[person].mean()) if person.any() else 1.0)
    return ParserScores(
        meters[0].result(),
        meters[1].result(),
        None if merged is None else merged.result(),
        dict(zip(names, photos.tolist(), strict=True)),
        np.array(sure),
        np.array(correct),
        float(np.median(seconds)),
    )


def summary_table(found: dict[str, ParserScores]) -> str:
    """Return the table of mIoU by data set: its interval, without the mirror image, of frequent classes, merged."""
    lines = [
        f"| data | photos | mIoU | without mirror image | classes of {FREQUENT} photos or more | in 8 classes | "
        "accuracy |",
        "|---" * 7 + "|",
    ]
    for name, scores in found.items():
        best = scores.mirrored
        low, high = best.miou.interval or (None, None)
        values = [
            str(best.images),
            f"{percent(best.miou.value)} ({percent(low)} to {percent(high)})",
            percent(scores.plain.miou.value),
            percent(frequent_miou(best, scores.photos)),
            percent(scores.merged.miou.value if scores.merged else None),
            percent(best.pixel_accuracy.value),
        ]
        lines.append(f"| {name} | {' | '.join(values)} |")
    return "\n".join(lines)


def class_table(found: dict[str, ParserScores]) -> str:
    """Return the table of each class's IoU in percent, with the mirror image, and the number of photos that show it."""
    lines = [
        f"| class | {' | '.join(f'{name} | photos' for name in found)} |",
        "|---" * (1 + 2 * len(found)) + "|",
    ]
    for class_ in next(iter(found.values())).photos:
        values = [
            f"{percent(scores.mirrored.iou[class_].value)} | {scores.photos[class_]}"
            for scores in found.values()
        ]
        lines.append(f"| {class_} | {' | '.join(values)} |")
    return "\n".join(lines)


def sureness_table(found: dict[str, ParserScores]) -> str:
    """Return the table of thresholds: fraction of photos kept, and mean fraction of the person labelled correctly."""
    sure = np.concatenate([scores.sureness for scores in found.values()])
    correct = np.concatenate([scores.correct for scores in found.values()])
    lines = [
        "| sureness at least | photos kept | person labelled correctly: kept | left out |",
        "|---|---|---|---|",
    ]
    for fraction in (1.0, 0.9, 0.8, 0.7, 0.5, 0.3):
        least = np.quantile(sure, 1 - fraction)
        kept = sure >= least
        out = f"{100 * correct[~kept].mean():.1f} %" if (~kept).any() else "-"
        lines.append(
            f"| {least:.3f} | {100 * kept.mean():.0f} % | {100 * correct[kept].mean():.1f} % | {out} |"
        )
    correlation = np.corrcoef(sure, correct)[0, 1] if len(sure) > 2 else float("nan")
    return "\n".join(
        (*lines, "", f"Correlation of sureness and the fraction labelled correctly: {correlation:.2f}")
    )
