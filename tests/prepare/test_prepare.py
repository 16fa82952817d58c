"""Pairs of pictures and label maps to our folders: what is written, listed, and resumed after a kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from groupdnet_hub import PairedImages
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.label_maps import read_label_map
from groupdnet_hub.data.paired import read_label_set
from groupdnet_hub.prepare.sources import split_of
from tests.helpers.prepare_runs import entries, prepare
from tests.helpers.raw_data import folder_flags, noise, save, save_map, write_folder_pair
from tests.helpers.shared_data import ROOT
from train.prepare import main

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
    # Once fixed, they are prepared by the same command; the first one is not repeated.
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
        (("ccp", "--output", "o", "--input", "i", "--validation_share", "1"), "a fraction from 0 to below 1"),
        (("ccp", "--output", "o", "--input", "i", "--split", "../x"), "it names a folder"),
        (("cityscapes", "--output", "o", "--input", "i", "--split", "test"), "invalid choice"),
        (("ade20k", "--output", "o", "--input", "i", "--max_items", "0"), "must be at least 1"),
        (("ade20k", "--output", "o", "--input", "i", "--hub_private"), "needs --push_to_hub"),
        (("folder", "--output", "o", "--input", "i"), "--labels, --classes"),
        (("ccp", "--output", "o", "--input", "i", "--classes", "people9"), "invalid choice: 'people9'"),
        (("ccp", "--output", "o", "--input", "i", "--frame", "full", "lower"), "invalid choice: 'lower'"),
        (
            ("ccp", "--output", "o", "--input", "i", "--frame", "full", "full"),
            "names a frame twice: full full",
        ),
        (
            ("ccp", "--output", "o", "--input", "i", "--aspect", "0"),
            "--aspect is 0.0; it is height over width",
        ),
        (("ccp", "--output", "o", "--input", "i", "--aspect", "nan"), "--aspect is nan"),
        (
            ("ccp", "--output", "o", "--input", "i", "--aspect", "2", "--frame", "none", "full"),
            "--aspect 2 shapes a frame, and --frame none cuts none: use full or upper",
        ),
        (
            ("ccp", "--output", "o", "--input", "i", "--resolution", "256", "128"),
            "would distort frames of --aspect 1: use --aspect 2, or --resolution 256 256",
        ),
        (
            ("ccp", "--output", "o", "--input", "i", "--smooth", "4"),
            "--smooth is 4; it must be an odd number",
        ),
        (
            ("ccp", "--output", "o", "--input", "i", "--smooth", "-1"),
            "--smooth is -1; it must be an odd number",
        ),
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


@pytest.mark.parametrize("where", [".", "train", "train/images", "train/labels"])
def test_what_a_killed_run_had_half_written_is_removed(tmp_path: Path, where: str) -> None:
    flags = [*folder_flags(tmp_path / "raw", 2), "--output", tmp_path / "out"]
    assert prepare(*flags) == 0
    left = tmp_path / "out" / where / ".metadata.jsonl.1-1.partial"
    left.write_text('{"file_name": "images/p0')
    assert prepare(*flags) == 0
    assert not left.exists()


@pytest.mark.slow
def test_a_killed_run_resumes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
