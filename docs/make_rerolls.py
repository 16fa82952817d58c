"""Draw the README's picture with the bundled model: ``python docs/make_rerolls.py``."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from groupdnet_hub import GroupDNetPipeline, colour_picture

ROOT = Path(__file__).resolve().parents[1]
# Example map, seed of the sample, seed of the rerolls; chosen by eye.
ROWS = ((1, 42, 25), (6, 9, 7))
REROLLED = ("top-clothes", "bottom-clothes", "hair")
SIDE = 224


def main() -> None:
    """Write ``docs/rerolls.png``: a row for each map: map, sample, and a reroll of one class each."""
    pipe = GroupDNetPipeline.from_pretrained(ROOT / "space" / "model")
    grid = Image.new("RGB", ((2 + len(REROLLED)) * SIDE, len(ROWS) * SIDE), "white")
    for y, (example, seed, other) in enumerate(ROWS):
        look = pipe.sample(ROOT / "space" / "examples" / f"example_{example}.png", seed=seed)
        pictures = [colour_picture(look.mask, pipe.labels), look.image]
        pictures += [pipe.reroll(look, class_, seed=other).image for class_ in REROLLED]
        for x, picture in enumerate(pictures):
            kind = Image.Resampling.NEAREST if x == 0 else Image.Resampling.BICUBIC
            grid.paste(picture.resize((SIDE, SIDE), kind), (x * SIDE, y * SIDE))
    grid.save(Path(__file__).with_name("rerolls.png"), optimize=True)


if __name__ == "__main__":
    main()
