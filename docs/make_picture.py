"""Draw the README's picture with the bundled model: ``python docs/make_picture.py``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from groupdnet_hub import GroupDNetPipeline, Look, colour_picture

ROOT = Path(__file__).resolve().parents[1]
SIDE, LINE, GAP = 232, 26, 4
COLUMNS = 6
INK = (40, 40, 40)
# Example maps and seeds, chosen by eye.
REROLL = (6, 48, (("top-clothes", 6), ("hair", 27), ("bottom-clothes", 7), ("top-clothes", 25)))
MIX = ((7, 11), (1, 25), (11, 27))
MORPH = ((8, 27), (8, 7))


def main() -> None:
    """Write ``docs/reroll_mix_morph.png``: one row each, with a line of text above every picture."""
    pipe = GroupDNetPipeline.from_pretrained(ROOT / "space" / "model")
    rows = (reroll_row(pipe), mix_row(pipe), morph_row(pipe))
    grid = Image.new("RGB", (COLUMNS * (SIDE + GAP) - GAP, len(rows) * (LINE + SIDE + GAP)), "white")
    draw, font = ImageDraw.Draw(grid), ImageFont.load_default(size=15)
    for row, cells in enumerate(rows):
        for column, (text, picture) in enumerate(cells):
            x, y = column * (SIDE + GAP), row * (LINE + SIDE + GAP)
            draw.text((x + SIDE // 2, y + LINE // 2), text, fill=INK, font=font, anchor="mm")
            grid.paste(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC), (x, y + LINE))
    grid.save(Path(__file__).with_name("reroll_mix_morph.png"), optimize=True)


def sampled(pipe: GroupDNetPipeline, example: int, seed: int) -> Look:
    """A look on an example map."""
    return pipe.sample(ROOT / "space" / "examples" / f"example_{example:02}.png", seed=seed)


def reroll_row(pipe: GroupDNetPipeline) -> Sequence[tuple[str, Image.Image]]:
    """Label map, sample, and one class after the other drawn anew."""
    example, seed, redrawn = REROLL
    look = sampled(pipe, example, seed)
    cells = [("label map", colour_picture(look.mask, pipe.labels)), ("sample", look.image)]
    return [*cells, *((f"reroll {name}", pipe.reroll(look, name, seed=s).image) for name, s in redrawn)]


def mix_row(pipe: GroupDNetPipeline) -> Sequence[tuple[str, Image.Image]]:
    """Three looks, and the first with classes of the others."""
    a, b, c = (sampled(pipe, *choice) for choice in MIX)
    return [
        ("look A", a.image),
        ("look B", b.image),
        ("look C", c.image),
        ("A, top-clothes of B", pipe.mix(a.mask, {"top-clothes": b}, base=a).image),
        ("A, hair of C", pipe.mix(a.mask, {"hair": c}, base=a).image),
        ("A, both", pipe.mix(a.mask, {"top-clothes": b, "hair": c}, base=a).image),
    ]


def morph_row(pipe: GroupDNetPipeline) -> Sequence[tuple[str, Image.Image]]:
    """From one look to another on its label map."""
    first, last = (sampled(pipe, *choice) for choice in MORPH)
    steps = [i / (COLUMNS - 1) for i in range(COLUMNS)]
    return [(f"morph, {t:.1f}", pipe.between(first, last, t).image) for t in steps]


if __name__ == "__main__":
    main()
