"""Draw the README's picture: ``python docs/make_picture.py``, with the bundled model, maps and classes by default."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from groupdnet_hub import GroupDNetPipeline, Look, colour_picture

ROOT = Path(__file__).resolve().parents[1]
# A cell is as wide as this, or narrower where pictures are much taller than wide.
SIDE, LINE, GAP = 232, 26, 4
COLUMNS, TALLEST = 6, 1.5
INK = (40, 40, 40)
# What was chosen by eye for the bundled model: example maps by number and seeds, and the three classes.
CLASSES = ("top-clothes", "hair", "bottom-clothes")
REROLL, REROLL_SEEDS = (6, 48), (6, 27, 7, 25)
MIX = ((7, 11), (1, 25), (11, 27))
MORPH = ((8, 27), (8, 7))
Cells = Sequence[tuple[str, Image.Image]]


def main(argv: Sequence[str] | None = None) -> None:
    """Write the picture: one row each, with a line of text above every cell."""
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--model", default=str(ROOT / "space" / "model"), help="folder or Hub id")
    add(
        "--examples",
        type=Path,
        default=ROOT / "space" / "examples",
        help="folder of example_01.png and so on",
    )
    add("--output", type=Path, default=Path(__file__).with_name("reroll_mix_morph.png"), help="PNG file")
    add(
        "--classes",
        nargs=3,
        metavar="NAME",
        help=f"the classes that are redrawn; the first two are mixed. By default {', '.join(CLASSES)}, or, for a model "
        "without these, the three whose redrawing changes its pictures most",
    )
    args = parser.parse_args(argv)
    pipe = GroupDNetPipeline.from_pretrained(args.model)
    maps = {number: args.examples / f"example_{number:02}.png" for number, _ in (REROLL, *MIX, *MORPH)}
    try:
        classes = [
            pipe.labels.names[pipe.labels.id_of(name)] for name in args.classes or _defaults(pipe, maps)
        ]
        rows = (reroll_row(pipe, maps, classes), mix_row(pipe, maps, classes), morph_row(pipe, maps))
    except ValueError as error:
        parser.error(str(error))
    draw_grid(rows, pipe.model.config.image_size).save(args.output, optimize=True)


def draw_grid(rows: Sequence[Cells], size: tuple[int, int]) -> Image.Image:
    """Return the rows as one picture, every cell with the proportions of ``size`` = (height, width)."""
    scale = min(SIDE / size[1], TALLEST * SIDE / size[0])
    width, height = round(size[1] * scale), round(size[0] * scale)
    grid = Image.new("RGB", (COLUMNS * (width + GAP) - GAP, len(rows) * (LINE + height + GAP)), "white")
    draw, font = ImageDraw.Draw(grid), ImageFont.load_default(size=15)
    for row, cells in enumerate(rows):
        for column, (text, picture) in enumerate(cells):
            x, y = column * (width + GAP), row * (LINE + height + GAP)
            draw.text((x + width // 2, y + LINE // 2), text, fill=INK, font=font, anchor="mm")
            grid.paste(picture.resize((width, height), Image.Resampling.BICUBIC), (x, y + LINE))
    return grid


def reroll_row(pipe: GroupDNetPipeline, maps: dict[int, Path], classes: Sequence[str]) -> Cells:
    """Label map, sample, and one class after the other drawn anew; the first one twice."""
    number, seed = REROLL
    look = pipe.sample(maps[number], seed=seed)
    redrawn = zip((*classes, classes[0]), REROLL_SEEDS, strict=True)
    cells = [("label map", colour_picture(look.mask, pipe.labels)), ("sample", look.image)]
    return [*cells, *((f"reroll {name}", pipe.reroll(look, name, seed=s).image) for name, s in redrawn)]


def mix_row(pipe: GroupDNetPipeline, maps: dict[int, Path], classes: Sequence[str]) -> Cells:
    """Three looks, and the first with classes of the others."""
    a, b, c = (pipe.sample(maps[number], seed=seed) for number, seed in MIX)
    first, second = classes[:2]

    def mixed(sources: dict[str | int, Look]) -> Image.Image:
        return pipe.mix(a.mask, sources, base=a).image

    return [
        ("look A", a.image),
        ("look B", b.image),
        ("look C", c.image),
        (f"A, {first} of B", mixed({first: b})),
        (f"A, {second} of C", mixed({second: c})),
        ("A, both", mixed({first: b, second: c})),
    ]


def morph_row(pipe: GroupDNetPipeline, maps: dict[int, Path]) -> Cells:
    """From one look to another on its label map."""
    first, last = (pipe.sample(maps[number], seed=seed) for number, seed in MORPH)
    steps = [i / (COLUMNS - 1) for i in range(COLUMNS)]
    return [(f"morph, {t:.1f}", pipe.between(first, last, t).image) for t in steps]


def _defaults(pipe: GroupDNetPipeline, maps: dict[int, Path]) -> list[str]:
    """``CLASSES``, or the three whose redrawing changes most, of those that the first maps of both rows show first."""
    if set(CLASSES) <= set(pipe.labels.names):
        return list(CLASSES)
    looks = [pipe.sample(maps[number], seed=seed) for number, seed in (REROLL, MIX[0])]
    changes = dict.fromkeys(pipe.labels.names, 0.0)
    for name in changes:
        for look in looks:
            if name in look.classes:
                redrawn = np.asarray(pipe.reroll(look, name, seed=0).image).astype(int)
                changes[name] += float(np.abs(redrawn - np.asarray(look.image)).mean())
    shared = [
        name for name in changes if name != "background" and all(name in look.classes for look in looks)
    ]
    ranked = sorted(changes, key=lambda name: (name in shared, changes[name]), reverse=True)
    if len(ranked) < 3:
        raise ValueError(f"the model has {len(ranked)} classes; the picture shows three being redrawn")
    return ranked[:3]


if __name__ == "__main__":
    main()
