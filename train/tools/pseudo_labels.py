"""Measure the effect of image-level tags on a parser: ``python train/tools/pseudo_labels.py --input CCP``.

Photos of Clothing Co-Parsing that annotators labelled pixel by pixel are treated as if they had tags only, as
``prepare.py photos --tags`` treats those that do. It prints, as Markdown for each frame, each class's IoU of the
parser's map with the annotators', without the tags and with them; and which photos would be left out, and how good
their maps are.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from groupdnet_hub import LabelSet
from groupdnet_hub.prepare.ccp import read_tags
from groupdnet_hub.prepare.config import ASPECTS, PARSER, SMOOTH16, odd_or_0
from groupdnet_hub.prepare.labels import LABEL_SETS
from groupdnet_hub.prepare.photos import PhotoRecipe, segmenter_for
from groupdnet_hub.prepare.pseudo_labels import annotated_photos, measure, report
from groupdnet_hub.runs.flags import parse_settings
from groupdnet_hub.runs.scripts import run_command
from groupdnet_hub.runs.settings import Settings, at_least, existing_file, existing_folder, in_range, option


@dataclass(frozen=True, kw_only=True)
class PseudoLabelConfig(Settings):
    """Settings of pseudo_labels.py: parser, photos, and the shape of their frames."""

    parser: str = option(str(PARSER), "segmentation model of transformers, folder or Hub id")
    parser_labels: Path | None = option(
        None, "JSON file of its labels in the classes, where they are called otherwise", check=existing_file
    )
    input: Path = option(help="folder of Clothing Co-Parsing", check=existing_folder)
    photos: Literal["validation", "train"] = option("validation", "part of fashion8")
    classes: str = option("people16", "label set", choices=tuple(LABEL_SETS))
    frame: tuple[Literal["full", "upper"], ...] = option(("full", "upper"), "parts of the photos")
    aspect: float = option(2.0, "height of a frame over its width", check=ASPECTS)
    resolution: int = option(
        256, "height of the maps that are compared", check=in_range(32, 8192, "it must be from 32 to 8192")
    )
    smooth: int = option(SMOOTH16, "as for prepare.py", check=odd_or_0)
    max_items: int | None = option(None, "number of photos, the first ones", check=at_least(1))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
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
    run_command("pseudo_labels.py", main, stopped="nothing is written")
