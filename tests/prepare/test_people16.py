"""prepare.py: people in 16 classes, of which the 8 are a merge, and their smoothed edges."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub import PairedImages
from groupdnet_hub.data.paired import read_label_set
from groupdnet_hub.data.people import PEOPLE, PEOPLE16, merge_people16
from groupdnet_hub.prepare.ccp import merge_tags, read_tag_map, read_tags
from groupdnet_hub.prepare.labels import CCP, NEAREST
from groupdnet_hub.prepare.people import smooth_edges
from tests.helpers.prepare_runs import TAGS, entries, ids_of, prepare
from tests.helpers.raw_data import ccp_person, write_ccp
from tests.helpers.shared_data import shared_folder

# Of each photo of the shared sample, the beginning of the SHA-256 of its map in 8 classes, as the first version of
# prepare.py made it.
EIGHT_CLASSES = {
    "0001": "7abd818b5a3a",
    "0005": "9df469c742b4",
    "0010": "26ffa0c2d5d0",
    "0020": "cb33ec193ead",
    "0030": "7cb19d96d7a7",
    "0040": "38fbd33ebcc9",
    "0050": "bc5294a6fb60",
    "0060": "690e28339970",
    "0070": "1505517f88c5",
    "0080": "323333d2e993",
    "0090": "4201c330869b",
    "0100": "5c0c0c198842",
    "0110": "b7b2878bd8e8",
    "0120": "a7c7416bbf9e",
    "0130": "b13f81b5bc63",
    "0140": "ab7552942cb8",
}


def digest(ids: np.ndarray) -> str:
    return hashlib.sha256(ids.astype(np.uint8).tobytes()).hexdigest()[:12]


def names_of(raw: np.ndarray) -> np.ndarray:
    return np.array(PEOPLE16.names)[merge_tags(raw, TAGS, PEOPLE16)]


def painted(
    tag: str, rows: tuple[int, int], columns: tuple[int, int], raw: np.ndarray | None = None
) -> np.ndarray:
    raw = ccp_person(TAGS) if raw is None else raw.copy()
    raw[slice(*rows), slice(*columns)] = TAGS.index(tag)
    return raw


# The label set.


def test_the_classes() -> None:
    assert " ".join(PEOPLE16.names) == (
        "background hair hat face glasses skin top outerwear dress skirt trousers legwear shoes bag scarf belt"
    )
    for name, colour in zip(PEOPLE.names, PEOPLE.palette, strict=True):
        if name in PEOPLE16.names:
            assert PEOPLE16.palette[PEOPLE16.id_of(name)] == colour
    colours = np.array(PEOPLE16.palette)
    apart = np.abs(colours[:, None] - colours).sum(axis=-1) + 1000 * np.eye(16, dtype=int)
    assert apart.min() >= 100


def test_every_tag_has_a_class() -> None:
    assert len(CCP) == 59
    assert set(CCP.values()) == set(PEOPLE16.names) - {"face"} | {NEAREST}
    tags = "blouse shirt t-shirt top sweater sweatshirt hoodie jumper bodysuit bra intimate swimwear tie"
    assert {tag for tag, class_ in CCP.items() if class_ == "top"} == set(tags.split())
    tags = "coat blazer jacket cardigan cape vest suit"
    assert {tag for tag, class_ in CCP.items() if class_ == "outerwear"} == set(tags.split())


# The rules.


def test_a_person() -> None:
    names = names_of(ccp_person(TAGS))
    assert (names[10:18, 40:60] == "hair").all()
    assert (names[22:25, 40:60] == "glasses").all()
    face = np.r_[18:22, 25:36]
    assert (names[face, 40:60] == "face").all(), "glasses do not cut the forehead off"
    assert (names[36:45, 40:60] == "skin").all()
    assert (names[12:30, 70:75] == "skin").all(), "a raised hand is not a face"
    assert (names[45:90, 30:75] == "top").all()
    assert (names[90:94, 35:65] == "belt").all()
    assert (names[94:180, 35:65] == "trousers").all()
    assert (names[180:190, 35:65] == "shoes").all()
    assert (names[80:120, 76:90] == "bag").all()
    assert names[197, 2] == "background", "a slip of the brush"


def test_an_open_coat_hat_and_scarf() -> None:
    raw = painted("coat", (45, 120), (30, 42))
    raw = painted("scarf", (45, 55), (42, 60), raw)
    names = names_of(painted("hat", (5, 14), (38, 62), raw))
    assert (names[45:120, 30:42] == "outerwear").all()
    assert (names[45:55, 42:60] == "scarf").all()
    assert (names[60:80, 45:60] == "top").all()
    assert (names[5:14, 38:62] == "hat").all()
    assert (names[14:18, 40:60] == "hair").all()


def test_dresses_and_skirts() -> None:
    low = painted("dress", (94, 150), (35, 65), painted("skin", (94, 180), (35, 65)))
    assert (names_of(low)[94:150, 35:65] == "skirt").all(), "begins low under a shirt"
    corner = painted("dress", (60, 75), (33, 35), low)
    assert (names_of(corner)[94:150, 35:65] == "skirt").all(), "but for a corner of its outline"
    assert PEOPLE.names[merge_tags(corner, TAGS)[120, 50]] == "top-clothes", (
        "of the 8 classes, as it always was"
    )
    alone = painted("dress", (45, 150), (30, 75), low)
    assert (names_of(alone)[45:150, 30:75] == "dress").all()
    assert (names_of(painted("romper", (45, 150), (30, 75), low))[45:150, 30:75] == "dress").all()


def test_suits() -> None:
    raw = painted("suit", (45, 180), (35, 65))
    names = names_of(raw)
    assert (names[45:99, 45:60] == "outerwear").all()
    assert (names[102:180, 45:60] == "trousers").all()
    names = names_of(painted("pants", (120, 180), (35, 65), raw))
    assert (names[102:120, 45:60] == "outerwear").all(), "trousers of their own: the suit is not cut"


def test_jewellery_goes_to_its_neighbour() -> None:
    raw = painted("necklace", (38, 41), (46, 54))
    raw = painted("bracelet", (82, 85), (74, 77), raw)  # between the sleeve and the bag
    raw = painted("earrings", (22, 25), (60, 62), raw)  # beside the glasses
    names = names_of(raw)
    assert (names[38:41, 46:54] == "skin").all()
    assert (names[82:85, 74:77] == "top").all()
    assert set(names[22:25, 60:62].ravel()) <= {"face", "skin"}
    assert (names_of(painted("accessories", (60, 90), (0, 29)))[60:90, 0:29] == "background").all(), (
        "an umbrella"
    )


def test_gloves_are_left_out_or_skin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = write_ccp(tmp_path / "raw", TAGS, {"0001": painted("gloves", (80, 95), (66, 75))})
    flags = ("ccp", "--input", raw, "--classes", "people16", "--frame", "none", "--validation_share", 0)
    flags += ("--smooth", 0, "--resolution", 200, 100)
    assert prepare(*flags, "--output", tmp_path / "out") == 1
    assert "left out 1 (1 gloves)" in capsys.readouterr().out
    assert prepare(*flags, "--output", tmp_path / "kept", "--keep_gloves") == 0
    assert (ids_of(tmp_path / "kept" / "train" / "labels" / "ccp_0001.png")[80:95, 66:75] == 5).all()


def test_bags_stay_on_the_backdrop(tmp_path: Path) -> None:
    raw = write_ccp(tmp_path / "raw", TAGS, {"0001": ccp_person(TAGS)})
    flags = ("ccp", "--input", raw, "--cut_out", "--frame", "none", "--validation_share", 0)
    spread = []
    for classes in PEOPLE16, PEOPLE:
        out = tmp_path / str(len(classes))
        assert (
            prepare(*flags, "--classes", f"people{len(classes)}", "--output", out, "--resolution", 200, 100)
            == 0
        )
        assert read_label_set(out) == classes
        spread.append(ids_of(out / "train" / "images" / "ccp_0001.jpg")[85:115, 79:87].std())
    assert spread[0] > 40
    assert spread[1] < 12


# The 8 classes.


def test_drawn_maps_of_eight_classes_are_as_they_were() -> None:
    raw = ccp_person(TAGS)
    assert digest(merge_tags(raw, TAGS)) == "bb31162da6ed"
    raw = painted("dress", (94, 180), (35, 65))
    assert digest(merge_tags(raw, TAGS)) == "bb31162da6ed"
    raw = painted("dress", (45, 94), (30, 75), raw)
    assert digest(merge_tags(raw, TAGS)) == "af56d4e4d6b7"
    raw = painted("accessories", (60, 90), (0, 29), painted("suit", (45, 180), (35, 65), raw))
    assert digest(merge_tags(raw, TAGS)) == "61a3a387847b"


def test_real_maps_of_eight_classes_are_as_they_were_and_a_merge_of_sixteen() -> None:
    folder = shared_folder("raw/ccp")
    tags = read_tags(folder / "label_list.mat")
    agree = []
    for name, recorded in EIGHT_CLASSES.items():
        size = Image.open(folder / "photos" / f"{name}.jpg").size
        raw = read_tag_map(folder / "annotations" / "pixel-level" / f"{name}.mat", tags, size[::-1])
        eight = merge_tags(raw, tags)
        assert digest(eight) == recorded
        if int(name) % 40:
            continue
        sixteen = merge_tags(raw, tags, PEOPLE16)
        smooth = smooth_edges(sixteen, 5)
        merged = merge_people16(smooth)
        person = ((merged > 0) | (eight > 0)) & (smooth != PEOPLE16.id_of("bag"))
        agree.append((merged == eight)[person].mean())
        exact = (merge_people16(sixteen) == eight)[
            (sixteen != PEOPLE16.id_of("belt")) & (sixteen != PEOPLE16.id_of("bag"))
        ]
        assert exact.mean() > 0.999, "without smoothing, all but belts"
    assert min(agree) > 0.95
    assert np.mean(agree) > 0.97


def test_the_photos_of_fashion8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("0001", "0023", "0034", "0038", "0073")  # gloves, held out, twice validation
    raw = write_ccp(tmp_path / "raw", TAGS, {name: ccp_person(TAGS) for name in names})
    flags = ("ccp", "--input", raw, "--photos", "fashion8", "--frame", "full", "upper", "--resolution", 32)
    assert prepare(*flags, "--cut_out", "--output", tmp_path / "out") == 0
    assert "2 annotated photos are not in fashion8 and were not used" in capsys.readouterr().out
    found = {
        split: [e["file_name"] for e in entries(tmp_path / "out" / split)]
        for split in ("train", "validation")
    }
    assert found["train"] == ["images/ccp_0001_full.jpg", "images/ccp_0001_upper.jpg"]
    assert [str(name)[11:15] for name in found["validation"]] == ["0038", "0038", "0073", "0073"]
    corners = [
        [
            ids_of(tmp_path / "out" / split / "images" / f"ccp_{name}_{frame}.jpg")[2, 2]
            for frame in ("full", "upper")
        ]
        for split, name in (("train", "0001"), ("validation", "0038"))
    ]
    assert all(np.abs(full.astype(int) - upper).max() < 4 for full, upper in corners), "both on one backdrop"
    assert np.abs(corners[0][0].astype(int) - corners[1][0]).max() > 4


def test_fashion8_is_a_command(tmp_path: Path) -> None:
    folder, given = shared_folder("raw/ccp"), shared_folder("data/fashion8")
    flags = ("ccp", "--input", folder, "--photos", "fashion8", "--frame", "full", "upper", "--cut_out")
    assert prepare(*flags, "--max_items", 2, "--output", tmp_path / "out") == 0
    for split in ("train", "validation"):
        listed = [
            json.loads(line)["file_name"]
            for line in (given / split / "metadata.jsonl").read_text().splitlines()
        ]
        for entry in entries(tmp_path / "out" / split):
            assert entry["file_name"] in listed
            paths = [root / split / str(entry["label_file_name"]) for root in (tmp_path / "out", given)]
            label, wanted = map(ids_of, paths)
            # The face was found by a face detector there; here by a rule.
            assert (label == wanted)[~np.isin(wanted, (2, 3))].mean() > 0.985
            photos = [root / split / str(entry["file_name"]) for root in (tmp_path / "out", given)]
            photo, other = (ids_of(path).astype(int) for path in photos)
            assert np.abs(photo - other)[(label == 0) & (wanted == 0)].mean() < 3


# Smooth edges.


def test_smoothing_takes_stairs_away() -> None:
    row, column = np.mgrid[:60, :60]
    stairs = np.where(column // 3 > row // 3, 2, 1)
    assert set(np.diff((stairs == 1).sum(axis=1))) == {0, 3}
    assert set(np.diff((smooth_edges(stairs, 5) == 1).sum(axis=1)[6:-6])) == {1}, "a straight diagonal"
    teeth = np.where(column < 20 + row // 2 % 2 * 2, 1, 2)
    assert set((smooth_edges(teeth, 5) == 1).sum(axis=1)[3:-3]) == {21}
    assert smooth_edges(stairs, 0) is stairs


def test_smoothing_keeps_what_is_plain_and_drops_what_is_thin() -> None:
    assert (smooth_edges(np.full((9, 7), 3), 5) == 3).all()
    ids = np.zeros((40, 40), dtype=np.int64)
    ids[10:30, 10:30], ids[:, 5:7], ids[2:5, 20:40] = 4, 7, 9
    smooth = smooth_edges(ids, 5)
    assert (smooth[:, 5:7] == 0).all(), "two pixels wide"
    assert (smooth[2:5, 22:38] == 9).all(), "three pixels wide"
    assert (smooth[14:26, 14:26] == 4).all()
    assert (smooth[12:28, 10] == 4).all(), "a straight edge stays where it is"


def test_smoothing_lets_a_pixel_keep_its_class_where_it_can() -> None:
    assert smooth_edges(np.array([[2, 1, 2], [1, 1, 2], [2, 2, 1]]), 3)[1, 1] == 2, "5 of 9"
    level = np.array([[1, 1, 2], [2, 1, 2], [1, 2, 3]])
    assert smooth_edges(level, 3)[1, 1] == 1, "its own, of two that are equally frequent"
    level[1, 1], level[0, 2] = 2, 1
    assert smooth_edges(level, 3)[1, 1] == 2, "whichever that is"
    none_of_both = np.array([[3, 3, 3], [3, 0, 2], [2, 2, 2]])
    assert smooth_edges(none_of_both, 3)[1, 1] == 2, "else the lowest id"


@pytest.mark.parametrize("window", [2, -1, 4])
def test_smoothing_wants_a_middle(window: int) -> None:
    with pytest.raises(ValueError, match="must be odd"):
        smooth_edges(np.zeros((4, 4), dtype=np.int64), window)


def test_sixteen_classes_are_smoothed_unless_told_otherwise(tmp_path: Path) -> None:
    raw = ccp_person(TAGS)
    raw[185, 65:72] = TAGS.index("shoes")  # a lace
    raw = write_ccp(tmp_path / "raw", TAGS, {"0001": raw})
    flags = ("ccp", "--input", raw, "--frame", "none", "--resolution", 200, 100, "--validation_share", 0)
    laces = {}
    for name, more in {
        "eight": (),
        "eight smooth": ("--smooth", 5),
        "sixteen": ("--classes", "people16"),
        "sixteen raw": ("--classes", "people16", "--smooth", 0),
    }.items():
        assert prepare(*flags, *more, "--output", tmp_path / name) == 0
        laces[name] = bool(ids_of(tmp_path / name / "train" / "labels" / "ccp_0001.png")[185, 68])
    assert laces == {"eight": True, "eight smooth": False, "sixteen": False, "sixteen raw": True}
    data = PairedImages.from_folder(tmp_path / "sixteen", (200, 100))
    assert data[0]["label"].max() == 15
