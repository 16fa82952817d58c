"""EXIF orientations in raw data: prepared files are upright and carry none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub.io.headers import Header, header_of
from tests.helpers.label_examples import LABELS, draw_ids
from tests.helpers.prepare_runs import ids_of, prepare

ORIENTATION = 0x0112


def write(
    folder: Path, name: str, size: tuple[int, int], photo: int, label: int, suffix: str = "png"
) -> np.ndarray:
    """Write a photo and its map with orientations (1: none), and return the ids as they are stored."""
    ids = draw_ids(LABELS, *size, seed=0)
    pictures = {
        "photos": (Image.fromarray(np.asarray(LABELS.palette, np.uint8)[ids]), photo, suffix),
        "maps": (Image.fromarray(ids.astype(np.uint8)), label, "png"),
    }
    for part, (picture, orientation, ending) in pictures.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        picture.save(folder / part / f"{name}.{ending}", **({} if orientation == 1 else {"exif": exif}))
    LABELS.to_file(folder / "classes.json")
    return ids


def run(folder: Path) -> int:
    given = ("--input", folder / "photos", "--labels", folder / "maps", "--classes", folder / "classes.json")
    return prepare("folder", *given, "--output", folder / "out")


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_prepared_files_are_upright_and_say_nothing_else(tmp_path: Path, suffix: str) -> None:
    ids = write(tmp_path, "a", (20, 30), 6, 6, suffix)
    assert run(tmp_path) == 0
    written = next((tmp_path / "out" / "train" / "images").iterdir())
    label = tmp_path / "out" / "train" / "labels" / "a.png"
    for path in (written, label):
        assert header_of(path) == Header((30, 20))
        assert ORIENTATION not in Image.open(path).getexif()
    assert (ids_of(label) == np.rot90(ids, -1)).all()


def test_pairs_that_are_turned_against_themselves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "fine", (20, 30), 1, 1)
    write(tmp_path, "wrong", (20, 30), 8, 1)
    for name in ("half", "round"):
        write(tmp_path, name, (20, 30), 3, 1)
    run(tmp_path)
    told = capsys.readouterr().out
    assert "prepared 3, left out 0, skipped 1" in told
    assert (
        "'wrong.png' is turned by its EXIF orientation 8 and the label map is not: as they are stored" in told
    )
    assert "2 pictures are turned by an EXIF orientation that their maps lack" in told
