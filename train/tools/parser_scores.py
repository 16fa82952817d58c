"""Measure a parser: ``python train/tools/parser_scores.py --parser FOLDER --data_dir FOLDER ...``.

It prints, as Markdown, mIoU and each class's IoU for every folder, for 16 classes of people also merged to the paper's
8, and how sureness (see prepare.py photos) is related to mIoU, by which ``--min_sureness`` is chosen.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from groupdnet_hub import PairedImages
from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.data.paired import read_label_set
from groupdnet_hub.data.unknown import with_ignored
from groupdnet_hub.metrics import LabelTable, Segmenter
from groupdnet_hub.parser.scores import class_table, measure, summary_table, sureness_table
from groupdnet_hub.runs.flags import parse_settings
from groupdnet_hub.runs.ignored import ignore_option
from groupdnet_hub.runs.scripts import run_command
from groupdnet_hub.runs.settings import Settings, existing_file, option, refuse_other_folders, size_option


@dataclass(frozen=True, kw_only=True)
class ScoresConfig(Settings):
    """Settings of parser_scores.py: parser and data."""

    parser: str = option(help="segmentation model of transformers, folder or Hub id")
    parser_labels: str | None = option(
        None,
        "JSON file of its labels in the data's classes, where they are called otherwise",
        check=existing_file,
    )
    data_dir: tuple[str, ...] = option(help="data set folders")
    split: str = option("validation", "their split")
    ignore_id: tuple[Ignored, ...] = ignore_option(
        "ids of label maps, or colours as '#rrggbb', that stand for unknown pixels, such as 255, beside those that "
        "classes.json ignores: they are not scored"
    )
    resolution: tuple[int, int] = size_option(
        (256, 256),
        "size of the pictures and label maps; one number is a square",
        least=32,
        metavar=("HEIGHT", "WIDTH"),
    )

    def check(self) -> None:
        """Refuse missing data, and folders whose columns could not be told apart."""
        super().check()
        names = [Path(folder).name for folder in self.data_dir]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(
                f"--data_dir names two folders {twice}, which the table could not tell apart: rename one"
            )
        for folder in self.data_dir:
            refuse_other_folders("--data_dir, --split", folder, self.split)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    settings = parse_settings(
        ScoresConfig, argv, prog="parser_scores.py", description="Measure a parser on label maps."
    )
    try:
        found = {}
        for folder in settings.data_dir:
            labels = with_ignored(read_label_set(folder, settings.split), settings.ignore_id)
            table = (
                LabelTable.from_file(settings.parser_labels, labels)
                if settings.parser_labels
                else LabelTable.of_model(settings.parser, labels, flag="--parser")
            )
            segmenter = Segmenter(settings.parser, table, flag="--parser")
            data = PairedImages.from_folder(
                folder, settings.resolution, split=settings.split, labels=labels, instances=False
            )
            found[Path(folder).name] = measure(segmenter, table, data)
    except (ValueError, OSError) as error:
        sys.exit(f"parser_scores.py: {error}")
    print(summary_table(found))
    print(f"\n{class_table(found)}")
    print(f"\n{next(iter(found.values())).seconds:.3f} s per photo, twice that with its mirror image\n")
    print(sureness_table(found))


if __name__ == "__main__":
    run_command("parser_scores.py", main, stopped="nothing is written")
