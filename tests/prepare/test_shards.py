"""prepare.py --shard_size: what is in the shards, and that they are written whole or not at all."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groupdnet_hub.data.shards.layout import find_shards
from groupdnet_hub.io.images import picture_in_bytes
from groupdnet_hub.prepare.work import shards as prepare_shards
from groupdnet_hub.runs.signals import Stopped
from tests.helpers.prepare_runs import entries, ids_of, prepare
from tests.helpers.raw_data import folder_flags
from tests.helpers.script_runs import run_script
from tests.helpers.shared_data import ROOT

parquet = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("datasets")

SIZED = ("--shard_size", "3")


@pytest.fixture
def flags(tmp_path: Path) -> list[str]:
    return [*folder_flags(tmp_path / "raw", 11), "--validation_share", "0.3"]


def rows(output: Path, split: str) -> list[dict[str, Any]]:
    return [row for path in find_shards(output, split) for row in parquet.read_table(path).to_pylist()]


def contents(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((output / "data").glob("*.parquet"))}


def test_shards_hold_what_single_files_do(flags: list[str], tmp_path: Path) -> None:
    files, sharded = tmp_path / "files", tmp_path / "shards"
    assert prepare(*flags, "--output", files) == 0
    assert prepare(*flags, "--output", sharded, *SIZED) == 0
    for split in ("train", "validation"):
        expected = {Path(str(one["label_file_name"])).stem: one for one in entries(files / split)}
        found = {row["name"]: row for row in rows(sharded, split)}
        assert found.keys() == expected.keys()
        for name, row in found.items():
            assert row["image"]["bytes"] == (files / split / str(expected[name]["file_name"])).read_bytes()
            label = picture_in_bytes(row["label"]["bytes"])
            assert np.array_equal(np.asarray(label), ids_of(files / split / "labels" / f"{name}.png"))
        assert all(parquet.read_table(path).num_rows <= 3 for path in find_shards(sharded, split))
    assert (sharded / "classes.json").read_bytes() == (files / "classes.json").read_bytes()
    assert [row["name"] for row in rows(sharded, "train")] != sorted(
        row["name"] for row in rows(sharded, "train")
    )
    left = {path.name for path in (sharded / "data").iterdir()} - contents(sharded).keys()
    assert left == {".prepare.json", ".prepare.jsonl"}


def test_a_stopped_run_writes_what_is_missing(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that ends in the middle of its second shard leaves the first one whole, and no part of the second."""
    whole, output = tmp_path / "whole", tmp_path / "out"
    assert prepare(*flags, "--output", whole, *SIZED) == 0
    row_of, read = prepare_shards.row_of, []

    def stop_at_the_fifth(*args: Any) -> dict[str, Any]:
        read.append(1)
        if len(read) == 5:
            raise Stopped(signal.SIGINT)
        return row_of(*args)

    monkeypatch.setattr(prepare_shards, "row_of", stop_at_the_fifth)
    with pytest.raises(Stopped):
        prepare(*flags, "--output", output, *SIZED)
    (first,) = contents(output).items()
    assert first in contents(whole).items()
    (output / "data" / ".train-00001.items.partial" / "train").mkdir(parents=True)  # as a kill leaves it
    written = (output / "data" / first[0]).stat().st_mtime_ns
    monkeypatch.undo()
    capsys.readouterr()
    assert prepare(*flags, "--output", output, *SIZED) == 0
    assert capsys.readouterr().out == "prepared 11 (3 of them before), left out 0, skipped 0\n"
    assert contents(output) == contents(whole)
    assert (output / "data" / first[0]).stat().st_mtime_ns == written
    assert not list((output / "data").glob(".*.partial"))


def test_a_shard_with_a_problem_is_written_again(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = sorted((tmp_path / "raw").rglob("*.png"))[0]
    content = picture.read_bytes()
    picture.write_bytes(content[:40])
    output = tmp_path / "out"
    assert prepare(*flags, "--output", output, *SIZED) == 1
    assert "prepared 10, left out 0, skipped 1" in capsys.readouterr().out
    picture.write_bytes(content)
    assert prepare(*flags, "--output", output, *SIZED) == 0
    assert capsys.readouterr().out.startswith("prepared 11 (")
    assert len(rows(output, "train")) + len(rows(output, "validation")) == 11


def test_other_shards_and_single_files_do_not_mix(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, files = tmp_path / "out", tmp_path / "files"
    assert prepare(*flags, "--output", output, *SIZED) == 0
    assert prepare(*flags, "--output", files) == 0
    capsys.readouterr()
    for folder, more, message in (
        (output, (), "out is a data set in shards: give --shard_size as it was"),
        (files, SIZED, "files is a data set of single files: leave out --shard_size"),
        (output, ("--shard_size", "4"), "shard_size was 3 and is now 4"),
        (output, (*SIZED, "--max_items", "2"), "items was 11 and is now 4"),
    ):
        assert prepare(*flags, "--output", folder, *more) == 2
        assert message in capsys.readouterr().err


def test_shards_need_datasets(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "datasets", None)
    assert prepare(*flags, "--output", tmp_path / "out", *SIZED) == 2
    assert "--shard_size needs the library datasets: pip install" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("sized", [(), SIZED])
def test_processes_share_the_work(flags: list[str], tmp_path: Path, sized: tuple[str, ...]) -> None:
    """Two processes write what one does, one summary, and no item twice."""
    one, two = tmp_path / "one", tmp_path / "two"
    assert prepare(*flags, "--output", one, *sized) == 0
    script = ROOT / "train" / "prepare.py"
    done = run_script(script, [*flags, "--output", str(two), "--num_workers", "0", *sized], processes=2)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("prepared 11, left out 0, skipped 0") == 1

    def files(folder: Path) -> dict[str, bytes]:
        found = [
            path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".prepare")
        ]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}

    assert files(one) == files(two)
    lines = [line for path in two.rglob(".prepare*.jsonl") for line in path.read_text().split("\n") if line]
    names = [values.get("name", values.get("shard")) for values in map(json.loads, lines)]
    assert len(names) == len(set(names))
