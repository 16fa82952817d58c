"""Simple people, painted on the page by a script, and what a model makes of them.

    python tests/browser/painted_people.py --model space/models/people16 --output FOLDER

serves the page with a model of 16 classes and upright pictures and paints twelve people in a headless Chromium, with
strokes of the mouse as a visitor would in a minute each: blobs for heads, straight strokes for limbs. It writes
``person_01_map.png`` and so on, their pictures, and ``sheet.png``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "space")]

from groupdnet_hub import LabelSet  # noqa: E402
from groupdnet_hub.config.groupdnet import GroupDNetConfig  # noqa: E402
from groupdnet_hub.data.labels import colour_picture, label_picture  # noqa: E402
from tests.browser.conftest import chromium_with, serve  # noqa: E402
from tests.browser.visitor import (  # noqa: E402
    canvas_map,
    changed_by,
    draw_seed,
    leave,
    open_page,
    paint,
    pixels,
    set_brush,
    upload,
    wait_for,
)

# Points are (x, y) on a map of this size; strokes name their brush by its place in BRUSHES, which are pixels across.
WIDTH, HEIGHT = 128, 256
BRUSHES = (1, 4, 10, 20)
Stroke = tuple[int, tuple[tuple[int, int], ...]]
SHAPES: dict[str, tuple[Stroke, ...]] = {
    "torso": ((3, ((57, 60), (57, 112))), (3, ((71, 60), (71, 112)))),
    "long sleeves": ((2, ((49, 58), (40, 92), (38, 122))), (2, ((79, 58), (88, 92), (90, 122)))),
    "short sleeves": ((2, ((49, 58), (43, 78))), (2, ((79, 58), (85, 78)))),
    "arms": ((2, ((44, 78), (40, 100), (38, 128))), (2, ((84, 78), (88, 100), (90, 128)))),
    "hands": ((2, ((38, 128), (38, 132))), (2, ((90, 128), (90, 132)))),
    "legs": ((2, ((57, 140), (56, 234))), (2, ((71, 140), (72, 234)))),
    "trouser legs": (
        (3, ((58, 126), (70, 126))),
        (2, ((55, 130), (53, 228))),
        (2, ((60, 130), (58, 228))),
        (2, ((68, 130), (70, 228))),
        (2, ((73, 130), (75, 228))),
    ),
    "short skirt": (
        (3, ((58, 124), (52, 160))),
        (3, ((70, 124), (76, 160))),
        (3, ((52, 160), (76, 160), (64, 130))),
    ),
    "long skirt": (
        (3, ((58, 124), (52, 214))),
        (3, ((70, 124), (76, 214))),
        (3, ((64, 124), (64, 214), (54, 214), (74, 214))),
    ),
    "open front": ((2, ((47, 60), (45, 165))), (2, ((81, 60), (83, 165)))),
    "closed coat": ((3, ((56, 60), (52, 160))), (3, ((72, 60), (76, 160))), (3, ((64, 64), (64, 160)))),
    "neck": ((2, ((64, 40), (64, 50))),),
    "short hair": ((3, ((60, 20), (68, 20))),),
    "long hair": ((3, ((58, 20), (70, 20))), (2, ((52, 22), (51, 66))), (2, ((76, 22), (77, 66)))),
    "face": ((2, ((60, 25), (62, 36))), (2, ((68, 25), (66, 36))), (2, ((64, 26), (64, 37)))),
    "cap": ((3, ((58, 15), (70, 15))),),
    "brim": ((1, ((44, 22), (84, 22))),),
    "lenses": ((1, ((58, 28), (61, 28))), (1, ((67, 28), (70, 28))), (0, ((58, 28), (70, 28)))),
    "shoes": ((2, ((55, 238), (52, 244))), (2, ((73, 238), (76, 244)))),
    "bag": ((3, ((98, 138), (98, 152))), (1, ((92, 126), (97, 138)))),
    "strap": ((1, ((52, 56), (92, 128))),),
    "scarf": ((2, ((54, 52), (74, 52))), (2, ((60, 54), (58, 92)))),
    "belt": ((1, ((49, 118), (79, 118))),),
}
HEAD = (("neck", "skin"), ("short hair", "hair"), ("face", "face"))
LONG_HAIRED = (("neck", "skin"), ("long hair", "hair"), ("face", "face"))
BARE_LEGS = (("legs", "skin"), ("shoes", "shoes"))
SHIRT = (("torso", "top"), ("long sleeves", "top"), ("hands", "skin"))
T_SHIRT = (("arms", "skin"), ("torso", "top"), ("short sleeves", "top"))
TROUSERS = (("trouser legs", "trousers"), ("shoes", "shoes"))
OPEN_COAT = (("open front", "outerwear"), ("long sleeves", "outerwear"), ("hands", "skin"))
# What each of them is made of, in the order in which it is painted: a shape and its class.
PEOPLE: tuple[tuple[tuple[str, str], ...], ...] = (
    (*TROUSERS, *SHIRT, *HEAD),
    (*BARE_LEGS, ("short skirt", "skirt"), *T_SHIRT, *LONG_HAIRED),
    (*TROUSERS, *SHIRT, *OPEN_COAT, *LONG_HAIRED),
    (*BARE_LEGS, ("short skirt", "dress"), ("arms", "skin"), ("torso", "dress"), *LONG_HAIRED),
    (*TROUSERS, *T_SHIRT, ("belt", "belt"), *HEAD, ("lenses", "glasses")),
    (*BARE_LEGS, ("long skirt", "skirt"), *SHIRT, *LONG_HAIRED, ("cap", "hat"), ("brim", "hat")),
    (
        *(("legs", "legwear"), ("shoes", "shoes"), ("closed coat", "outerwear")),
        *(("long sleeves", "outerwear"), ("hands", "skin"), *HEAD, ("scarf", "scarf")),
    ),
    (*TROUSERS, *SHIRT, *LONG_HAIRED, ("strap", "bag"), ("bag", "bag")),
    (
        *(("legs", "legwear"), ("shoes", "shoes"), ("short skirt", "skirt"), *SHIRT, *OPEN_COAT),
        *(*LONG_HAIRED, ("bag", "bag")),
    ),
    (*TROUSERS, *SHIRT, *OPEN_COAT, *HEAD, ("cap", "hat"), ("lenses", "glasses")),
    (
        *BARE_LEGS,
        ("long skirt", "dress"),
        ("arms", "skin"),
        ("torso", "dress"),
        *HEAD,
        ("belt", "belt"),
    ),
    (*TROUSERS, *T_SHIRT, *LONG_HAIRED, ("scarf", "scarf"), ("lenses", "glasses"), ("bag", "bag")),
)


def paint_person(
    browser: Any, labels: LabelSet, person: Sequence[tuple[str, str]], blank: Path
) -> np.ndarray:
    """Paint on an empty map; the label map int [H, W] that is on the canvas then.

    Args:
        blank: a label map that is all background.
    """
    changed_by(browser, lambda: upload(browser, blank))
    wait_for(lambda: not canvas_map(browser, labels=labels).any(), "the empty map")
    for shape, class_ in person:
        # By script: whether the palette shows a class is not the point here.
        take = "document.querySelector(arguments[0]).click()"
        browser.execute_script(take, f"#painter [data-class='{labels.id_of(class_)}'] .class-name")
        for brush, points in SHAPES[shape]:
            set_brush(browser, BRUSHES[brush])
            paint(browser, *((x / WIDTH, y / HEIGHT) for x, y in points))
    settle(browser)
    return canvas_map(browser, labels=labels)


def settle(browser: Any) -> None:
    """Wait until the picture has followed the last stroke: those that are painted while one is drawn come after it."""
    busy = "return document.querySelector('[data-testid=status-tracker]:not(.hide)') !== null"
    quiet = 0
    while quiet < 5:
        quiet = 0 if browser.execute_script(busy) else quiet + 1
        time.sleep(0.2)


def paint_people(
    browser: Any,
    address: str,
    labels: LabelSet,
    people: Sequence[Sequence[tuple[str, str]]],
    seeds: Sequence[int],
) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """For each person the label map, and the picture int [H, W, 3] for each seed."""
    with tempfile.TemporaryDirectory() as folder:
        blank = Path(folder) / "blank.png"
        label_picture(np.zeros((HEIGHT, WIDTH), np.int64), labels).save(blank)
        for person in people:
            open_page(browser, address)
            label = paint_person(browser, labels, person, blank)
            pictures = []
            for seed in seeds:
                draw_seed(browser, seed)
                wait_for(lambda seed=seed: _says(browser, f"Drawn with seed {seed}."), "the picture")
                pictures.append(pixels(browser))
            yield label, pictures
            leave(browser)


def main(argv: Sequence[str] | None = None) -> None:
    """Paint all of them with the model, and write maps, pictures and the sheet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="folder of a model of 16 classes, 256x128")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 11, 12], help="a picture for each")
    args = parser.parse_args(argv)
    config = GroupDNetConfig.from_file(args.model / "config.json")
    labels = LabelSet(config.class_names, config.palette)
    args.output.mkdir(parents=True, exist_ok=True)
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        serve(args.model, None, args.output) as (address, _),
        chromium_with(Path(folder)) as browser,
    ):
        for number, (label, pictures) in enumerate(
            paint_people(browser, address, labels, PEOPLE, args.seeds), start=1
        ):
            label_picture(label, labels).save(args.output / f"person_{number:02}_map.png")
            drawn = [Image.fromarray(one.astype(np.uint8)) for one in pictures]
            for seed, picture in zip(args.seeds, drawn, strict=True):
                picture.save(args.output / f"person_{number:02}_seed_{seed}.png")
            rows.append([colour_picture(label, labels), *drawn])
            print(f"person {number} of {len(PEOPLE)}", flush=True)
    across = len(rows[0]) * (WIDTH + 2)
    sheet = Image.new("RGB", (3 * (across + 8), -(-len(rows) // 3) * (HEIGHT + 2)), "white")
    for number, row in enumerate(rows):
        for column, picture in enumerate(row):
            x = number % 3 * (across + 8) + column * (WIDTH + 2)
            sheet.paste(picture, (x, number // 3 * (HEIGHT + 2)))
    sheet.save(args.output / "sheet.png")


def _says(browser: Any, text: str) -> bool:
    found = browser.find_elements("css selector", "#status p")
    return bool(found) and found[0].get_attribute("textContent") == text


if __name__ == "__main__":
    main()
