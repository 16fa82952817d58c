"""Raw data sets to our folders: which classes are merged, which pictures are left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub import GroupDNetConfig, PairedImages
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.paired import read_label_set
from groupdnet_hub.data.person_frames import Box, crop, person_square
from groupdnet_hub.data.person_maps import backdrop_of, cut_out
from groupdnet_hub.prepare.ccp import merge_tags
from groupdnet_hub.prepare.labels import PARSER_RULES, ade20k_label_set
from tests.helpers.prepare_runs import TAGS, entries, ids_of, prepare
from tests.helpers.raw_data import ccp_person, noise, save, save_map, write_ccp
from tests.helpers.shared_data import shared_folder

# Parsers' label sets.


@pytest.mark.parametrize(
    ("label_set", "classes", "expected", "missing"),
    [
        ("lip", "people8", "0 1 1 3 2 4 4 4 6 5 4 4 5 2 3 3 3 3 7 7", ""),
        ("cihp", "people8", "0 1 1 3 2 4 4 4 6 5 3 4 5 2 3 3 3 3 7 7", ""),
        # The belt, id 8, takes the class of its nearest neighbour; 7 and 9 are equally near, and either will do.
        ("atr", "people8", "0 1 1 2 4 5 5 4 ? 7 7 2 3 3 3 3 0 4", "socks"),
        ("lip", "people16", "0 2 1 5 4 6 8 7 11 10 8 14 9 3 5 5 5 5 12 12", "bag, belt"),
        ("cihp", "people16", "0 2 1 5 4 6 8 7 11 10 5 14 9 3 5 5 5 5 12 12", "bag, belt"),
        ("atr", "people16", "0 2 1 4 6 9 10 8 15 12 12 3 5 5 5 5 13 14", "outerwear, legwear"),
    ],
)
def test_merging_rules(
    label_set: str,
    classes: str,
    expected: str,
    missing: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every raw id as a stripe of two columns."""
    raw = np.repeat(np.arange(len(PARSER_RULES[label_set])), 2)[None] + np.zeros((6, 1), dtype=np.int64)
    save(noise(*raw.shape), tmp_path / "img" / "a.png")
    save_map(raw, tmp_path / "seg" / "a.png")
    flags = ("deepfashion", "--input", tmp_path / "img", "--labels", tmp_path / "seg", "--keep_gloves")
    flags += ("--label_set", label_set, "--output", tmp_path / "out", "--validation_share", 0)
    assert prepare(*flags, "--classes", classes) == 0
    said = capsys.readouterr().out
    assert (f"{label_set} maps cannot say {missing}: no picture has them" in said) == bool(missing)
    written = ids_of(tmp_path / "out" / "train" / "labels" / "a.png")[0, ::2]
    for found, wanted in zip(written, expected.split(), strict=True):
        assert (found in (4, 7)) if wanted == "?" else (found == int(wanted))


def test_deepfashion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nested pictures, maps in the same folders or in one; gloves; one garment in one split; frame and cut-out."""
    person = np.zeros((40, 40), dtype=np.uint8)
    person[5:35, 15:25] = 5
    gloved, noisy = person.copy(), person.copy()
    gloved[20:22, 15:17] = 3
    noisy[38, 39] = 16
    names = [f"WOMEN/Dresses/id_{i:08d}/0{j}_front" for i in range(6) for j in (1, 2)]
    for i, name in enumerate(names):
        save(noise(40, 40, i), tmp_path / "img" / f"{name}.jpg")
        flat = name.replace("/", "-" if i % 4 else "_") if i % 2 else name
        save_map(gloved if i == 3 else noisy, tmp_path / "seg" / f"{flat}.png")
    flags = ("deepfashion", "--input", tmp_path / "img", "--labels", tmp_path / "seg")
    output = tmp_path / "out"
    assert prepare(*flags, "--output", output, "--validation_share", 0.5) == 0
    assert capsys.readouterr().out == "prepared 11, left out 1 (1 gloves), skipped 0\n"
    splits = {
        str(e["file_name"]): split for split in ("train", "validation") for e in entries(output / split)
    }
    assert set(splits.values()) == {"train", "validation"}
    by_garment: dict[str, set[str]] = {}
    for name, split in splits.items():
        by_garment.setdefault(name.rpartition("-")[0], set()).add(split)
    assert all(len(found) == 1 for found in by_garment.values())
    assert "images/WOMEN-Dresses-id_00000000-01_front.jpg" in splits
    # A second time, the gloves are remembered.
    assert prepare(*flags, "--output", output, "--validation_share", 0.5) == 0
    assert "prepared 11 (11 of them before), left out 1 (1 gloves)" in capsys.readouterr().out

    framed = tmp_path / "framed"
    assert prepare(*flags, "--output", framed, "--frame", "person", "--cut_out", "--keep_gloves") == 0
    entry = entries(framed / "train")[0]
    label = ids_of(framed / "train" / str(entry["label_file_name"]))
    assert entry["crop"][2] == label.shape[0] == label.shape[1]
    photo = ids_of(framed / "train" / str(entry["file_name"]))
    assert photo[label == 0].mean() > 210, "the street is gone"
    assert photo[label == 0].std() < 12
    assert photo[label == 4].std() > 40, "the person is not"


# Cityscapes and ADE20K.


def write_cityscapes(root: Path) -> None:
    for part, city in (("train", "aachen"), ("val", "lindau")):
        name = f"{city}_000000_000019"
        save(noise(16, 32), root / "leftImg8bit" / part / city / f"{name}_leftImg8bit.png")
        ids = np.arange(16 * 32).reshape(16, 32) % 34
        ids[0, :5] = 255
        maps = root / "gtFine" / part / city
        save_map(ids, maps / f"{name}_gtFine_labelIds.png")
        save_map(np.where(ids == 26, 26003, ids), maps / f"{name}_gtFine_instanceIds.png", np.uint16)
        save_map(ids, maps / f"{name}_gtFine_labelTrainIds.png")


def test_cityscapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_cityscapes(tmp_path / "raw")
    output = tmp_path / "out"
    assert prepare("cityscapes", "--input", tmp_path / "raw", "--output", output) == 0
    text = capsys.readouterr().out
    assert "prepared 2, left out 0, skipped 0" in text
    assert "10 pixels of value 255 became 34, license plate" in text
    labels = read_label_set(output)
    assert (labels.names[7], labels.names[26], labels.names[34]) == ("road", "car", "license plate")
    preset = GroupDNetConfig.preset("cityscapes")
    assert (len(labels), labels.palette) == (preset.num_classes, preset.palette)
    for split, city in (("train", "aachen"), ("validation", "lindau")):
        item = PairedImages.from_folder(output, (16, 32), split=split)[0]
        raw = ids_of(next((tmp_path / "raw").rglob(f"{city}*_labelIds.png")))
        assert np.array_equal(item["label"].numpy(), np.where(raw == 255, 34, raw))
        assert np.array_equal(item["instance"].numpy() == 26003, raw == 26)
    assert prepare("cityscapes", "--input", tmp_path / "raw", "--output", output) == 0
    assert "10 pixels of value 255" in capsys.readouterr().out


def test_cityscapes_with_files_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_cityscapes(tmp_path / "raw")
    next((tmp_path / "raw").rglob("lindau*instanceIds.png")).unlink()
    save_map(np.zeros((4, 4)), next((tmp_path / "raw").rglob("aachen*instanceIds.png")))
    save_map(np.full((4, 4), 40), tmp_path / "raw/gtFine/train/aachen/b_gtFine_labelIds.png")
    assert prepare("cityscapes", "--input", tmp_path / "raw", "--output", tmp_path / "out") == 1
    text = capsys.readouterr().out
    assert "skipped 3" in text
    assert "lindau_000000_000019_leftImg8bit.png: has no instance map" in text
    assert "the instance map is 4x4 (height x width) and the picture 16x32" in text
    assert "b_gtFine_labelIds.png: has no picture" in text


def test_ade20k(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = tmp_path / "raw"
    ids = np.arange(160).reshape(10, 16) % 151
    for part, name in (("training", "ADE_train_00000001"), ("validation", "ADE_val_00000001")):
        save(noise(10, 16), raw / "images" / part / f"{name}.jpg")
        save_map(ids, raw / "annotations" / part / f"{name}.png")
    assert prepare("ade20k", "--input", raw, "--output", tmp_path / "a", "--split", "validation") == 0
    assert read_label_set(tmp_path / "a").names == GroupDNetConfig.preset("ade20k").class_names
    assert not (tmp_path / "a" / "train").exists()
    item = PairedImages.from_folder(tmp_path / "a", (10, 16), split="validation")[0]
    assert np.array_equal(item["label"].numpy(), ids)

    table = ["Idx\tRatio\tTrain\tVal\tStuff\tName\t"]
    table += [
        f"{i}\t0.1\t11\t2\t1\t{'wall' if i < 3 else f'thing {i}'}, other {i}     " for i in range(1, 151)
    ]
    (raw / "objectInfo150.txt").write_text("\n".join(table))
    names = ade20k_label_set(raw).names
    assert names[:4] == ("other", "wall, other 1", "wall, other 2", "thing 3")
    (raw / "objectInfo150.txt").write_text("\n".join(table[:100]))
    assert prepare("ade20k", "--input", raw, "--output", tmp_path / "b") == 2
    assert "99 classes were read from it" in capsys.readouterr().err


# Clothing Co-Parsing.


def test_ccp_rules() -> None:
    ids = merge_tags(ccp_person(TAGS), TAGS)
    names = np.array(FIGURE_LABELS.names)[ids]
    assert (names[10:18, 40:60] == "hair").all()
    # Chin: 0.7 * (10 + 0.135 * 180) + 0.3 * (18 + 0.107 * 180) = row 35.2
    assert (names[18:36, 40:60] == "face").all()
    assert (names[36:45, 40:60] == "skin").all()
    assert (names[12:30, 70:75] == "skin").all(), "a raised hand is not a face"
    assert (names[45:92, 36:64] == "top-clothes").all(), "the belt's upper half goes to the shirt"
    assert (names[92:180, 36:64] == "bottom-clothes").all()
    assert (names[180:190, 35:65] == "shoes").all()
    assert (names[80:120, 76:90] == "background").all(), "bags are background"
    assert names[197, 2] == "background"


def test_ccp_rules_for_dresses_suits_and_umbrellas() -> None:
    raw = ccp_person(TAGS)
    raw[94:180, 35:65] = TAGS.index("dress")
    assert FIGURE_LABELS.names[merge_tags(raw, TAGS)[150, 50]] == "bottom-clothes", "below a shirt: a skirt"
    raw[45:94, 30:75] = TAGS.index("dress")
    assert FIGURE_LABELS.names[merge_tags(raw, TAGS)[150, 50]] == "top-clothes"
    raw[45:180, 35:65] = TAGS.index("suit")
    ids = merge_tags(raw, TAGS)
    assert [FIGURE_LABELS.names[ids[row, 50]] for row in (60, 150)] == ["top-clothes", "bottom-clothes"]
    raw[60:90, 0:29] = TAGS.index("accessories")
    assert (merge_tags(raw, TAGS)[60:90, 0:29] == 0).all(), "an umbrella is background"
    with pytest.raises(ValueError, match="shows no person"):
        merge_tags(np.zeros_like(raw), TAGS)


def test_frame_and_cut_out() -> None:
    ids = np.zeros((100, 60), dtype=np.int64)
    ids[10:90, 40:58] = 4
    left, top, side = person_square(ids)
    assert side == round(1.08 * 80)
    assert left == 49 - side // 2, "the square is wider than the picture: centred on the person"
    assert top == 50 - side // 2
    photo = Image.new("RGB", (60, 100), (10, 200, 30))
    picture, label = crop(photo, ids, Box(left, top, side, side))
    assert label.shape == (side, side)
    assert (label == 4).sum() == (ids == 4).sum()
    assert (np.asarray(picture) == (10, 200, 30)).all(), "padded in the background's median colour"
    wide = np.zeros((100, 200), dtype=np.int64)
    wide[10:90, 2:20] = 4
    assert person_square(wide) == (0, 7, 86), "moved into the picture where it fits"
    tall = np.zeros((100, 60), dtype=np.int64)
    tall[1:99, 20:40] = 4
    assert person_square(tall) == (-20, 0, 100), "no larger than the picture's longer side"
    pixels = np.asarray(cut_out(photo, ids, 0)).astype(int)
    assert (pixels[50, 49] == (10, 200, 30)).all()
    assert (pixels[:, 10].min(axis=0) > 205).all()
    assert (pixels[0, 10] - pixels[-1, 10] == 14).all(), "lighter at the top"
    assert len({tuple(np.asarray(cut_out(photo, ids, number))[50, 10]) for number in range(4)}) == 4
    assert {backdrop_of(str(name)) for name in range(30)} == {0, 1, 2, 3}


def test_ccp_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    person = ccp_person(TAGS)
    gloved = person.copy()
    gloved[60:70, 70:75] = TAGS.index("gloves")
    maps = {"0594": person, "0722": person, "0003": gloved, "0004": person[:150], "0005": person}
    raw = write_ccp(tmp_path / "raw", TAGS, {**maps, "0006": person, "0007": np.zeros_like(person)})
    save(noise(200, 100), raw / "photos" / "0004.jpg")
    (raw / "photos" / "0006.jpg").unlink()
    broken = raw / "annotations" / "pixel-level" / "0005.mat"
    broken.write_bytes(broken.read_bytes()[:300])
    assert prepare("ccp", "--input", raw, "--output", tmp_path / "out", "--validation_share", 0) == 1
    text = capsys.readouterr().out
    assert text.startswith("prepared 2, left out 1 (1 gloves), skipped 4:\n")
    assert "0004.mat: the MATLAB file '0004.mat' cannot be read: groundtruth is 150x100" in text
    assert "0005.mat: the MATLAB file '0005.mat' cannot be read" in text
    assert "0006.mat: has no photo" in text
    assert "0007.mat: the label map shows no person" in text
    assert "1 photos have no pixel-level annotation and were not used" in text
    item = PairedImages.from_folder(tmp_path / "out", (256, 256))[0]
    assert item["label"].shape == (256, 256)
    assert set(item["label"].unique().tolist()) == {0, 1, 2, 3, 4, 5, 7}
    (raw / "label_list.mat").write_bytes(b"nothing")
    assert prepare("ccp", "--input", raw, "--output", tmp_path / "other") == 2
    assert "label_list.mat" in capsys.readouterr().err


def test_real_ccp(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = shared_folder("raw/ccp")
    flags = ("ccp", "--input", raw, "--output", tmp_path / "out", "--validation_share", 0)
    assert prepare(*flags, "--resolution", 128) == 0
    assert "prepared 15, left out 1 (1 gloves), skipped 0" in capsys.readouterr().out
    data = PairedImages.from_folder(tmp_path / "out", (128, 128))
    for item in data:
        fraction = (item["label"] > 0).float().mean()
        assert 0.05 < fraction < 0.4
        face, rest = (item["label"] == 2).nonzero(), (item["label"] > 0).nonzero()
        assert len(face) > 20
        assert face[:, 0].max() < rest[:, 0].min() + 0.2 * (rest[:, 0].max() - rest[:, 0].min())
