"""Checks of single items: by the headers of files, and by reading them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub.data.checks import items
from groupdnet_hub.data.checks.items import BadItem, Level, check_item, seems_sound
from groupdnet_hub.data.checks.verdict import Verdict, read_verdict, write_verdict
from groupdnet_hub.data.paired import read_packed
from groupdnet_hub.data.turned_pairs import PairWarnings
from tests.helpers.deep_pictures import write_deep_png
from tests.helpers.label_examples import LABELS, draw_ids

SIZE = (12, 10)
ORIENTATION = 0x0112


def photo_values(channels: int = 3, top: int = 256) -> np.ndarray:
    return np.random.default_rng(0).integers(0, top, (*SIZE, channels)[: 2 + (channels > 1)])


def save_photo(path: Path, **how: object) -> None:
    Image.fromarray(photo_values().astype(np.uint8)).save(path, **how)


def save_ids(path: Path, size: tuple[int, int] = SIZE, **how: object) -> None:
    Image.fromarray(draw_ids(LABELS, *size, 1).astype(np.uint8)).save(path, **how)


def palette_map() -> Image.Image:
    picture = Image.fromarray(draw_ids(LABELS, *SIZE, 1).astype(np.uint8), "P")
    picture.putpalette([value for colour in LABELS.palette for value in colour])
    return picture


PHOTOS: dict[str, Callable[[Path], object]] = {
    "rgb.png": save_photo,
    "grey.png": lambda path: Image.fromarray(photo_values(1).astype(np.uint8)).save(path),
    "palette.png": lambda path: Image.fromarray(photo_values().astype(np.uint8)).quantize(16).save(path),
    "alpha.png": lambda path: Image.fromarray(photo_values(4).astype(np.uint8)).save(path),
    "deep.png": lambda path: write_deep_png(path, photo_values(3, 65536)),
    "deep grey.png": lambda path: write_deep_png(path, photo_values(1, 65536)),
    "twelve bits.png": lambda path: write_deep_png(path, photo_values(1, 4096), bits=12),
    "plain.jpg": save_photo,
    "progressive.jpg": lambda path: save_photo(path, progressive=True),
    "cmyk.jpg": lambda path: Image.fromarray(photo_values().astype(np.uint8)).convert("CMYK").save(path),
    "lossy.webp": save_photo,
    "lossless.webp": lambda path: save_photo(path, lossless=True),
    "plain.tif": save_photo,
    "packed.tif": lambda path: save_photo(path, compression="tiff_lzw"),
    "deep.tif": lambda path: Image.fromarray(photo_values(1, 65536).astype(np.uint16)).save(path),
    "plain.bmp": save_photo,
    "plain.gif": save_photo,
}
MAPS: dict[str, Callable[[Path], object]] = {
    "grey.png": save_ids,
    "palette.png": lambda path: palette_map().save(path),
    "deep.png": lambda path: write_deep_png(path, draw_ids(LABELS, *SIZE, 1)),
    "colours.png": lambda path: palette_map().convert("RGB").save(path),
    "colours.webp": lambda path: palette_map().convert("RGB").save(path, lossless=True),
    "ids.tif": save_ids,
    "ids.bmp": save_ids,
    "palette.gif": lambda path: palette_map().save(path),
}


def problem(pair: tuple[Path, Path, Path | None], level: Level) -> str:
    found = check_item([pair], 0, LABELS, level, split="train", instances=pair[2] is not None)
    return "" if found is None else found.reason


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Files that fit each other."""
    for folder in ("images", "labels", "instances"):
        (tmp_path / folder).mkdir()
    files = tmp_path / "images" / "a.png", tmp_path / "labels" / "a.png", tmp_path / "instances" / "a.png"
    save_photo(files[0])
    save_ids(files[1])
    save_ids(files[2])
    return files


@pytest.mark.parametrize("name", PHOTOS)
def test_headers_vouch_for_photos_of_every_kind(name: str, pair: tuple[Path, Path, Path]) -> None:
    photo = pair[0].with_name(name)
    PHOTOS[name](photo)
    read_packed((photo, pair[1], None), LABELS, SIZE, "item", warnings=PairWarnings())
    assert seems_sound((photo, pair[1], None))


@pytest.mark.parametrize("name", MAPS)
def test_headers_vouch_for_maps_of_every_kind(name: str, pair: tuple[Path, Path, Path]) -> None:
    label_map = pair[1].with_name(name)
    MAPS[name](label_map)
    read_packed((pair[0], label_map, None), LABELS, SIZE, "item", warnings=PairWarnings())
    assert seems_sound((pair[0], label_map, None))


@pytest.mark.parametrize(
    ("part", "name"), [(part, name) for part, kinds in enumerate((PHOTOS, MAPS)) for name in kinds]
)
def test_headers_find_files_that_are_cut_off(name: str, part: int, pair: tuple[Path, Path, Path]) -> None:
    path = pair[part].with_name(name)
    (PHOTOS, MAPS)[part][name](path)
    content = path.read_bytes()
    given = (*pair[:part], path, *pair[part + 1 : 2], None)
    assert problem(given, "headers") == ""
    for length in (0, 20, len(content) // 2, len(content) - 8):
        path.write_bytes(content[:length])
        assert not seems_sound(given), length
        # What is cut off and can be read all the same, such as the end mark of a GIF, is no one's problem.
        assert problem(given, "headers") == problem(given, "full")
    assert problem((*given[:part], path.with_name("other"), *given[part + 1 :]), "headers").endswith(
        "'other' does not exist"
    )


def test_headers_find_what_does_not_fit(pair: tuple[Path, Path, Path]) -> None:
    photo, label_map, instance_map = pair
    save_ids(label_map, (12, 9))
    assert problem(pair, "headers").endswith("the picture is 12x10 (height x width) and its label map 12x9")
    save_ids(label_map)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    save_photo(photo, exif=exif)
    assert "is turned by its EXIF orientation 6 and the label map is not" in problem(pair, "headers")
    save_ids(label_map, exif=exif)
    save_ids(instance_map, exif=exif)
    assert problem(pair, "headers") == ""
    save_photo(photo)
    save_ids(label_map)
    Image.fromarray(photo_values().astype(np.uint8)).save(instance_map)
    assert "the instance map is in mode RGB" in problem(pair, "headers")
    assert problem((photo, label_map, None), "headers") == ""


def test_headers_find_maps_that_lossy_files_carry(pair: tuple[Path, Path, Path]) -> None:
    photo, label_map, _ = pair
    save_ids(label_map.with_suffix(".jpg"))
    assert "is a grey JPEG, which smears ids" in problem(
        (photo, label_map.with_suffix(".jpg"), None), "headers"
    )


def test_wrong_values_are_found_by_reading(pair: tuple[Path, Path, Path]) -> None:
    Image.fromarray(np.full(SIZE, 200, np.uint8)).save(pair[1])
    assert problem(pair, "headers") == ""
    assert "200 is not a class id" in problem(pair, "full")
    save_ids(pair[1])
    Image.fromarray(np.full(SIZE, -1, np.int32)).save(pair[2].with_suffix(".tif"))
    pair = (*pair[:2], pair[2].with_suffix(".tif"))
    assert "ids are 0 or more" in problem(pair, "full")


def test_a_photo_with_something_behind_it_is_read_and_accepted(pair: tuple[Path, Path, Path]) -> None:
    photo = pair[0].with_suffix(".jpg")
    save_photo(photo)
    content = photo.read_bytes()
    photo.write_bytes(content + b"\0" * 100)
    assert seems_sound((photo, *pair[1:]))
    photo.write_bytes(content + b"of a phone")
    assert not seems_sound((photo, *pair[1:]))
    assert problem((photo, *pair[1:]), "headers") == ""


def test_headers_alone_are_read_of_sound_files(
    pair: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "read_packed", lambda *args, **how: pytest.fail("it was read"))
    assert problem(pair, "headers") == ""


def test_a_verdict_on_disk(tmp_path: Path) -> None:
    bad = BadItem("train", 3, "it is \ud800 damaged", ("a\u2028.png", "b.png"))
    verdict, path = Verdict("0" * 64, "headers", (bad,)), tmp_path / "verdict.json"
    assert read_verdict(path) is None
    write_verdict(path, verdict)
    assert read_verdict(path) == verdict
    assert verdict.answers("0" * 64, "headers")
    assert not verdict.answers("0" * 64, "full")
    assert not verdict.answers("1" * 64, "headers")
    assert Verdict("0" * 64, "full", ()).answers("0" * 64, "headers")
    content = path.read_text()
    for damaged in (
        content[:40],
        "[]",
        "{}",
        content.replace('"headers"', '"quick"'),
        content.replace('"item": 3', '"item": "3"'),
        content.replace('"bad": [', '"bad": [1, '),
    ):
        path.write_text(damaged)
        assert read_verdict(path) is None
