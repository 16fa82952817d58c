"""How good a parser is: ``python train/tools/parser_scores.py --parser FOLDER --data_dir FOLDER ...``.

It prints, as Markdown, mIoU and each class's IoU for every folder, for 16 classes of people also merged to the paper's
8, and how sureness (see prepare.py photos) goes with mIoU, by which ``--min_sureness`` is chosen.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from groupdnet_hub import PairedImages
from groupdnet_hub.data.paired import read_label_set
from groupdnet_hub.data.people import PEOPLE, PEOPLE16, merge_people16, merge_people16_probabilities
from groupdnet_hub.data.person_maps import keep_main_person
from groupdnet_hub.evaluation.report_figures import percent
from groupdnet_hub.io.images import tensor_to_picture
from groupdnet_hub.metrics import LabelTable, SegmentationMeter, SegmentationScores, Segmenter
from groupdnet_hub.metrics.segmenter import parse_both
from groupdnet_hub.prepare.photos import sureness
from groupdnet_hub.runs.flags import parse_settings
from groupdnet_hub.runs.settings import Settings, option, size_option

# Photos by which the time is measured.
_TIMED = 5
# A class that fewer photos show says little.
FEW_PHOTOS = 10


@dataclass(frozen=True)
class ParserScores:
    """Of one folder.

    Attributes:
        plain: of the parser as evaluate.py uses it.
        mirrored: of the mean over a photo and its mirror image, as the page and prepare.py use it.
        merged: the latter in the paper's 8 classes; None where the classes are not the 16 of people.
        photos: how many photos show each class, by its name.
        sureness: float64 [photos].
        right: share of the person's pixels that the latter labels right, float64 [photos].
        seconds: a photo, plain: the median of the first ones.
    """

    plain: SegmentationScores
    mirrored: SegmentationScores
    merged: SegmentationScores | None
    photos: dict[str, int]
    sureness: np.ndarray
    right: np.ndarray
    seconds: float


def measure(segmenter: Segmenter, table: LabelTable, data: PairedImages) -> ParserScores:
    """Parse every picture of ``data`` and compare with its label map."""
    names = table.labels.names
    meters = [SegmentationMeter(names, table.ignored) for _ in range(2)]
    merged = SegmentationMeter(PEOPLE.names) if table.labels == PEOPLE16 else None
    photos = np.zeros(len(names), np.int64)
    sure, right, seconds = [], [], []
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
        shares = both.mean(axis=0)
        ids = shares.argmax(0)
        for meter, predicted in zip(meters, (both[0].argmax(0), ids), strict=True):
            meter.update(index, label, torch.from_numpy(predicted))
        kept, truth = keep_main_person(ids), label.numpy()
        photos[np.unique(truth)] += 1
        if merged is not None:
            eight = merge_people16_probabilities(shares).argmax(0)
            merged.update(index, torch.from_numpy(merge_people16(truth)), torch.from_numpy(eight))
        person = (truth > 0) | (kept > 0)
        sure.append(sureness(shares, kept))
        right.append(float((kept == truth)[person].mean()) if person.any() else 1.0)
    return ParserScores(
        meters[0].result(),
        meters[1].result(),
        None if merged is None else merged.result(),
        dict(zip(names, photos.tolist(), strict=True)),
        np.array(sure),
        np.array(right),
        float(np.median(seconds)),
    )


def summary_table(found: dict[str, ParserScores]) -> str:
    """Of each folder: mIoU with its 95 % interval, without the mirror image, over classes of enough photos, merged."""
    lines = [
        f"| data | photos | mIoU | without mirror image | classes of {FEW_PHOTOS} photos or more | in 8 classes | "
        "accuracy |",
        "|---" * 7 + "|",
    ]
    for name, scores in found.items():
        best = scores.mirrored
        low, high = best.miou.interval or (None, None)
        figures = [
            str(best.images),
            f"{percent(best.miou.value)} ({percent(low)} to {percent(high)})",
            percent(scores.plain.miou.value),
            percent(frequent_miou(best, scores.photos)),
            percent(scores.merged.miou.value if scores.merged else None),
            percent(best.pixel_accuracy.value),
        ]
        lines.append(f"| {name} | {' | '.join(figures)} |")
    return "\n".join(lines)


def frequent_miou(scores: SegmentationScores, photos: Mapping[str, int]) -> float | None:
    """The mean IoU over the classes that at least :data:`FEW_PHOTOS` photos show.

    Args:
        photos: how many photos show each class, by its name.
    """
    values = [
        one.value for name, one in scores.iou.items() if photos[name] >= FEW_PHOTOS and one.value is not None
    ]
    return float(np.mean(values)) if values else None


def class_table(found: dict[str, ParserScores]) -> str:
    """Each class's IoU in percent, with the mirror image, and the number of photos that show it."""
    lines = [
        f"| class | {' | '.join(f'{name} | photos' for name in found)} |",
        "|---" * (1 + 2 * len(found)) + "|",
    ]
    for class_ in next(iter(found.values())).photos:
        figures = [
            f"{percent(scores.mirrored.iou[class_].value)} | {scores.photos[class_]}"
            for scores in found.values()
        ]
        lines.append(f"| {class_} | {' | '.join(figures)} |")
    return "\n".join(lines)


def sureness_table(found: dict[str, ParserScores]) -> str:
    """For some thresholds: the share of photos kept, and the mean share of the person labelled right in these."""
    sure = np.concatenate([scores.sureness for scores in found.values()])
    right = np.concatenate([scores.right for scores in found.values()])
    lines = [
        "| sureness at least | photos kept | person labelled right: kept | left out |",
        "|---|---|---|---|",
    ]
    for share in (1.0, 0.9, 0.8, 0.7, 0.5, 0.3):
        least = np.quantile(sure, 1 - share)
        kept = sure >= least
        out = f"{100 * right[~kept].mean():.1f} %" if (~kept).any() else "-"
        lines.append(
            f"| {least:.3f} | {100 * kept.mean():.0f} % | {100 * right[kept].mean():.1f} % | {out} |"
        )
    correlation = np.corrcoef(sure, right)[0, 1] if len(sure) > 2 else float("nan")
    return "\n".join((*lines, "", f"Correlation of sureness and the share labelled right: {correlation:.2f}"))


@dataclass(frozen=True, kw_only=True)
class ScoresConfig(Settings):
    """Parser and data."""

    parser: str = option(help="segmentation model of transformers, folder or Hub id")
    parser_labels: str | None = option(
        None, "JSON file of its labels in the data's classes, where they are called otherwise"
    )
    data_dir: tuple[str, ...] = option(help="data set folders")
    split: str = option("validation", "their split")
    resolution: tuple[int, int] = size_option(
        (256, 256),
        "size of the pictures and label maps; one number is a square",
        least=32,
        metavar=("HEIGHT", "WIDTH"),
    )

    def check(self) -> None:
        """Refuse data that is not there."""
        super().check()
        for folder in self.data_dir:
            if not (Path(folder) / self.split).is_dir():
                raise ValueError(f"--data_dir, --split: there is no folder {self.split} in {folder}")


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    settings = parse_settings(
        ScoresConfig, argv, prog="parser_scores.py", description="Measure a parser on label maps."
    )
    try:
        found = {}
        for folder in settings.data_dir:
            labels = read_label_set(folder, settings.split)
            table = (
                LabelTable.from_file(settings.parser_labels, labels)
                if settings.parser_labels
                else LabelTable.of_model(settings.parser, labels)
            )
            segmenter = Segmenter(settings.parser, table)
            data = PairedImages.from_folder(folder, settings.resolution, split=settings.split, labels=labels)
            found[Path(folder).name] = measure(segmenter, table, data)
    except (ValueError, OSError) as error:
        sys.exit(f"parser_scores.py: {error}")
    print(summary_table(found))
    print(f"\n{class_table(found)}")
    print(f"\n{next(iter(found.values())).seconds:.3f} s a photo, twice that with its mirror image\n")
    print(sureness_table(found))


if __name__ == "__main__":
    main()
