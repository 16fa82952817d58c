"""Contact sheets to choose opening looks from: ``python docs/choose_looks.py --model FOLDER --output SHEETS``.

Each sheet has a row for each of six example maps and a column for each seed. What is chosen goes into the model's
``looks.json`` (see ``space/README.md``) and, for the README's picture, into the table of ``make_picture.py``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from groupdnet_hub import GroupDNetPipeline

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.append(str(HERE))

from make_picture import ROOT, read_maps  # noqa: E402

ROWS, GAP, LINE = 6, 2, 14


def main(argv: Sequence[str] | None = None) -> None:
    """Write ``sheet_01.png`` and so on."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", required=True, help="folder or Hub id")
    add(
        "--examples",
        type=Path,
        default=ROOT / "space" / "examples",
        help="folder of example_01.png and so on",
    )
    add("--seeds", type=int, nargs=2, default=(0, 14), metavar=("FROM", "TO"), help="seeds, without the last")
    add("--output", type=Path, required=True, help="folder to write to")
    args = parser.parse_args(argv)
    seeds = range(*args.seeds)
    if not seeds:
        parser.error(f"--seeds {seeds.start} {seeds.stop} is an empty range")
    pipe = GroupDNetPipeline.from_pretrained(args.model)
    try:
        maps = read_maps(pipe, args.examples)
    except ValueError as error:
        parser.error(str(error))
    args.output.mkdir(parents=True, exist_ok=True)
    height, width = pipe.model.config.image_size
    numbers = sorted(maps)
    for first in range(0, len(numbers), ROWS):
        shown = numbers[first : first + ROWS]
        size = (len(seeds) * (width + GAP), LINE + len(shown) * (height + GAP))
        sheet = Image.new("RGB", size, "white")
        draw = ImageDraw.Draw(sheet)
        for column, seed in enumerate(seeds):
            draw.text((column * (width + GAP), 0), f"seed {seed}", fill="black")
            for row, number in enumerate(shown):
                picture = pipe.sample(maps[number], seed=seed).image
                sheet.paste(picture, (column * (width + GAP), LINE + row * (height + GAP)))
        for row, number in enumerate(shown):
            draw.text((2, LINE + row * (height + GAP)), f"example_{number:02}", fill="red")
        sheet.save(args.output / f"sheet_{first // ROWS + 1:02}.png")


if __name__ == "__main__":
    main()
