"""Draw the README's picture, with the newest bundled model: ``python docs/make_picture.py``.

One row each for redrawing a class, mixing looks, morphing between two, and editing the label map.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from groupdnet_hub import GroupDNetPipeline, Look
from groupdnet_hub.data.labels import colour_picture

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path += [str(folder) for folder in (HERE, ROOT / "space") if str(folder) not in sys.path]

from map_edits import EDITS, MapEdit  # noqa: E402
from page.core.example_maps import example_map  # noqa: E402

# The newest first.
BUNDLED = (ROOT / "space" / "models" / "people16", ROOT / "space" / "model")
# A cell is as wide as this, or narrower where pictures are much taller than wide.
SIDE, LINE, GAP = 232, 26, 4
COLUMNS, TALLEST = 6, 1.5
INK = (40, 40, 40)
Cells = Sequence[tuple[str, Image.Image]]
# The number of an example map, and a seed.
Chosen = tuple[int, int]
Maps = Mapping[int, np.ndarray]


@dataclass(frozen=True)
class Choices:
    """What a model's picture shows, chosen by eye.

    Attributes:
        classes: three that are redrawn, the first of them twice; the first two are mixed.
        reroll, reroll_seeds: the look, and the seeds with which its classes are redrawn.
        mix: three looks; the second gives the first class, the third gives the second.
        morph: two looks.
        edits: a look for each of ``EDITS``; on another map where that does not show what is edited.
    """

    classes: tuple[str, str, str]
    reroll: Chosen
    reroll_seeds: tuple[int, int, int, int]
    mix: tuple[Chosen, Chosen, Chosen]
    morph: tuple[Chosen, Chosen]
    edits: tuple[Chosen, ...]


# By the name of the model's folder. All others are drawn with those of the bundled one of 8 classes.
CHOICES = {
    "people16": Choices(
        classes=("outerwear", "skirt", "hat"),
        reroll=(4, 5),
        reroll_seeds=(7, 8, 6, 17),
        mix=((4, 5), (3, 7), (10, 8)),
        morph=((10, 1), (10, 8)),
        edits=((5, 5), (9, 5), (2, 5)),
    ),
    "model": Choices(
        classes=("top-clothes", "hair", "bottom-clothes"),
        reroll=(6, 15),
        reroll_seeds=(6, 27, 7, 17),
        mix=((10, 26), (8, 6), (6, 27)),
        morph=((1, 7), (1, 27)),
        edits=((5, 1), (9, 1), (2, 1)),
    ),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Write the picture: one row each, with a line of text above every cell."""
    newest = next((folder for folder in BUNDLED if (folder / "config.json").is_file()), BUNDLED[-1])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--model", default=str(newest), help="folder or Hub id; by default the newest bundled model")
    add(
        "--examples",
        type=Path,
        default=ROOT / "space" / "examples",
        help="folder of example_01.png and so on",
    )
    add("--output", type=Path, default=HERE / "reroll_mix_morph_edit.png", help="PNG file")
    add(
        "--classes",
        nargs=3,
        metavar="NAME",
        help="the classes that are redrawn; the first two are mixed. By default those chosen for the bundled models, "
        "or, for a model without them, the three whose redrawing changes its pictures most",
    )
    args = parser.parse_args(argv)
    pipe = GroupDNetPipeline.from_pretrained(args.model)
    choices = CHOICES.get(Path(args.model).name, CHOICES["model"])
    try:
        maps = read_maps(pipe, args.examples)
        classes = [
            pipe.labels.names[pipe.labels.id_of(name)]
            for name in args.classes or _defaults(pipe, maps, choices)
        ]
        rows = [
            reroll_row(pipe, maps, classes, choices),
            mix_row(pipe, maps, classes, choices),
            morph_row(pipe, maps, choices),
            edit_row(pipe, maps, choices),
        ]
    except ValueError as error:
        parser.error(str(error))
    shown = [row for row in rows if row]
    draw_grid(shown, pipe.model.config.image_size).save(args.output, optimize=True)


def read_maps(pipe: GroupDNetPipeline, folder: Path) -> dict[int, np.ndarray]:
    """Return the example maps as the model takes them, by their numbers.

    Raises:
        ValueError: for a map that does not fit the model, and a folder without any.
    """
    size = pipe.model.config.image_size
    paths = {int(path.stem[-2:]): path for path in sorted(folder.glob("example_[0-9][0-9].png"))}
    if not paths:
        raise ValueError(f"{folder} has no label maps called example_01.png and so on")
    return {number: example_map(path, pipe.labels, size) for number, path in paths.items()}


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


def reroll_row(pipe: GroupDNetPipeline, maps: Maps, classes: Sequence[str], choices: Choices) -> Cells:
    """Return the label map, a sample, and one class after the other drawn anew; the first one twice."""
    look = _sample(pipe, maps, choices.reroll)
    redrawn = zip((*classes, classes[0]), choices.reroll_seeds, strict=True)
    cells = [("label map", colour_picture(look.mask, pipe.labels)), ("sample", look.image)]
    return [*cells, *((f"reroll {name}", pipe.reroll(look, name, seed=s).image) for name, s in redrawn)]


def mix_row(pipe: GroupDNetPipeline, maps: Maps, classes: Sequence[str], choices: Choices) -> Cells:
    """Return three looks, and the first with classes of the others."""
    a, b, c = (_sample(pipe, maps, chosen) for chosen in choices.mix)
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


def morph_row(pipe: GroupDNetPipeline, maps: Maps, choices: Choices) -> Cells:
    """Return pictures from one look to another on its label map."""
    first, last = (_sample(pipe, maps, chosen) for chosen in choices.morph)
    steps = [i / (COLUMNS - 1) for i in range(COLUMNS)]
    return [(f"morph, {t:.1f}", pipe.between(first, last, t).image) for t in steps]


def edit_row(pipe: GroupDNetPipeline, maps: Maps, choices: Choices) -> Cells:
    """Return looks, each followed by the same appearance on an edited map; stderr says what cannot be shown."""
    cells: list[tuple[str, Image.Image]] = []
    for edit, (number, seed) in zip(EDITS, choices.edits, strict=True):
        missing = [name for name in edit.needs if name not in pipe.labels.names]
        if missing:
            _tell(edit, f"the model has no class {', '.join(missing)}")
            continue
        order = [number, *(other for other in maps if other != number)]
        edited = {one: edit.apply(maps[one], pipe.labels) for one in order if one in maps}
        shows = next((one for one in edited if (edited[one] != maps[one]).any()), None)
        if shows is None:
            _tell(edit, "no label map shows what is edited")
            continue
        look = _sample(pipe, maps, (shows, seed))
        cells += [("before", look.image), (edit.name, pipe.edit(look, edited[shows]).image)]
    return cells


def _tell(edit: MapEdit, why: str) -> None:
    print(f'"{edit.name}" is left out: {why}', file=sys.stderr)


def _sample(pipe: GroupDNetPipeline, maps: Maps, chosen: Chosen) -> Look:
    number, seed = chosen
    if number not in maps:
        raise ValueError(f"the picture shows the label map example_{number:02}.png, which is not there")
    return pipe.sample(maps[number], seed=seed)


def _defaults(pipe: GroupDNetPipeline, maps: Maps, choices: Choices) -> list[str]:
    """Return the classes chosen, or the three whose redrawing changes most, first those on both rows' first maps."""
    if set(choices.classes) <= set(pipe.labels.names):
        return list(choices.classes)
    looks = [_sample(pipe, maps, chosen) for chosen in (choices.reroll, choices.mix[0])]
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
