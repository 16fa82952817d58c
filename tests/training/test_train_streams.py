"""Training on streams of shards, in one process and in several, with workers and without."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from groupdnet_hub.figures import write_figures
from tests.helpers.shard_data import write_shards
from tests.helpers.train_runs import train, train_here

pytest.importorskip("accelerate")
pytest.importorskip("datasets")

STEPS = 9
FLAGS = ("--streaming", "--perceptual_net", "none", "--random_flip", "--max_train_steps", str(STEPS))
LATEST = ("--resume_from_checkpoint", "latest")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_figures(folder, 18, size=(32, 32))
    write_figures(folder, 3, size=(32, 32), split="validation", seed=9)
    return folder


@pytest.fixture(scope="module")
def shards(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five shards, so that readers have unequal parts."""
    folder = tmp_path_factory.mktemp("shards")
    write_shards(files, folder, 2, "validation")
    return write_shards(files, folder, 5)


@pytest.mark.parametrize(
    ("processes", "workers"),
    [
        (1, 2),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in [(1, 0), (1, 1), (2, 0), (2, 1), (2, 2)]),
    ],
)
def test_a_stream_resumes_exactly(shards: Path, tmp_path: Path, processes: int, workers: int) -> None:
    flags = (*FLAGS, "--dataloader_num_workers", str(workers), "--checkpointing_steps", "1")

    def run_here(output: Path, *more: str) -> None:
        if processes == 1:
            train_here(shards, output, *flags, *more)
        else:
            train(shards, output, *flags, *more, processes=processes)

    run_here(tmp_path / "whole")
    expected = load_file(tmp_path / "whole" / "model" / "model.safetensors")
    # In the middle of an epoch, and at and after the ends of those of some readers.
    for step in (2, 5):
        run = tmp_path / f"from-{step}"
        shutil.copytree(tmp_path / "whole" / f"checkpoint-{step}", run / f"checkpoint-{step}")
        run_here(run, *LATEST)
        found = load_file(run / "model" / "model.safetensors")
        assert all(found[name].equal(value) for name, value in expected.items()), f"from step {step}"


def test_other_workers_do_not_resume_in_silence(shards: Path, tmp_path: Path) -> None:
    short = (*FLAGS[:-1], "2", "--checkpointing_steps", "1")
    train_here(shards, tmp_path / "run", *short)
    shutil.rmtree(tmp_path / "run" / "model")
    shutil.rmtree(tmp_path / "run" / "checkpoint-2")
    other = ("--dataloader_num_workers", "2")
    with pytest.raises(
        ValueError, match=r"data was .*5 shards.* and is 2 workers in each of 1 processes.* now"
    ):
        train_here(shards, tmp_path / "run", *short, *other, *LATEST)
    said = train_here(shards, tmp_path / "run", *short, *other, *LATEST, "--allow_changes", "data")
    assert "resuming from step 1" in said


def test_the_shards_of_validation_are_looked_at(shards: Path, files: Path, tmp_path: Path) -> None:
    """The first sample grid shows the pictures that it shows of single files."""
    one = ("--perceptual_net", "none", "--max_train_steps", "1", "--validation_steps", "1")
    train_here(shards, tmp_path / "streamed", *one, "--streaming")
    train_here(files, tmp_path / "files", *one)
    grids = [tmp_path / run / "samples" / "0000001.png" for run in ("streamed", "files")]
    assert all(grid.is_file() for grid in grids)
    from PIL import Image

    photos = [Image.open(grid).crop((0, 0, 32, 32)).tobytes() for grid in grids]
    assert photos[0] == photos[1]


def test_mistakes_with_shards_are_told(shards: Path, files: Path, tmp_path: Path) -> None:
    def said(folder: Path, *flags: str) -> str:
        with pytest.raises(ValueError) as found:  # noqa: PT011
            train_here(folder, tmp_path / "run", *flags)
        return str(found.value)

    assert "it is a data set in shards (data/train-*.parquet), which train.py reads with --streaming" in said(
        shards
    )
    assert "single files, which are not streamed: leave out --streaming" in said(files, *FLAGS)
    assert "needs a stream of 7 shards or more" in said(shards, *FLAGS, "--dataloader_num_workers", "7")
    (tmp_path / "empty").mkdir()
    assert "has no shards of train" in said(tmp_path / "empty", *FLAGS)
    shutil.copytree(shards, tmp_path / "cut")
    lost = sorted((tmp_path / "cut" / "data").glob("train-*"))[1]
    content = lost.read_bytes()
    lost.unlink()
    assert "has 4 of 5 shards of train" in said(tmp_path / "cut", *FLAGS)
    lost.write_bytes(content[:-100])
    assert f"{lost} is damaged" in said(tmp_path / "cut", *FLAGS)
    lost.write_bytes(content)
    shutil.copy(lost, lost.with_name("train-00000-of-00009.parquet"))
    assert "shards of several preparations of train" in said(tmp_path / "cut", *FLAGS)
