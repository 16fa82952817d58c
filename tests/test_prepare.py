"""Raw data sets to our folders: what is merged, written, left out, listed, and gone on with after a kill."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from conftest import shared_folder
from fake_hub import FakeHub
from PIL import Image
from raw_data import archive_of, ccp_person, noise, save, save_map, write_ccp, write_folder_pair

from groupdnet_hub import FIGURE_LABELS, GroupDNetConfig, PairedImages, read_label_map, read_label_set

for needed in ("scipy", "tqdm"):
    pytest.importorskip(needed)
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "train"))

import prepare_download  # noqa: E402
from prepare import main  # noqa: E402
from prepare_ccp import merge_tags  # noqa: E402
from prepare_labels import ATR, CCP, CIHP, LIP, ade20k_label_set  # noqa: E402
from prepare_people import crop_square, cut_out, person_square  # noqa: E402
from prepare_sources import split_of  # noqa: E402

TAGS = tuple(sorted(CCP, key=lambda tag: (tag != "null", tag)))


def prepare(*flags: object) -> int:
    return main([*map(str, flags), "--num_workers", "0"])


def entries(split: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (split / "metadata.jsonl").read_text().splitlines()]


def ids_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


# Any folder pair.


def test_a_folder_pair_is_read_by_training_and_by_datasets(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    pictures, maps, classes = write_folder_pair(tmp_path / "raw", 4)
    output = tmp_path / "out"
    flags = ("folder", "--input", pictures, "--labels", maps, "--classes", classes, "--output", output)
    assert prepare(*flags) == 0
    assert read_label_set(output) == FIGURE_LABELS
    data = PairedImages.from_folder(output, (48, 32))
    raw = [read_label_map(maps / f"p{i:03d}.png", FIGURE_LABELS) for i in range(4)]
    assert all(np.array_equal(item["label"].numpy(), ids) for item, ids in zip(data, raw, strict=False))
    rows = datasets.load_dataset("imagefolder", data_dir=str(output), cache_dir=str(tmp_path / "cache"))
    assert list(rows) == ["train"]
    assert rows["train"].column_names == ["image", "label"]
    assert np.array_equal(np.asarray(rows["train"][2]["label"]), raw[2])
    assert np.array_equal(
        np.asarray(rows["train"][2]["image"]), np.asarray(Image.open(pictures / "p002.png"))
    )
    label = Image.open(output / "train" / "labels" / "p000.png")
    assert label.mode == "P"
    assert label.getpalette()[:24] == [v for colour in FIGURE_LABELS.palette for v in colour]


def test_what_cannot_be_used_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures, maps, classes = write_folder_pair(tmp_path / "raw", 6)
    (maps / "p001.png").unlink()
    (pictures / "p002.png").unlink()
    (pictures / "p003.png").write_bytes((pictures / "p003.png").read_bytes()[:200])
    save_map(np.zeros((20, 20)), maps / "p004.png")
    save_map(np.full((48, 32), 9), maps / "p005.png")
    save(noise(48, 32), pictures / "p000.jpg")
    output = tmp_path / "out"
    flags = ("folder", "--input", pictures, "--labels", maps, "--classes", classes, "--output", output)
    assert prepare(*flags) == 1
    text = capsys.readouterr().out
    assert text.startswith("prepared 1, left out 0, skipped 6:\n")
    for path, reason in (
        (pictures / "p000.png", "has the same name as p000.jpg"),
        (pictures / "p001.png", "has no label map"),
        (maps / "p002.png", "has no picture"),
        (pictures / "p003.png", "damaged or cut off"),
        (maps / "p004.png", "20x20 (height x width) and must be 48x32"),
        (maps / "p005.png", "the label map's value 9 is not a class id"),
    ):
        line = next(line for line in text.splitlines() if line.startswith(f"  {path}: "))
        assert reason in line
    assert [entry["file_name"] for entry in entries(output / "train")] == ["images/p000.jpg"]
    # Mended, they are prepared by the same line; the first one is kept.
    (pictures / "p000.png").unlink()
    (pictures / "p001.png").unlink()
    (maps / "p002.png").unlink()
    save(noise(48, 32), pictures / "p003.png")
    for name in ("p004", "p005"):
        save_map(np.full((48, 32), 7), maps / f"{name}.png")
    assert prepare(*flags) == 0
    assert capsys.readouterr().out == "prepared 4 (1 of them before), left out 0, skipped 0\n"


def test_resolution_validation_share_and_instances(tmp_path: Path) -> None:
    pictures, maps, classes = write_folder_pair(tmp_path / "raw", 12)
    for path in maps.iterdir():
        save_map(np.arange(48 * 32).reshape(48, 32) * 40, tmp_path / "raw" / "inst" / path.name, np.uint16)
    flags = ("folder", "--input", pictures, "--labels", maps, "--classes", classes)
    flags += ("--instances", tmp_path / "raw" / "inst", "--validation_share", 0.4)
    assert prepare(*flags, "--output", tmp_path / "a", "--resolution", 24, 16) == 0
    item = PairedImages.from_folder(tmp_path / "a", (24, 16))[0]
    assert {Image.open(path).size for path in (tmp_path / "a").rglob("*.png")} == {(16, 24)}
    # Each small pixel is one of the four that it covers: odd or even row and column.
    row, column = np.divmod(item["instance"].numpy() // 40, 32)
    assert np.array_equal(row // 2, np.arange(24)[:, None] + np.zeros((1, 16)))
    assert np.array_equal(column // 2, np.arange(16)[None] + np.zeros((24, 1)))
    train, validation = (
        {str(e["file_name"]) for e in entries(tmp_path / "a" / s)} for s in ("train", "validation")
    )
    assert len(train | validation) == 12
    assert validation == {
        f"images/p{i:03d}.png" for i in range(12) if split_of(f"p{i:03d}", "train", 0.4) == "validation"
    }
    assert 0 < len(validation) < 12
    assert prepare(*flags, "--output", tmp_path / "b", "--max_items", 2) == 0
    assert {str(e["file_name"]) for e in entries(tmp_path / "b" / "train")} == set(sorted(train)[:2])


def test_settings_do_not_mix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures, maps, classes = write_folder_pair(tmp_path / "raw", 2)
    flags = ("folder", "--input", pictures, "--labels", maps, "--classes", classes)
    assert prepare(*flags, "--output", tmp_path / "out") == 0
    before = (tmp_path / "out" / "train" / "images" / "p000.png").read_bytes()
    assert prepare(*flags, "--output", tmp_path / "out", "--resolution", 16) == 2
    assert "resolution was null and is now [16, 16]" in capsys.readouterr().err
    assert (tmp_path / "out" / "train" / "images" / "p000.png").read_bytes() == before
    assert prepare(*flags, "--output", tmp_path / "out", "--split", "extra") == 0
    (tmp_path / "other" / "train").mkdir(parents=True)
    (tmp_path / "other" / "train" / "mine.txt").write_text("x")
    assert prepare(*flags, "--output", tmp_path / "other") == 2
    assert "files that prepare.py did not write" in capsys.readouterr().err
    changed = json.loads(classes.read_text())
    changed["classes"][0]["name"] = "sky"
    classes.write_text(json.dumps(changed))
    assert prepare(*flags, "--output", tmp_path / "out", "--split", "third") == 2
    assert "holds other classes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("ccp", "--output", "o"), "needs --input FOLDER, or --download"),
        (("ccp", "--output", "o", "--input", "i", "--resolution", "0"), "from 1 to 8192"),
        (("ccp", "--output", "o", "--input", "i", "--validation_share", "1"), "a share from 0 to below 1"),
        (("ccp", "--output", "o", "--input", "i", "--split", "../x"), "it names a folder"),
        (("cityscapes", "--output", "o", "--input", "i", "--split", "test"), "invalid choice"),
        (("ade20k", "--output", "o", "--input", "i", "--max_items", "0"), "must be at least 1"),
        (("ade20k", "--output", "o", "--input", "i", "--hub_private"), "needs --push_to_hub"),
        (("folder", "--output", "o", "--input", "i"), "--labels, --classes"),
    ],
)
def test_wrong_flags(flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(list(flags))
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("source", ["ccp", "deepfashion", "cityscapes", "ade20k", "folder"])
def test_an_input_that_is_something_else(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = {
        "deepfashion": ["--labels", tmp_path / "missing"],
        "folder": ["--labels", tmp_path, "--classes", tmp_path / "classes.json"],
    }
    FIGURE_LABELS.to_file(tmp_path / "classes.json")
    assert prepare(source, "--input", tmp_path, "--output", tmp_path / "o", *flags.get(source, [])) == 2
    text = capsys.readouterr().err
    assert text.startswith("prepare.py: ")
    assert text.count("\n") == 1
    assert not (tmp_path / "o").exists()


# A run that is stopped.


def test_a_killed_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures, maps, classes = write_folder_pair(tmp_path / "raw", 60, (320, 320))
    flags = ["folder", "--input", str(pictures), "--labels", str(maps), "--classes", str(classes)]
    output = tmp_path / "killed"
    command = [sys.executable, str(ROOT / "train" / "prepare.py"), *flags, "--output", str(output)]
    running = subprocess.Popen(
        [*command, "--num_workers", "2"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    journal = output / "train" / ".prepare.jsonl"
    while running.poll() is None and (not journal.is_file() or journal.read_text().count("\n") < 3):
        time.sleep(0.005)
    running.kill()
    assert running.wait() == -9, "the run ended before it could be killed"
    assert not (output / "train" / "metadata.jsonl").exists()
    assert not (output / "classes.json").exists()
    # A line that was cut short, a half-written picture, and a file that is lost.
    with journal.open("a") as file:
        file.write('{"name": "p0')
    save(noise(4, 4), output / "train" / "images" / ".p000.png.1.partial.png").rename(
        output / "train" / "images" / ".p000.png.1.partial"
    )
    done = [json.loads(line)["name"] for line in journal.read_text().splitlines()[:-1]]
    assert 2 <= len(done) < 60
    written = {name: (output / "train" / "labels" / f"{name}.png").stat().st_mtime_ns for name in done}
    (output / "train" / "images" / f"{done[0]}.png").unlink()

    assert prepare(*flags, "--output", output) == 0
    assert capsys.readouterr().out == f"prepared 60 ({len(done) - 1} of them before), left out 0, skipped 0\n"
    for name in done[1:]:
        assert (output / "train" / "labels" / f"{name}.png").stat().st_mtime_ns == written[name]
    assert prepare(*flags, "--output", tmp_path / "whole") == 0

    def contents(folder: Path) -> dict[str, bytes]:
        files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".prepare.jsonl"]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}

    assert contents(output) == contents(tmp_path / "whole")


# Parsers' label sets.


@pytest.mark.parametrize(
    ("label_set", "names", "expected"),
    [
        ("lip", LIP, "0 1 1 3 2 4 4 4 6 5 4 4 5 2 3 3 3 3 7 7"),
        ("cihp", CIHP, "0 1 1 3 2 4 4 4 6 5 3 4 5 2 3 3 3 3 7 7"),
        # The belt, id 8, takes the class of its nearest neighbour; 7 and 9 are equally near, and either will do.
        ("atr", ATR, "0 1 1 2 4 5 5 4 ? 7 7 2 3 3 3 3 0 4"),
    ],
)
def test_merging_rules(label_set: str, names: dict[str, str], expected: str, tmp_path: Path) -> None:
    """Every raw id as a stripe of two columns."""
    raw = np.repeat(np.arange(len(names)), 2)[None] + np.zeros((6, 1), dtype=np.int64)
    save(noise(*raw.shape), tmp_path / "img" / "a.png")
    save_map(raw, tmp_path / "seg" / "a.png")
    flags = ("deepfashion", "--input", tmp_path / "img", "--labels", tmp_path / "seg", "--keep_gloves")
    flags += ("--label_set", label_set, "--output", tmp_path / "out", "--validation_share", 0)
    assert prepare(*flags) == 0
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
    assert np.abs(photo[label == 0].astype(int) - 238).mean() < 4, "the street is gone"
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
    assert (names[12:30, 70:75] == "skin").all(), "a raised hand is no face"
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
    picture, label = crop_square(photo, ids, (left, top, side))
    assert label.shape == (side, side)
    assert (label == 4).sum() == (ids == 4).sum()
    assert (np.asarray(picture) == (10, 200, 30)).all(), "padded in the background's median colour"
    wide = np.zeros((100, 200), dtype=np.int64)
    wide[10:90, 2:20] = 4
    assert person_square(wide) == (0, 7, 86), "moved into the picture where it fits"
    tall = np.zeros((100, 60), dtype=np.int64)
    tall[1:99, 20:40] = 4
    assert person_square(tall) == (-20, 0, 100), "no larger than the picture's longer side"
    pixels = np.asarray(cut_out(photo, ids))
    assert (pixels[50, 49] == (10, 200, 30)).all()
    assert (pixels[50, 10] == (238, 238, 236)).all()


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
        share = (item["label"] > 0).float().mean()
        assert 0.05 < share < 0.4
        face, rest = (item["label"] == 2).nonzero(), (item["label"] > 0).nonzero()
        assert len(face) > 20
        assert face[:, 0].max() < rest[:, 0].min() + 0.2 * (rest[:, 0].max() - rest[:, 0].min())


# The download.


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_download(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_ccp(tmp_path / "source", TAGS, {"0001": ccp_person(TAGS)})
    commit = prepare_download.CCP_COMMIT
    archive = tmp_path / "www" / "bearpaw" / "clothing-co-parsing" / "archive" / f"{commit}.tar.gz"
    archive.parent.mkdir(parents=True)
    here = tmp_path / "here"
    flags = ("ccp", "--download", "--output", here / "ccp8", "--validation_share", 0)
    with serving(tmp_path / "www") as address:
        monkeypatch.setenv("GROUPDNET_ARCHIVES", address)
        assert prepare(*flags) == 2
        assert "the server answers 404" in capsys.readouterr().err
        whole = archive_of(source, commit)
        for content, message in (
            (whole[: len(whole) // 2], "the downloaded archive is damaged"),
            (b"<html>", "the downloaded archive is damaged"),
            (archive_of(source / "photos", commit), "is not Clothing Co-Parsing: it has no LICENSE"),
            (archive_of(source, "0" * 40), "is of commit 0000"),
        ):
            archive.write_bytes(content)
            assert prepare(*flags) == 2
            assert message in capsys.readouterr().err
            assert list(here.iterdir()) == [], "nothing half done stays"
        archive.write_bytes(whole)
        assert prepare(*flags) == 0
        assert "Apache-2.0" in capsys.readouterr().out
    assert prepare(*flags) == 0, "what is there is not downloaded again"
    raw = here / "clothing-co-parsing"
    files = {path.relative_to(raw).as_posix() for path in raw.rglob("*") if path.is_file()}
    assert files == {
        "LICENSE",
        "label_list.mat",
        "photos/0001.jpg",
        "photos/2000.jpg",
        "annotations/pixel-level/0001.mat",
    }
    assert not list(tmp_path.rglob("escaped.jpg"))
    assert len(PairedImages.from_folder(here / "ccp8", (64, 64))) == 1
    with pytest.raises(ValueError, match="only https:// and http://"):
        prepare_download.download_ccp(tmp_path / "x", (tmp_path / "www").as_uri())
    with pytest.raises(ValueError, match="holds something else"):
        prepare_download.download_ccp(tmp_path / "www")


# The Hub.


def test_push_to_hub(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    pyarrow = pytest.importorskip("pyarrow.parquet")
    pictures, maps, classes = write_folder_pair(tmp_path / "raw", 5)
    server = FakeHub()
    command = [sys.executable, str(ROOT / "train" / "prepare.py"), "folder", "--input", str(pictures)]
    command += ["--labels", str(maps), "--classes", str(classes), "--output", str(tmp_path / "out")]
    command += ["--validation_share", "0.4", "--num_workers", "0", "--push_to_hub", "user/people"]
    with server.serving():
        environment = server.environment(tmp_path / "home")
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith(f"uploaded to {server.address}/datasets/user/people\n")
    files = server.repositories["datasets/user/people"]["main"]
    assert files["classes.json"] == (tmp_path / "out" / "classes.json").read_bytes()
    rows = [
        row
        for split in ("train", "validation")
        for row in pyarrow.read_table(io.BytesIO(files[f"data/{split}-00000-of-00001.parquet"])).to_pylist()
    ]
    assert {row["label"]["path"] for row in rows} == {f"p{i:03d}.png" for i in range(5)}
    for row in rows:
        label = Image.open(io.BytesIO(row["label"]["bytes"]))
        raw = read_label_map(maps / row["label"]["path"], FIGURE_LABELS)
        assert np.array_equal(read_label_map(label, FIGURE_LABELS), raw)


def test_push_without_datasets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, maps, classes = write_folder_pair(tmp_path / "raw", 1)
    monkeypatch.setitem(sys.modules, "datasets", None)
    flags = ("folder", "--input", pictures, "--labels", maps, "--classes", classes)
    assert prepare(*flags, "--output", tmp_path / "out", "--push_to_hub", "user/people") == 2
    assert "--push_to_hub needs the library datasets: pip install" in capsys.readouterr().err
    assert not (tmp_path / "out").exists(), "said before the work, not after it"
