"""The state of a run as files of limited size, and a run that resumes from them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from groupdnet_hub import GroupDNet
from groupdnet_hub.figures import write_figures

pytest.importorskip("accelerate")
from groupdnet_hub.training.schedules import make_optimizer
from groupdnet_hub.training.state.checkpoints import read_progress
from groupdnet_hub.training.state.parts import join, split
from groupdnet_hub.training.state.tensor_parts import TensorReader, TensorWriter
from groupdnet_hub.training.state.tree import from_json, to_json
from tests.helpers.train_runs import train, train_here
from train.tools.state_parts import main

# Everything that has a state of its own: average, prior, memory of codes, random streams.
FLAGS = ["--perceptual_net", "none", "--use_ema", "--diffaugment", "--random_flip", "--redraw_weight", "10"]
FLAGS += ["--redraw_memory", "4", "--prior_codes", "4", "--save_discriminator", "--validation_steps", "100"]
FLAGS += ["--discriminator_width", "4", "--max_train_steps", "6", "--checkpointing_steps", "3"]
PART_MB = 0.05


@pytest.fixture(scope="module")
def whole(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps at once, with a checkpoint at the third."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train_here(drawn, folder, *FLAGS)
    return folder


def test_a_run_resumed_from_parts_is_the_run_bit_for_bit(drawn: Path, whole: Path, tmp_path: Path) -> None:
    for name, state_only in (("all", False), ("state only", True)):
        files = split(
            whole / "checkpoint-3", tmp_path / f"{name}.parts", part_mb=PART_MB, state_only=state_only
        )
        assert len(files) > 4
        joined = join(tmp_path / f"{name}.parts", tmp_path / name)
        assert joined == tmp_path / name / "checkpoint-3"
        assert read_progress(joined)["step"] == 3
        assert (joined / "generator").exists() == (not state_only)
        said = train_here(drawn, tmp_path / name, *FLAGS, "--resume_from_checkpoint", "latest")
        assert "from step 3" in said
        for file in (
            "model/model.safetensors",
            "model/discriminator.safetensors",
            "checkpoint-6/model.safetensors",
        ):
            expected, found = (load_file(run / file) for run in (whole, tmp_path / name))
            assert [key for key, value in expected.items() if not torch.equal(found[key], value)] == [], file


def test_a_state_without_its_model_gives_it_again(drawn: Path, whole: Path, tmp_path: Path) -> None:
    split(whole / "checkpoint-3", tmp_path / "parts", state_only=True)
    join(tmp_path / "parts", tmp_path / "run")
    train_here(
        drawn,
        tmp_path / "run",
        *FLAGS,
        "--resume_from_checkpoint",
        "latest",
        "--allow_changes",
        "max_train_steps",
        "--max_train_steps",
        "3",
    )
    folders = whole / "checkpoint-3" / "generator", tmp_path / "run" / "model"
    expected, found = (dict(GroupDNet.from_pretrained(folder).named_parameters()) for folder in folders)
    assert [key for key, value in expected.items() if not torch.equal(found[key], value)] == []
    priors = [GroupDNet.from_pretrained(folder).prior.state_dict() for folder in folders]
    # Statistics and singular vectors are measured further, so that codes differ a little.
    for key, value in priors[0].items():
        torch.testing.assert_close(priors[1][key], value, rtol=0.05, atol=0.05)
    assert any(bool(value.any()) for value in priors[0].values())


def test_the_joined_checkpoint_is_the_one_that_was_split(whole: Path, tmp_path: Path) -> None:
    split(whole / "checkpoint-3", tmp_path / "parts", part_mb=PART_MB)
    joined, original = join(tmp_path / "parts", tmp_path / "run"), whole / "checkpoint-3"
    names = {p.relative_to(original) for p in original.rglob("*") if p.is_file()}
    assert names == {p.relative_to(joined) for p in joined.rglob("*") if p.is_file()}
    for name in names:
        if name.suffix in (".json", ".md") and name.name != "progress.json":
            assert (joined / name).read_bytes() == (original / name).read_bytes()
        elif name.suffix == ".safetensors":
            expected, found = load_file(original / name), load_file(joined / name)
            assert set(found) == set(expected)
            for key, value in expected.items():
                assert found[key].dtype == value.dtype
                assert torch.equal(found[key], value)


def test_parts_are_small_safetensors_and_hold_equal_tensors_once(whole: Path, tmp_path: Path) -> None:
    files = split(whole / "checkpoint-3", tmp_path / "parts", part_mb=PART_MB)
    assert files[-1].name == "state.json"
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {path.name for path in files}
    for path in files[:-1]:
        assert path.stat().st_size <= PART_MB * 1e6
        with safe_open(path, framework="pt") as part:
            assert list(part.keys())
    stored = sum(path.stat().st_size for path in files[:-1])
    files_of = [
        p for p in (whole / "checkpoint-3").rglob("*") if p.suffix in (".safetensors", ".bin", ".pkl")
    ]
    # The model folder holds the average and the discriminator again.
    assert stored < 0.85 * sum(path.stat().st_size for path in files_of)
    again = split(whole / "checkpoint-3", tmp_path / "parts", part_mb=1)
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {path.name for path in again}


def test_halves_are_smaller_and_near(whole: Path, tmp_path: Path) -> None:
    checkpoint = whole / "checkpoint-3"
    exact = split(checkpoint, tmp_path / "exact")
    halves = split(checkpoint, tmp_path / "halves", half_weights=True, half_optimizer=True)

    def size(files: list[Path], kind: str) -> int:
        return sum(path.stat().st_size for path in files if path.name.startswith(kind))

    assert size(halves, "weights") < 0.85 * size(exact, "weights")
    assert size(halves, "optimizer") < 0.6 * size(exact, "optimizer")
    joined = join(tmp_path / "halves", tmp_path / "run")
    for name in ("generator/model.safetensors", "model_1.safetensors", "own_state.safetensors"):
        before, after = load_file(checkpoint / name), load_file(joined / name)
        for key, value in before.items():
            assert after[key].dtype == value.dtype
            torch.testing.assert_close(after[key], value, rtol=2**-11, atol=1e-7)
    # What is trained on stays exact.
    before, after = (load_file(folder / "model.safetensors") for folder in (checkpoint, joined))
    assert all(torch.equal(after[key], value) for key, value in before.items())
    moments = [torch.load(f / "optimizer.bin", weights_only=True)["state"] for f in (checkpoint, joined)]
    for before_one, after_one in zip(*(state.values() for state in moments), strict=True):
        assert float(before_one["step"]) == float(after_one["step"])
        torch.testing.assert_close(after_one["exp_avg_sq"], before_one["exp_avg_sq"], rtol=2**-8, atol=0)


def test_missing_and_damaged_parts_are_named(whole: Path, tmp_path: Path) -> None:
    split(whole / "checkpoint-3", tmp_path / "parts", part_mb=PART_MB)
    (tmp_path / "parts" / "weights-2.safetensors").unlink()
    damaged = tmp_path / "parts" / "optimizer-1.safetensors"
    content = bytearray(damaged.read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(ValueError, match=r"weights-2\S* is missing, optimizer-1\S* is not what was written"):
        join(tmp_path / "parts", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match=r"holds no state\.json"):
        join(whole / "checkpoint-3", tmp_path / "run")
    with pytest.raises(ValueError, match="make a checkpoint of them with"):
        read_progress(tmp_path / "parts")
    with pytest.raises(ValueError, match="not a complete checkpoint"):
        split(tmp_path, tmp_path / "more")


def test_what_a_stranger_wrote_into_the_description_does_no_harm(whole: Path, tmp_path: Path) -> None:
    split(whole / "checkpoint-3", tmp_path / "parts")
    path = tmp_path / "parts" / "state.json"
    record = json.loads(path.read_text())
    leading_out = {"../../evil": record["files"]["generator/README.md"]}
    for changes, message in (
        ({"files": leading_out}, "which no checkpoint has"),
        ({"files": {"/evil": leading_out["../../evil"]}}, "which no checkpoint has"),
        ({"parts": [{"file": "../x", "bytes": 1, "sha256": ""}]}, "which is none"),
        ({"parts": [3]}, "part 1 is not described"),
        ({"format": 2}, "format 1"),
        ({"places": {"0": ["weights-9.safetensors"]}}, "does not hold what it should"),
        ({"files": {"a.bin": {"pickled": {"tensor": {"data": 0, "type": "int3", "shape": []}}}}}, "damaged"),
        (
            {"files": {"a.bin": {"pickled": {"tensor": {"data": 0, "type": "int64", "shape": [10**15]}}}}},
            "damaged",
        ),
        ({"progress": {}}, "damaged"),
    ):
        path.write_text(json.dumps(record | changes))
        with pytest.raises(ValueError, match=message):
            join(tmp_path / "parts", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "evil").exists()


def test_the_commands_take_a_run_and_refuse_to_overwrite(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["split", str(whole), "--to", str(tmp_path / "parts"), "--checkpoint_part_mb", "0.1"])
    assert "checkpoint-6 as" in capsys.readouterr().out  # the newest
    main(["join", str(tmp_path / "parts"), "--to", str(tmp_path / "run")])
    assert "checkpoint-6" in capsys.readouterr().out
    with pytest.raises(ValueError, match="has a checkpoint-6: remove it"):
        main(["join", str(tmp_path / "parts"), "--to", str(tmp_path / "run")])
    with pytest.raises(ValueError, match="too small"):
        main(["split", str(whole), "--to", str(tmp_path / "parts"), "--checkpoint_part_mb", "0.001"])


def test_values_of_every_kind_come_back(tmp_path: Path) -> None:
    kept: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> int:
        kept.append(tensor)
        return len(kept) - 1

    value = {
        0: {"step": torch.tensor(3.0), "flags": (True, None, 1e-8, float("inf"))},
        "python": random.Random(1).getstate(),
        "numpy": np.random.RandomState(1).get_state(),
        "empty": [{}, (), np.zeros((0, 2), np.int64)],
    }
    tree = json.loads(json.dumps(to_json(value, keep), allow_nan=False))
    back = from_json(tree, kept.__getitem__)
    assert back[0]["flags"] == value[0]["flags"]
    assert torch.equal(back[0]["step"], value[0]["step"])
    assert back["python"] == value["python"]
    assert back["numpy"][0] == value["numpy"][0]
    assert np.array_equal(back["numpy"][1], value["numpy"][1])
    assert back["numpy"][1].dtype == np.uint32
    assert back["empty"][2].shape == (0, 2)
    with pytest.raises(ValueError, match="type object cannot be stored"):
        to_json([object()], keep)


def test_tensors_of_every_kind_come_back(tmp_path: Path) -> None:
    tensors = [
        torch.arange(20_000, dtype=torch.float32).reshape(2, -1),  # in several files
        torch.zeros(3, 4),
        torch.tensor([0.0, -0.0]),
        torch.full((5,), float("nan")),
        torch.zeros(0, 3, dtype=torch.int64),
        torch.tensor(True),
        torch.ones(7, dtype=torch.bfloat16),
        torch.arange(6).reshape(2, 3).t(),
        torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last),
    ]
    writer = TensorWriter()
    described = [writer.add(tensor, "weights") for tensor in tensors]
    large = writer.add(torch.tensor([1e30, 1.0]), "weights", torch.float16)
    names, places = writer.write(tmp_path, 20_000)
    assert len(places["0"]) > 3
    reader = TensorReader(tmp_path, names, json.loads(json.dumps(places)))
    for tensor, description in zip(tensors, described, strict=True):
        found = reader.find(description)
        assert found.dtype == tensor.dtype
        assert found.shape == tensor.shape
        if tensor.ndim == 4:
            assert found.stride() == tensor.stride()
        bits = [t.contiguous().reshape(-1).view(torch.uint8) for t in (found, tensor)]
        assert torch.equal(*bits)
    assert torch.equal(reader.find(large), torch.tensor([1e30, 1.0]))  # 16 bits do not hold it
    # A single value stands for as many as a stranger likes to write.
    with pytest.raises(ValueError, match=r"asks for more than 1073741824 equal values: it is damaged"):
        reader.find({**described[1], "shape": [2**15, 2**16]})


def test_adam_keeps_the_form_of_its_device() -> None:
    with torch.random.fork_rng(devices=[]):
        network = torch.nn.Linear(2, 1)
    elsewhere = torch.optim.Adam(network.parameters(), lr=1.0, foreach=True, fused=False)
    network(torch.ones(1, 2)).sum().backward()
    elsewhere.step()
    here = make_optimizer("adam", network, 0.1, (0.0, 0.9), "cpu")
    state = elsewhere.state_dict()
    here.load_state_dict(state)
    assert here.param_groups[0]["fused"] is True
    assert here.param_groups[0]["foreach"] is None
    assert (
        here.param_groups[0]["lr"] == 0.1
    )  # where it lies is of the device as well; it is set at every step
    assert state["param_groups"][0]["fused"] is False
    here.step()


def test_training_stops_after_its_seconds_and_resumes_exactly(
    drawn: Path, whole: Path, tmp_path: Path
) -> None:
    said = train_here(drawn, tmp_path / "run", *FLAGS, "--max_train_seconds", "1e-3")
    assert "at step 1 of 6" in said
    assert (tmp_path / "run" / "checkpoint-1").exists()
    assert (tmp_path / "run" / "samples" / "0000001.png").exists()
    assert not (tmp_path / "run" / "model").exists()
    flags = (*FLAGS, "--resume_from_checkpoint", "latest", "--max_train_seconds", "1000")
    assert "stopped" not in train_here(drawn, tmp_path / "run", *flags)
    expected, found = (load_file(run / "model" / "model.safetensors") for run in (whole, tmp_path / "run"))
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_two_processes_stop_at_the_same_step(tmp_path: Path) -> None:
    """They agree at every --logging_steps."""
    write_figures(tmp_path / "drawn", 8, size=(32, 32))
    flags = ["--perceptual_net", "none", "--max_train_steps", "6", "--logging_steps", "2"]
    train(tmp_path / "drawn", tmp_path / "run", *flags, "--max_train_seconds", "1e-3", processes=2)
    assert read_progress(tmp_path / "run" / "checkpoint-2")["step"] == 2
    assert not (tmp_path / "run" / "model").exists()
    split(tmp_path / "run" / "checkpoint-2", tmp_path / "parts")
    joined = join(tmp_path / "parts", tmp_path / "joined")
    assert {path.name for path in joined.glob("random_states_*.pkl")} == {
        f"random_states_{i}.pkl" for i in (0, 1)
    }
