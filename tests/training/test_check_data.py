"""``train.py --check_data``: what cannot be trained on is named before the first step, all at once, or left out."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from groupdnet_hub import PairedImages
from groupdnet_hub.figures import write_figures
from tests.helpers.command_lines import refusal, train_settings
from tests.helpers.instance_maps import figures_with_instances
from tests.helpers.processes import process_as_it_was
from tests.helpers.script_runs import run_script

pytest.importorskip("accelerate")
from accelerate import Accelerator

from groupdnet_hub.training.config import parse_train_config
from groupdnet_hub.training.data import checked
from groupdnet_hub.training.data.pictures import (
    build_data,
    build_labels,
    given_pairs,
    grid_batch,
    validation_data,
)
from tests.helpers.train_runs import SCRIPT, train_flags, train_here

FLAGS = ("--perceptual_net", "none", "--max_train_steps", "1")
# What damage() does to the first items, and what is said of it.
DAMAGE = {
    0: "the photo 'figure_00000.png' is damaged or cut off",
    1: "the photo 'figure_00001.jpg' is damaged or cut off",
    2: "the label map 'figure_00002.png' is empty",
    3: "the label map 'figure_00003.png' does not exist",
    4: "the picture is 32x32 (height x width) and its label map 32x30",
    5: "is turned by its EXIF orientation 6",
}
WRONG_ID = "the label map's value 200 is not a class id: 3 pixels hold it"


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    write_figures(tmp_path / "drawn", 11, size=(32, 32))
    write_figures(tmp_path / "drawn", 4, size=(32, 32), split="validation")
    return tmp_path / "drawn"


@pytest.fixture
def damaged(drawn: Path) -> Path:
    """Training data of which items 0 to 5 are bad, and item 6 holds a wrong id; so does the validation item 1."""
    split = drawn / "train"
    listing = split / "metadata.jsonl"
    lines = [json.loads(line) for line in listing.read_text().splitlines()]
    photos = [split / line["file_name"] for line in lines]
    maps = [split / line["label_file_name"] for line in lines]
    cut_off(photos[0])
    lines[1]["file_name"] = "images/figure_00001.jpg"
    Image.open(photos[1]).save(split / lines[1]["file_name"])
    cut_off(split / lines[1]["file_name"])
    maps[2].write_bytes(b"")
    maps[3].unlink()
    Image.open(maps[4]).crop((0, 0, 30, 32)).save(maps[4])
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.open(photos[5]).crop((0, 0, 32, 30)).save(photos[5], exif=turned)
    Image.open(maps[5]).crop((0, 0, 32, 30)).save(maps[5])
    write_wrong_id(maps[6])
    write_wrong_id(sorted((drawn / "validation" / "labels").iterdir())[1])
    listing.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return drawn


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def write_wrong_id(path: Path) -> None:
    ids = np.array(Image.open(path))
    ids[0, :3] = 200
    Image.fromarray(ids).save(path)


def refused(data: Path, output: Path, *flags: str) -> str:
    with pytest.raises(ValueError, match=r"cannot be trained on|none is left") as error:
        train_here(data, output, *FLAGS, *flags)
    return str(error.value)


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def count_checks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The indices of items that are checked from now on."""
    seen: list[int] = []
    check = checked.check_item

    def counted(pairs: Any, index: int, *args: Any, **how: Any) -> Any:
        seen.append(index)
        return check(pairs, index, *args, **how)

    monkeypatch.setattr(checked, "check_item", counted)
    return seen


def test_all_bad_items_are_named_at_once(damaged: Path, tmp_path: Path) -> None:
    said = refused(damaged, tmp_path / "out")
    assert said.startswith("6 of 15 items cannot be trained on:\n")
    lines = said.splitlines()[1:-1]
    for line, (item, reason) in zip(lines, DAMAGE.items(), strict=True):
        assert f"{damaged / 'train'}, item {item} (images/figure_0000{item}." in line
        assert reason in line
    assert said.endswith("--skip_bad_items")
    assert not (tmp_path / "out").exists()

    said = refused(damaged, tmp_path / "out", "--check_data", "full")
    assert said.startswith("8 of 15 items")
    assert all(reason in said for reason in DAMAGE.values())
    assert f"{damaged / 'train'}, item 6 " in said
    assert f"{damaged / 'validation'}, item 1 " in said
    assert said.count(WRONG_ID) == 2


def test_networks_are_not_built_for_bad_data(
    damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from groupdnet_hub.training import run

    monkeypatch.setattr(run, "build_model", lambda *args: pytest.fail("a model is built"))
    refused(damaged, tmp_path / "out")


def test_a_command_line_ends_with_the_list(damaged: Path, tmp_path: Path) -> None:
    """In two processes too, neither of which waits for the other."""
    for processes in (1, 2):
        flags = train_flags(damaged, tmp_path / "out", *FLAGS)
        done = run_script(SCRIPT, flags, processes=processes)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert done.stderr.count("train.py: 6 of 15 items cannot be trained on:\n") == processes
        for reason in DAMAGE.values():
            assert done.stderr.count(reason) == processes


def test_many_bad_items_are_in_a_file(tmp_path: Path) -> None:
    write_figures(tmp_path / "drawn", 25, size=(32, 32))
    for path in (tmp_path / "drawn" / "train" / "labels").iterdir():
        path.unlink()
    said = refused(tmp_path / "drawn", tmp_path / "out")
    assert said.startswith("25 of 25 items")
    assert said.count("does not exist") == 20
    assert f"  and 5 more; all are in {tmp_path / 'out' / 'bad_items.jsonl'}\n" in said
    assert [one["item"] for one in read_lines(tmp_path / "out" / "bad_items.jsonl")] == list(range(25))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["bad_items.jsonl"]
    assert "all 25 items of the split train are bad, and none is left" in refused(
        tmp_path / "drawn", tmp_path / "out", "--skip_bad_items"
    )


@pytest.mark.parametrize("processes", [1, 2])
def test_bad_items_are_left_out(damaged: Path, tmp_path: Path, processes: int) -> None:
    output = tmp_path / "out"
    flags = (
        *FLAGS,
        "--skip_bad_items",
        "--check_data",
        "full",
        "--balanced_sampling",
        "0.5",
        "--class_order",
    )
    done = run_script(SCRIPT, train_flags(damaged, output, *flags, "likeness"), processes=processes)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"8 of 15 items are left out: {output / 'skipped_items.jsonl'} says which" in done.stdout
    assert "4 pictures are kept in memory" in done.stdout
    skipped = read_lines(output / "skipped_items.jsonl")
    assert [(one["split"], one["item"]) for one in skipped] == [
        *(("train", i) for i in range(7)),
        ("validation", 1),
    ]
    assert skipped[3]["label_file_name"] == str(damaged / "train" / "labels" / "figure_00003.png")
    assert WRONG_ID in skipped[6]["reason"]
    assert (output / "model").is_dir()


def test_what_is_left_out_is_nowhere_in_the_run(damaged: Path, tmp_path: Path) -> None:
    """The data, the grid and the validation split are those of a listing that never had the bad items."""
    flags = ("--output_dir", str(tmp_path / "out"), "--skip_bad_items", "--check_data", "full")
    settings = train_settings(damaged, *flags)
    labels = build_labels(settings)
    with process_as_it_was():
        settings = checked.with_checked_data(
            settings, given_pairs(settings, labels), labels, Accelerator(cpu=True)
        )
    left = build_data(settings, labels, (32, 32))
    grid = grid_batch(settings, left)
    validation = validation_data(settings, left)
    for split, bad in {"train": range(7), "validation": [1]}.items():
        listing = damaged / split / "metadata.jsonl"
        lines = listing.read_text().splitlines(keepends=True)
        listing.write_text("".join(line for number, line in enumerate(lines) if number not in bad))
    clean = train_settings(damaged)
    expected = build_data(clean, labels, (32, 32))
    expected_validation = validation_data(clean, expected)
    assert isinstance(left, PairedImages)
    assert isinstance(expected, PairedImages)
    assert list(left.pairs) == list(expected.pairs)
    assert validation is not None
    assert expected_validation is not None
    assert list(validation.pairs) == list(expected_validation.pairs)
    assert torch.equal(grid["image"], grid_batch(clean, expected)["image"])


def test_the_same_data_are_checked_once(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out"
    seen = count_checks(monkeypatch)

    def checks(*flags: str) -> int:
        seen.clear()
        train_here(drawn, output, *FLAGS, "--overwrite_output_dir", *flags)
        return len(seen)

    assert checks() == 15
    assert checks() == 0
    assert checks("--check_data", "full") == 15
    assert checks("--check_data", "full") == 0
    assert checks("--check_data", "headers") == 0
    assert checks("--ignore_id", "77") == 15
    assert checks("--ignore_id", "77") == 0
    photo = next((drawn / "train" / "images").iterdir())
    before = photo.stat()
    os.utime(photo, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))
    assert checks("--ignore_id", "77") == 15
    (output / "data_check.json").write_text("{")
    assert checks("--ignore_id", "77") == 15
    # A file of the same size and time is taken for the same.
    content = photo.read_bytes()
    times = photo.stat()
    photo.write_bytes(b"\0" * len(content))
    os.utime(photo, ns=(times.st_atime_ns, times.st_mtime_ns))
    seen.clear()
    with pytest.raises(ValueError, match="is not a picture that can be read"):
        train_here(drawn, output, *FLAGS, "--overwrite_output_dir", "--ignore_id", "77")
    assert seen == []
    assert (
        checks(
            "--check_data", "none", "--max_train_steps", "1", "--train_data_dir", str(drawn_again(tmp_path))
        )
        == 0
    )


def drawn_again(folder: Path) -> Path:
    write_figures(folder / "again", 4, size=(32, 32))
    return folder / "again"


def test_a_failed_check_is_made_again(damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out"
    seen = count_checks(monkeypatch)
    refused(damaged, output)
    refused(damaged, output)
    assert len(seen) == 30
    flags = (*FLAGS, "--skip_bad_items", "--check_data", "full", "--overwrite_output_dir")
    train_here(damaged, output, *flags)
    train_here(damaged, output, *flags)
    assert len(seen) == 45
    assert len(read_lines(output / "skipped_items.jsonl")) == 8
    refused(damaged, output, "--overwrite_output_dir")  # now without --skip_bad_items
    assert len(seen) == 60


def test_items_that_lack_an_instance_map(tmp_path: Path) -> None:
    data = figures_with_instances(tmp_path / "data", 6, without=2)
    bad_map = data / "train" / "instances" / "1.png"
    Image.new("RGB", (32, 32)).save(bad_map)
    train_here(data, tmp_path / "plain", *FLAGS)  # of no concern to a model without edges
    said = refused(data, tmp_path / "out", "--instance_edges")
    assert said.startswith("3 of 6 items")
    assert "the instance map is in mode RGB" in said
    assert (
        said.count("has no instance map (no instance_file_name in metadata.jsonl), and this model draws") == 2
    )
    left = train_here(data, tmp_path / "out", *FLAGS, "--instance_edges", "--skip_bad_items")
    assert "3 pictures are kept in memory" in left
    # The model that comes of it says by its configuration that it needs them.
    model = ("--pretrained_model_name_or_path", str(tmp_path / "out" / "model"))
    assert refused(data, tmp_path / "more", *model) == said


def test_rows_of_a_data_set_are_checked(
    damaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    files = [json.loads(line) for line in (damaged / "train" / "metadata.jsonl").read_text().splitlines()]
    chosen = [files[i] for i in (0, 5, 6, 7, 8)]
    rows = datasets.Dataset.from_dict(
        {
            "image": [
                {"bytes": (damaged / "train" / one["file_name"]).read_bytes(), "path": None} for one in chosen
            ],
            "label": [
                {"bytes": (damaged / "train" / one["label_file_name"]).read_bytes(), "path": None}
                for one in chosen
            ],
        },
        features=datasets.Features({"image": datasets.Image(), "label": datasets.Image()}),
    )
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **how: rows)
    flags = ("--dataset_name", "user/data", "--classes", str(damaged / "classes.json"))
    with pytest.raises(ValueError, match="2 of 5 items cannot be trained on") as error:
        train_here(None, tmp_path / "out", *FLAGS, *flags)
    assert "train, item 0: the photo is damaged or cut off" in str(error.value)
    assert "train, item 1: the photo is turned by its EXIF orientation 6" in str(error.value)
    said = train_here(None, tmp_path / "out", *FLAGS, *flags, "--check_data", "full", "--skip_bad_items")
    assert "3 of 5 items are left out" in said
    assert "2 pictures are kept in memory" in said


def test_flags_without_effect_are_refused(drawn: Path) -> None:
    flags = ["--train_data_dir", str(drawn)]
    message = "--skip_bad_items has no effect with --check_data none"
    assert message in refusal(parse_train_config, [*flags, "--skip_bad_items", "--check_data", "none"])
    stream = [*flags, "--dataset_name", "imagefolder", "--streaming", "--max_train_steps", "1"]
    assert parse_train_config(stream).check_data is None
    for level in ("full", "headers", "none"):
        message = f"--check_data {level} has no effect on a stream"
        assert message in refusal(parse_train_config, [*stream, "--check_data", level])
    message = "--skip_bad_items has no effect on a stream"
    assert message in refusal(parse_train_config, [*stream, "--skip_bad_items"])
    assert train_settings(drawn).check_level == "headers"
