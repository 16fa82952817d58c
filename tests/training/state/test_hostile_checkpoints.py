"""A training checkpoint from a stranger: resuming from it runs no code, whatever is in it."""

from __future__ import annotations

import copy
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save
from torch import nn

from groupdnet_hub.training.ema import MovingAverage
from groupdnet_hub.training.shared_stream import NoiseSource, RunSeed
from groupdnet_hub.training.state.checkpoints import find_checkpoint, load_checkpoint, save_checkpoint
from groupdnet_hub.training.state.extra_state import keep_extra_state
from tests.helpers.checkpoints import RECORD, write_record
from tests.helpers.hostile_files import Payload, pickles, refusal
from tests.helpers.hub_models import make_model


class Run:
    """What a training has that a checkpoint holds, in small."""

    def __init__(self) -> None:
        self.accelerator = Accelerator(cpu=True)
        network = nn.Linear(2, 2)
        with torch.no_grad():
            network.weight.fill_(0.5)
        self.network, self.optimizer = self.accelerator.prepare(
            network, torch.optim.Adam(network.parameters(), lr=0.1)
        )
        self.noise = NoiseSource(RunSeed(3))
        self.average = MovingAverage(copy.deepcopy(network), 0.9)
        keep_extra_state(self.accelerator, {"noise": self.noise, "average": self.average})

    def step(self) -> torch.Tensor:
        self.network(torch.ones(1, 2)).sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update_parameters(self.network)
        return self.noise.draw((4,), torch.device("cpu"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's checkpoint after a step."""
    with torch.random.fork_rng(devices=[]):
        run = Run()
        run.step()
        progress = {"step": 1, "epoch": 0, "batch": 1}

        def write_more(folder: Path) -> None:
            make_model().save_pretrained(folder / "generator")

        return save_checkpoint(run.accelerator, tmp_path, 1, progress, write_more, None)


def load(folder: Path) -> Run:
    with torch.random.fork_rng(devices=[]):
        run = Run()
        found = find_checkpoint(folder.parent, str(folder), print)
        assert found is not None
        load_checkpoint(run.accelerator, found)
    return run


def put(folder: Path, name: str, content: bytes) -> None:
    """Replace a file as a stranger would: with the sums put right."""
    (folder / name).write_bytes(content)
    write_record(folder, json.loads((folder / RECORD).read_text())["progress"])


def test_a_run_goes_on_with_its_noise(folder: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        first, second = Run(), load(folder)
        first.step()
        assert torch.equal(first.step(), second.step())
        assert torch.equal(first.network.weight, second.network.weight)
        assert torch.equal(first.average.module.weight, second.average.module.weight)
        assert not torch.equal(first.average.module.weight, first.network.weight)
    assert "own_state.safetensors" in {path.name for path in folder.iterdir()}
    assert not list(folder.glob("custom_checkpoint*"))


def test_no_file_of_a_checkpoint_can_run_code(folder: Path, tmp_path: Path) -> None:
    names = {path.name for path in folder.iterdir() if path.is_file()} - {"progress.json"}
    # Names that accelerate knows as well, should they be there.
    names |= {"custom_checkpoint_0.pkl", "scheduler.bin", "sampler.bin", "scaler.pt", "pytorch_model.bin"}
    canary = tmp_path / "executed"
    forms = dict(pickles(canary))
    for name in sorted(names):
        for form in ("protocol 2", "torch, zip True", "torch, zip False"):
            spoilt = shutil.copytree(folder, tmp_path / "spoilt")
            if name == "pytorch_model.bin":  # what accelerate reads where there is no other
                (spoilt / "model.safetensors").unlink()
            put(spoilt, name, forms[form])
            try:
                load(spoilt)
            except ValueError:
                pass
            else:  # a file that nobody reads does no harm, and random states that cannot be read stay as they are
                assert name in ("scheduler.bin", "sampler.bin", "scaler.pt", "random_states_0.pkl")
            assert not canary.exists(), name
            shutil.rmtree(spoilt)


def test_pickles_of_an_earlier_version_are_refused_in_words(folder: Path, tmp_path: Path) -> None:
    torch.save({"generator": Payload(tmp_path / "executed")}, folder / "custom_checkpoint_0.pkl")
    put(folder, "custom_checkpoint_0.pkl", (folder / "custom_checkpoint_0.pkl").read_bytes())
    with refusal("holds pickles, which are not read.*--pretrained_model_name_or_path"):
        load(folder)


def test_links_pipes_and_strange_progress_are_refused(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "optimizer.bin").read_bytes()
    (tmp_path / "private").write_bytes(whole)
    for make in (lambda path: path.symlink_to(tmp_path / "private"), os.mkfifo):
        (folder / "optimizer.bin").unlink()
        make(folder / "optimizer.bin")
        with refusal("optimizer.bin is a link or no file"):
            load(folder)
    (folder / "optimizer.bin").unlink()
    (folder / "optimizer.bin").write_bytes(whole)
    record = json.loads((folder / "progress.json").read_text())
    for progress in ({"step": "x"}, {"step": -1}, {"step": 1.5}, {"step": [1]}, [1, 2], None):
        (folder / "progress.json").write_text(json.dumps({**record, "progress": progress}))
        with refusal("not a complete checkpoint"):
            load(folder)
    (folder / "progress.json").write_text("[" * 100_000)
    with refusal("not a complete checkpoint"):
        load(folder)


def test_state_of_another_run_is_refused(folder: Path) -> None:
    for tensors in (
        {},
        {"noise/generator": torch.zeros(3, dtype=torch.uint8)},
        {"average/x": torch.zeros(1)},
    ):
        put(folder, "own_state.safetensors", save(tensors))
        with refusal("not of a run with these flags"):
            load(folder)
    put(folder, "own_state.safetensors", b"")
    with refusal("no readable own_state"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("model.safetensors", r"weight in network 0 of .*checkpoint-1 holds 1 values that are NaN"),
        (
            "own_state.safetensors",
            r"module.weight in own_state.safetensors of .* holds 1 values that are NaN",
        ),
    ],
)
def test_weights_that_are_no_numbers(folder: Path, name: str, match: str) -> None:
    tensors = load_file(folder / name)
    key = next(key for key in tensors if key.endswith("weight"))
    tensors[key][0, 0] = float("nan")
    put(folder, name, save(tensors, {"format": "pt"}))
    with refusal(match):
        load(folder)


def test_moments_that_are_no_numbers(folder: Path) -> None:
    state = torch.load(folder / "optimizer.bin", weights_only=True)
    state["state"][0]["exp_avg_sq"][0, 0] = float("inf")
    torch.save(state, folder / "optimizer.bin")
    put(folder, "optimizer.bin", (folder / "optimizer.bin").read_bytes())
    with refusal(
        r"exp_avg_sq of parameter 0 in optimizer 0 of .* holds 0 values that are NaN and 1 that are infinite"
    ):
        load(folder)
