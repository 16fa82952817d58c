"""Folders whose label maps have unknown pixels: what is written for them, and what reads it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub import LabelSet
from groupdnet_hub.data.label_maps import read_partial_label_map
from tests.helpers.prepare_runs import ids_of, prepare

NAMES = ("sky", "road", "car")
VOID = (224, 224, 192)
# The middle is unknown, and one pixel at the border.
IDS = np.array([[0, 0, 0, 1, 1, 1], [0, 0, 255, 255, 1, 1], [2, 2, 255, 255, 2, 2], [2, 2, 2, 2, 2, 255]])
UNKNOWN = IDS == 255


def raw_folder(folder: Path, ids: np.ndarray = IDS, *ignore: object, count: int = 3) -> LabelSet:
    """``photos``, ``maps`` and ``classes.json``, one pair."""
    labels = LabelSet.from_names((*NAMES, *(f"class {i}" for i in range(3, count))))
    labels = LabelSet(labels.names, labels.palette, ignore)
    for name in ("photos", "maps"):
        (folder / name).mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (*ids.shape[:2], 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "photos" / "a.png")
    Image.fromarray(ids.astype(np.uint8 if ids.max() < 256 else np.uint16)).save(folder / "maps" / "a.png")
    labels.to_file(folder / "classes.json")
    return labels


def run(folder: Path, *flags: object) -> int:
    given = ("--input", folder / "photos", "--labels", folder / "maps", "--classes", folder / "classes.json")
    return prepare("folder", *given, "--output", folder / "out", *flags)


def written(folder: Path) -> tuple[LabelSet, Path]:
    return LabelSet.from_file(folder / "out" / "classes.json"), folder / "out" / "train" / "labels" / "a.png"


def test_an_id_stays_and_has_a_colour_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw_folder(tmp_path)
    assert run(tmp_path) == 1
    assert "255 is not a class id" in capsys.readouterr().out
    assert run(tmp_path, "--ignore_id", 255) == 2
    assert "classes.json ignores nothing, and this run 255, (224, 224, 192)" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "out")
    assert run(tmp_path, "--ignore_id", 255) == 0
    assert "5 pixels of the label maps are unknown" in capsys.readouterr().out
    labels, path = written(tmp_path)
    assert labels.ignore == (255, VOID)
    assert np.array_equal(ids_of(path), IDS)
    # As it is and saved as RGB, unknown stays unknown, and nothing else is.
    picture = Image.open(path)
    picture.convert("RGB").save(tmp_path / "rgb.png")
    for one in (path, tmp_path / "rgb.png"):
        ids, unknown = read_partial_label_map(one, labels)
        assert np.array_equal(unknown, UNKNOWN)
        assert np.array_equal(ids[~unknown], IDS[~UNKNOWN])


def test_a_colour_becomes_an_id(tmp_path: Path) -> None:
    labels = raw_folder(tmp_path)
    colours = np.array((*labels.palette, (9, 200, 9)), dtype=np.uint8)[np.where(UNKNOWN, 3, IDS)]
    Image.fromarray(colours).save(tmp_path / "maps" / "a.png")
    assert run(tmp_path, "--ignore_id", "#09c809") == 0
    labels, path = written(tmp_path)
    assert labels.ignore == ((9, 200, 9), 255)
    assert np.array_equal(ids_of(path), IDS)
    assert np.array_equal(np.asarray(Image.open(path).convert("RGB")), colours)


def test_an_ignored_class_keeps_its_id(tmp_path: Path) -> None:
    raw_folder(tmp_path, np.where(UNKNOWN, 0, IDS), 0)
    assert run(tmp_path) == 0
    labels, path = written(tmp_path)
    assert labels.ignore == (0,)
    assert np.array_equal(ids_of(path), np.where(UNKNOWN, 0, IDS))


def test_only_what_was_named_is_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A colour is written as 255; a raw map that holds 255 is nevertheless refused."""
    raw_folder(tmp_path)
    assert run(tmp_path, "--ignore_id", "#09c809") == 1
    assert "255 is not a class id" in capsys.readouterr().out


@pytest.mark.parametrize("count", [3, 255, 256, 300])
def test_many_classes_leave_room_for_unknown_pixels(tmp_path: Path, count: int) -> None:
    raw_folder(tmp_path, np.where(UNKNOWN, 40000, IDS), count=count)
    assert run(tmp_path, "--ignore_id", 40000) == 0
    labels, path = written(tmp_path)
    held = 255 if count < 256 else 40000
    assert np.array_equal(ids_of(path), np.where(UNKNOWN, held, IDS))
    assert np.array_equal(read_partial_label_map(path, labels)[1], UNKNOWN)


def test_resizing_takes_unknown_pixels_along(tmp_path: Path) -> None:
    raw_folder(tmp_path, IDS.repeat(2, axis=0).repeat(2, axis=1))
    assert run(tmp_path, "--ignore_id", 255, "--resolution", 4, 6) == 0
    assert np.array_equal(ids_of(written(tmp_path)[1]), IDS)


def test_a_map_without_a_known_pixel_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw_folder(tmp_path, np.full((4, 6), 255))
    assert run(tmp_path, "--ignore_id", 255) == 1
    assert "all pixels of the label map are unknown: leave this map out" in capsys.readouterr().out


def test_a_wrong_flag_and_other_classes_do_not_mix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = raw_folder(tmp_path)
    assert run(tmp_path, "--ignore_id", "#" + "".join(f"{v:02x}" for v in labels.palette[1])) == 2
    assert "--ignore_id: ignore holds the colour" in capsys.readouterr().err
    assert run(tmp_path, "--ignore_id", 255) == 0
    assert run(tmp_path, "--ignore_id", 255) == 0, "the same command again"
    assert run(tmp_path, "--ignore_id", 255, 7) == 2
    assert (
        "classes.json ignores 255, (224, 224, 192), and this run 255, 7, (224, 224, 192)"
        in capsys.readouterr().err
    )
    assert json.loads((tmp_path / "out" / "classes.json").read_text())["ignore"] == [255, list(VOID)]
