"""prepare.py: which part of a photo becomes a picture, and several parts of the same photo."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub.data.person_frames import Box, crop, find_frame
from tests.helpers.prepare_runs import TAGS, entries, ids_of, prepare
from tests.helpers.raw_data import ccp_person, write_ccp

BAG, TOP = 13, 6


def standing(rows: tuple[int, int] = (50, 250), columns: tuple[int, int] = (80, 130)) -> np.ndarray:
    ids = np.zeros((300, 200), dtype=np.int64)
    ids[slice(*rows), slice(*columns)] = TOP
    return ids


def test_full_is_as_high_as_the_person_asks() -> None:
    assert find_frame("full", standing(), 2) == Box(105 - 53, 150 - 106, 106, 212), "1.06 x 200 rows, centred"
    assert find_frame("person", standing(), 2) == find_frame("full", standing(), 2), "an older name of it"


def test_full_is_as_wide_as_the_person_asks() -> None:
    box = find_frame("full", standing(columns=(20, 180)), 2)
    assert box.height == 2 * box.width
    assert box.width == 165, "1.03 x 160 columns"
    assert (box.left, box.top) == (round(100 - 165 / 2), 150 - 165)


def test_upper_begins_above_the_head() -> None:
    box = find_frame("upper", standing(), 2)
    assert (box.height, box.width) == (120, 60), "0.6 x 200 rows"
    assert box.top == 50 - round(0.04 * 120)
    assert box.left + box.width / 2 == pytest.approx(105, abs=0.5)


def test_upper_follows_the_body_and_not_a_hand() -> None:
    ids = standing()
    ids[100, 130:190] = TOP
    assert find_frame("upper", ids, 2).left == pytest.approx(find_frame("upper", standing(), 2).left, abs=3)
    assert find_frame("full", ids, 2).left > find_frame("full", standing(), 2).left + 20, (
        "all of her, hand too"
    )


@pytest.mark.parametrize("aspect", [2, 3, 0.5])
@pytest.mark.parametrize("frame", ["full", "upper"])
@pytest.mark.parametrize("height", [97, 150, 201])
def test_the_ratio_is_exact(frame: str, aspect: float, height: int) -> None:
    box = find_frame(frame, standing((40, 40 + height)), aspect)
    assert box.height == box.width * aspect
    fraction = 0.6 if frame == "upper" else 1.06
    assert 0 <= box.height - fraction * height < aspect + 1 or box.width > 50


def test_squares_stay_inside_the_photo_where_they_fit() -> None:
    ids = standing((2, 150), (10, 60))
    assert find_frame("full", ids) == Box(0, 0, 160, 160)
    side = round(0.6 * 148)
    assert find_frame("upper", ids) == Box(0, 0, side, side)
    beyond = find_frame("upper", ids, 2)
    assert beyond.top < 0, "an upright one is placed by the person alone"


def test_beyond_the_photo_it_is_plain() -> None:
    ids = standing((2, 298))
    photo = Image.new("RGB", (200, 300), (10, 200, 30))
    box = find_frame("full", ids, 2)
    assert box.top < 0
    picture, label = crop(photo, ids, box)
    assert picture.size == (box.width, box.height)
    assert (np.asarray(picture) == (10, 200, 30)).all(), "the background's median colour"
    assert (label == TOP).sum() == (ids == TOP).sum()


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in folder.rglob("*.*")
        if path.parent.name in ("images", "labels")
    }


def test_several_frames_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = write_ccp(tmp_path / "raw", TAGS, {"0001": ccp_person(TAGS), "0002": ccp_person(TAGS)})
    flags = ("ccp", "--input", raw, "--classes", "people16", "--aspect", 2, "--resolution", 64, "--cut_out")
    both, upper = tmp_path / "both", tmp_path / "upper"
    assert prepare(*flags, "--frame", "full", "upper", "--validation_share", 0, "--output", both) == 0
    assert "prepared 4, left out 0" in capsys.readouterr().out
    names = [entry["file_name"] for entry in entries(both / "train")]
    assert names == [f"images/ccp_000{i}_{frame}.jpg" for i in (1, 2) for frame in ("full", "upper")]
    whole, half = (ids_of(both / "train" / "labels" / f"ccp_0001_{frame}.png") for frame in ("full", "upper"))
    assert whole.shape == half.shape == (64, 32), "one side is the height"
    assert 12 in whole
    assert 12 not in half, "no shoes, head to hips"
    rows = np.flatnonzero((whole > 0).any(axis=1))
    assert len(rows) == pytest.approx(64 / 1.06, abs=2)
    assert len(entries(both / "train")[0]["crop"]) == 4
    # Again, nothing is made twice; one frame alone has the photo's plain name.
    assert prepare(*flags, "--frame", "full", "upper", "--validation_share", 0, "--output", both) == 0
    assert "prepared 4 (4 of them before)" in capsys.readouterr().out
    assert prepare(*flags, "--frame", "upper", "--validation_share", 0, "--output", upper) == 0
    assert files_of(upper)["ccp_0001.png"] == files_of(both)["ccp_0001_upper.png"]
    assert prepare(*flags, "--frame", "upper", "full", "--validation_share", 0, "--output", both) == 2
    assert 'frame was ["full", "upper"] and is now ["upper", "full"]' in capsys.readouterr().err


def test_bags_do_not_count_in_the_size_of_a_person(tmp_path: Path) -> None:
    person = ccp_person(TAGS)
    person[80:120, 76:90] = 0
    laden = person.copy()
    laden[188:199, 0:35] = TAGS.index("bag")
    raw = write_ccp(tmp_path / "raw", TAGS, {"0001": person, "0002": laden})
    flags = ("ccp", "--input", raw, "--classes", "people16", "--frame", "full", "upper", "--aspect", 2)
    assert prepare(*flags, "--validation_share", 0, "--output", tmp_path / "out") == 0
    crops = {str(entry["file_name"]): entry["crop"] for entry in entries(tmp_path / "out" / "train")}
    for frame in ("full", "upper"):
        assert crops[f"images/ccp_0001_{frame}.jpg"] == crops[f"images/ccp_0002_{frame}.jpg"]
    assert BAG in ids_of(tmp_path / "out" / "train" / "labels" / "ccp_0002_full.png")


def test_folders_from_before_the_new_flags_are_taken_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = write_ccp(tmp_path / "raw", TAGS, {"0001": ccp_person(TAGS)})
    flags = ("ccp", "--input", raw, "--output", tmp_path / "out", "--validation_share", 0)
    assert prepare(*flags) == 0
    settings = json.loads((tmp_path / "out" / "train" / ".prepare.json").read_text())
    assert settings.keys() == {
        *(
            "source",
            "resolution",
            "label_set",
            "frame",
            "cut_out",
            "keep_gloves",
            "validation_share",
            "parser",
        ),
        *("min_sureness", "input", "labels", "instances", "rules"),
    }
    assert settings["frame"] == "person"
    for changed in (("--smooth", 3), ("--aspect", 2), ("--photos", "fashion8")):
        assert prepare(*flags, *changed) == 2
        assert f"{changed[0][2:]} was null and is now" in capsys.readouterr().err
    assert prepare(*flags, "--classes", "people16") == 2
    assert "holds other classes" in capsys.readouterr().err
