"""Two runs pointed at one output: the second refuses; one that was killed is in nobody's way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("accelerate")
pytest.importorskip("fcntl")
from groupdnet_hub.figures import write_figures
from groupdnet_hub.runs.output_lock import sole_writer
from tests.helpers.generate_runs import flags, make_inputs
from tests.helpers.processes import process_as_it_was
from tests.helpers.raw_data import write_folder_pair
from tests.helpers.script_runs import run_script
from tests.helpers.train_runs import SCRIPT, start_training, train, train_flags
from train import generate, prepare, reproduce
from train.evaluate import main as evaluate

# Without torch, and so quick to start.
HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.lockf(file, fcntl.LOCK_EX)
print("process 7 on another-machine", file=file, flush=True)
print("held", flush=True)
sys.stdin.read()
"""
REFUSAL = "another run writes to {} (process 7 on another-machine): wait until it has ended, stop it, or "


@contextmanager
def held(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process has this lock file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.kill()


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    with held(tmp_path / ".train.lock") as holder:
        with (
            pytest.raises(ValueError, match="another run writes") as refusal,
            sole_writer(tmp_path, "train", "x"),
        ):
            pass
        assert str(refusal.value) == REFUSAL.format(tmp_path) + "x"
        holder.kill()
        holder.wait()
        with sole_writer(tmp_path, "train", "x"):  # the file is still there
            assert f"process {os.getpid()} on" in (tmp_path / ".train.lock").read_text()
    assert not list(tmp_path.iterdir())


def test_a_lock_file_that_was_removed_meanwhile_is_not_taken_for_the_lock(tmp_path: Path) -> None:
    path = tmp_path / ".train.lock"
    with held(path):
        path.unlink()  # as its holder does in the end; whoever waited has another file now
        with sole_writer(tmp_path, "train", "x"):
            assert path.exists()


def test_prepare_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures, labels, classes = write_folder_pair(tmp_path / "raw", 2)
    given = ["folder", "--input", pictures, "--labels", labels, "--classes", classes, "--num_workers", "0"]
    command = [str(flag) for flag in (*given, "--output", tmp_path / "out")]
    with held(tmp_path / "out" / ".prepare.lock"):
        assert prepare.main(command) == 2
        assert REFUSAL.format(tmp_path / "out") + "choose another --output" in capsys.readouterr().err
        assert [path.name for path in (tmp_path / "out").iterdir()] == [".prepare.lock"]
    assert prepare.main(command) == 0


def test_generate_and_evaluate_refuse(tmp_path: Path) -> None:
    inputs = make_inputs(tmp_path / "inputs")
    output = tmp_path / "out"
    other = pytest.raises(ValueError, match=r"another run writes to .*choose another --output_dir or --split")
    with held(output / "train" / ".generate.lock"), process_as_it_was(), other:
        generate.main(flags(inputs, output, "--num_per_map", "1"))
    assert [path.name for path in output.rglob("*")] == ["train", ".generate.lock"]
    data = ["--data_dir", str(inputs / "gallery"), "--split", "train", "--metrics", "params"]
    other = pytest.raises(ValueError, match=r"another run writes to .*choose another --output")
    with held(output / ".results.json.lock"), process_as_it_was(), other:
        evaluate(["--model", str(inputs / "model"), *data, "--output", str(output / "results.json")])
    assert not (output / "results.json").exists()


@pytest.mark.slow
def test_two_trainings_do_not_share_a_folder(tmp_path: Path) -> None:
    """The second refuses while the first is alive, and resumes from its checkpoint at once when it was killed."""
    write_figures(tmp_path / "drawn", 8, size=(32, 32))
    output = tmp_path / "run"
    more = ["--perceptual_net", "none", "--checkpointing_steps", "1", "--dataloader_num_workers", "1"]
    long = (tmp_path / "drawn", output, *more, "--max_train_steps", "100000")
    first = start_training(*long)
    try:
        while first.poll() is None and not list(output.glob("checkpoint-*")):
            time.sleep(0.05)
        second = run_script(SCRIPT, train_flags(*long))
        assert second.returncode == 1
        assert f"train.py: another run writes to {output} (process {first.pid} on " in second.stderr
        assert second.stderr.rstrip().endswith("choose another --output_dir")
        assert first.poll() is None
    finally:
        first.kill()
    step = max(int(path.name.split("-")[1]) for path in output.glob("checkpoint-*"))
    last = [
        "--max_train_steps",
        str(step + 1),
        "--resume_from_checkpoint",
        "latest",
        "--allow_changes",
        "max_train_steps",
    ]
    train(tmp_path / "drawn", output, *more, *last)
    assert json.loads((output / "model" / "training.json").read_text())["steps"] == step + 1
    assert not list(output.glob(".*"))


@pytest.mark.slow
def test_all_processes_of_the_second_training_refuse(tmp_path: Path) -> None:
    write_figures(tmp_path / "drawn", 8, size=(32, 32))
    more = ["--perceptual_net", "none", "--max_train_steps", "1"]
    flags = train_flags(tmp_path / "drawn", tmp_path / "run", *more)
    with held(tmp_path / "run" / ".train.lock"):
        second = run_script(SCRIPT, flags, processes=2)
        assert second.returncode == 1
        assert second.stderr.count(REFUSAL.format(tmp_path / "run")) >= 1
    done = run_script(SCRIPT, flags, processes=2)
    assert done.returncode == 0, done.stderr[-2000:]  # only the main process holds it


def test_reproduce_takes_a_lock_for_each_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for split in ("train", "validation"):
        write_figures(tmp_path / "drawn", 8, size=(32, 32), split=split)
    monkeypatch.setattr(reproduce.Run, "check_downloads", lambda self: None)
    monkeypatch.setattr(reproduce.Run, "train", lambda self: pytest.fail("trained beside another run"))
    given = [
        "--table",
        "1",
        "--scale",
        "small",
        "--systems",
        "GroupDNet",
        "--data_dir",
        str(tmp_path / "drawn"),
    ]
    other = pytest.raises(ValueError, match=r"another run writes to .*leave GroupDNet out with --systems")
    with held(tmp_path / "out" / "GroupDNet" / ".reproduce.lock"), other:
        reproduce.main([*given, "--output_dir", str(tmp_path / "out")])
