"""Signals, and processes that are gone: one sentence, a whole last checkpoint, and the run resumes to the same bits."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("accelerate")
if not hasattr(os, "fork"):
    pytest.skip("Windows has no such signals", allow_module_level=True)
from groupdnet_hub.training.state.checkpoints import list_checkpoints, read_progress
from tests.helpers.processes import torchrun
from tests.helpers.script_runs import Ended, Running
from tests.helpers.shared_data import ROOT
from tests.helpers.train_runs import SCRIPT, start_training, train, train_flags

# What a run keeps of its own: random numbers, and the order of pictures that workers read.
FLAGS = ("--perceptual_net", "none", "--diffaugment", "--random_flip", "--logging_steps", "7")
FLAGS += ("--cache_gb", "0", "--dataloader_num_workers", "1")
RESUMED = ("--resume_from_checkpoint", "latest")
LONG = (*FLAGS, "--max_train_steps", "100000")


def in_time(happened: Callable[[], Any], running: Running | None = None, seconds: float = 240) -> Any:
    """What happens in the end; a script must not end before."""
    end = time.monotonic() + seconds
    while not (found := happened()):
        assert running is None or running.poll() is None, running.wait().stderr[-3000:]
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def has_begun(running: Running, steps: int) -> bool:
    """Whether its steps have: the bar of their progress is there."""
    return f"/{steps} [" in running.stderr()


def only_line(ended: Ended, status: int) -> str:
    """The one line that a script leaves with."""
    assert ended.returncode == status, ended.stderr[-3000:]
    assert "Traceback" not in ended.stderr, ended.stderr[-3000:]
    lines = {line for line in ended.stderr.replace("\r", "\n").splitlines() if ".py: " in line}
    assert len(lines) == 1, ended.stderr[-3000:]
    return lines.pop()


def same_run(one: Path, other: Path) -> None:
    """Two runs have ended with the same weights, in the model and in the checkpoint of the last step."""
    for name in ("model/model.safetensors", "{}/model.safetensors", "{}/model_1.safetensors"):
        files = [run / name.format(list_checkpoints(run)[-1].name) for run in (one, other)]
        weights = [load_file(file) for file in files]
        assert weights[0].keys() == weights[1].keys(), name
        assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0]), name


def resumed_to_the_end(
    drawn: Path, folder: Path, signals: list[int], *more: str, seed: int, steps: int
) -> None:
    """A run that is sent signals at random moments, each time it starts, is the run that is left alone."""
    moments = random.Random(seed)
    flags = (*FLAGS, *more, "--max_train_steps", str(steps), "--checkpointing_steps", "1000")
    train(drawn, folder / "whole", *flags)
    left, runs = list(signals), 0
    while True:
        run = folder / f"stopped-{runs}"
        running = start_training(drawn, run, *flags, *RESUMED, own_group=True)
        if left:
            if moments.random() < 0.8:  # others may come before the first step
                in_time(partial(has_begun, running, steps), running)
            time.sleep(moments.uniform(0, 2))
            running.signal(left[0])
        ended = running.wait()
        if ended.returncode == 0:
            same_run(folder / "whole", run)
            if not left:
                return
            runs += 1
            continue
        number, before = left.pop(0), list_checkpoints(run)
        if ended.returncode == -number:  # before the script had begun
            continue
        line = only_line(ended, 128 + number)
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        assert f"train.py: stopped by {name}" in line
        if " at step " in line:
            assert f"{before[-1]} is written, and --resume_from_checkpoint latest resumes" in line
            assert f"at step {read_progress(before[-1])['step']} of {steps}" in line


def test_a_stopped_run_resumes_to_the_same_bits(drawn: Path, tmp_path: Path) -> None:
    resumed_to_the_end(drawn, tmp_path, [signal.SIGTERM, signal.SIGINT], seed=3, steps=24)


@pytest.mark.slow
def test_so_does_one_that_is_stopped_at_ten_random_moments(drawn: Path, tmp_path: Path) -> None:
    resumed_to_the_end(drawn, tmp_path, [signal.SIGTERM] * 10, "--use_ema", seed=11, steps=60)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_during_training_leaves_a_checkpoint(drawn: Path, tmp_path: Path, number: int) -> None:
    run = tmp_path / "run"
    running = start_training(drawn, run, *LONG, "--checkpointing_steps", "3", own_group=True)
    in_time(lambda: list_checkpoints(run), running)
    running.signal(number)
    line = only_line(running.wait(), 128 + number)
    last = list_checkpoints(run)[-1]
    assert f"{last} is written, and --resume_from_checkpoint latest resumes from there" in line
    assert read_progress(last)["step"] == int(last.name.split("-")[1])
    assert not list(run.glob(".*"))  # neither a half-written checkpoint nor a lock
    assert not (run / "model").exists()


def test_a_second_ctrl_c_leaves_at_once(drawn: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    script = ROOT / "tests" / "helpers" / "train_slow_disk.py"
    running = Running(script, train_flags(drawn, run, *LONG, "--checkpointing_steps", "1"), own_group=True)
    in_time(lambda: (run / ".partial-checkpoint-2" / "generator" / "README.md").exists(), running)
    running.signal(signal.SIGINT)
    time.sleep(1.5)  # one that comes within a second is the same
    assert running.poll() is None
    running.signal(signal.SIGINT)
    line = only_line(running.wait(), 130)
    assert line.endswith(f"stopped by Ctrl-C at step 2; the last checkpoint is {run / 'checkpoint-1'}")
    assert [path.name for path in run.glob("*checkpoint*")] == ["checkpoint-1"]
    assert read_progress(run / "checkpoint-1")["step"] == 1


def test_a_signal_to_one_of_two_processes_stops_both(drawn: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    running = start_training(drawn, run, *LONG, "--checkpointing_steps", "2", processes=2)
    in_time(lambda: list_checkpoints(run), running)
    running.signal(signal.SIGTERM, rank=1)
    ended = running.wait()
    last = list_checkpoints(run)[-1]
    assert f"{last} is written" in only_line(ended, 143)
    assert (last / "random_states_1.pkl").is_file()


def test_a_killed_worker_of_the_loader_is_named(drawn: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    running = start_training(drawn, run, *LONG, "--checkpointing_steps", "3", own_group=True)
    in_time(lambda: list_checkpoints(run), running)
    (worker,) = psutil.Process(running.pid).children()
    worker.kill()
    line = only_line(running.wait(), 1)
    # By which of its ways torch finds out is a matter of chance.
    how = "(killed by signal: Killed|exited unexpectedly)"
    assert re.search(rf"a process that read pictures is gone \(number {worker.pid}, {how}\)", line), line
    last = list_checkpoints(run)[-1]
    assert line.endswith(f"the last checkpoint is {last}")
    assert read_progress(last)["step"]


@contextmanager
def launched(
    drawn: Path, run: Path, log: Path
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], str]]]:
    """Two processes of ``torchrun`` in a run that has a checkpoint, and what they say."""
    flags = train_flags(drawn, run, *LONG, "--checkpointing_steps", "2", "--checkpoints_total_limit", "2")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("ACCELERATE_USE_CPU", None)
    command = [sys.executable, "-m", *torchrun(2), str(SCRIPT), *flags]
    with log.open("wb") as said:
        launcher = subprocess.Popen(
            command, env=environment, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
        )
    children: list[psutil.Process] = []
    try:
        in_time(lambda: list_checkpoints(run))
        children = psutil.Process(launcher.pid).children(recursive=True)
        yield launcher, lambda: log.read_text(errors="replace").replace("\r", "\n")
    finally:
        for process in (launcher, *children):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        launcher.wait()


@pytest.mark.slow
@pytest.mark.parametrize("kill", [True, False], ids=["killed", "asked to stop"])
def test_processes_stop_with_their_launcher(drawn: Path, tmp_path: Path, kill: bool) -> None:
    run = tmp_path / "run"
    with launched(drawn, run, tmp_path / "log") as (launcher, said):
        children = psutil.Process(launcher.pid).children(recursive=True)
        launcher.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
        _, alive = psutil.wait_procs(children, timeout=60)
        assert not alive, said()[-3000:]
        last = list_checkpoints(run)[-1]
        lines = [line for line in said().splitlines() if line.startswith("train.py: ")]
        assert lines[: 1 if kill else 0] == ["train.py: the launcher of this run is gone"][: 1 if kill else 0]
        assert (
            f"stopped by SIGTERM at step {read_progress(last)['step']} of 100000: {last} is written"
            in lines[-1]
        )
        assert not list(run.glob(".*"))
