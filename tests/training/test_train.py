"""The training script as a user starts it: drawn people, a few steps, checkpoints, resume, a model that loads."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from groupdnet_hub import GroupDNet, GroupDNetPipeline
from groupdnet_hub.figures import write_figures
from tests.helpers.checkpoints import write_record
from tests.helpers.command_lines import refusal
from tests.helpers.shared_data import shared_folder

pytest.importorskip("accelerate")
from groupdnet_hub.training.config import parse_train_config
from groupdnet_hub.training.schedules import kl_weight_at, learning_rate_factor
from groupdnet_hub.training.state.checkpoints import find_checkpoint, list_checkpoints, read_progress
from tests.helpers.train_runs import command_line, logged, start_training, train


def test_training_survives_a_kill_and_ends_with_a_model(
    drawn: Path, tmp_path: Path, random_vgg16: Path
) -> None:
    """Six steps at once, and six steps with a kill -9 on the way, give the same model bit for bit."""
    flags = [
        "--perceptual_net",
        "vgg16",
        "--perceptual_weights",
        str(random_vgg16),
        "--random_flip",
        "--use_ema",
    ]
    flags += ["--max_train_steps", "6", "--checkpointing_steps", "2", "--validation_steps", "3"]
    flags += ["--logging_steps", "1"]
    train(drawn, tmp_path / "whole", *flags)

    running = start_training(drawn, tmp_path / "killed", *flags)
    while running.poll() is None and not list_checkpoints(tmp_path / "killed"):
        time.sleep(0.05)
    running.kill()
    assert list_checkpoints(tmp_path / "killed")
    train(
        drawn,
        tmp_path / "killed",
        *flags,
        "--resume_from_checkpoint",
        "latest",
        "--checkpoints_total_limit",
        "1",
    )

    whole = load_file(tmp_path / "whole" / "model" / "model.safetensors")
    resumed = load_file(tmp_path / "killed" / "model" / "model.safetensors")
    different = [key for key, value in whole.items() if not torch.equal(resumed[key], value)]
    assert different == []

    assert [p.name for p in list_checkpoints(tmp_path / "whole")] == [f"checkpoint-{i}" for i in (2, 4, 6)]
    assert [p.name for p in list_checkpoints(tmp_path / "killed")] == ["checkpoint-6"]
    assert not list((tmp_path / "whole").glob(".partial*"))
    grid = Image.open(tmp_path / "whole" / "samples" / "0000003.png")
    assert grid.size == (8 * 32, 8 * 32)
    assert np.asarray(grid).std() > 10

    facts = json.loads((tmp_path / "whole" / "model" / "training.json").read_text())
    assert facts["steps"] == 6
    assert facts["perceptual_net"] == "vgg16"
    for folder in (tmp_path / "whole" / "model", tmp_path / "whole" / "checkpoint-4" / "generator"):
        pipeline = GroupDNetPipeline.from_pretrained(folder)
        label = np.zeros((32, 32), dtype=np.int64)
        label[8:24, 8:24] = 4
        assert pipeline.sample(label, seed=0).image.size == (32, 32)


def test_a_stream_goes_on_where_it_stopped(drawn: Path, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    flags = ["--dataset_name", "imagefolder", "--streaming", "--random_flip", "--perceptual_net", "none"]
    flags += ["--max_train_steps", "6", "--checkpointing_steps", "3"]
    train(drawn, tmp_path / "whole", *flags)
    shutil.copytree(tmp_path / "whole" / "checkpoint-3", tmp_path / "stopped" / "checkpoint-3")
    train(drawn, tmp_path / "stopped", *flags, "--resume_from_checkpoint", "latest")
    whole, stopped = (
        load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "stopped")
    )
    assert [key for key, value in whole.items() if not torch.equal(stopped[key], value)] == []


def test_fine_tuning_starts_from_the_given_weights(drawn: Path, tmp_path: Path) -> None:
    flags = ["--perceptual_net", "none", "--max_train_steps", "1"]
    command, environment = command_line(drawn, tmp_path / "first", *flags)
    launcher = [command[0], "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1"]
    subprocess.run([*launcher, *command[1:]], env=environment, check=True, timeout=600)
    start = tmp_path / "first" / "model"
    train(
        drawn,
        tmp_path / "second",
        *flags,
        "--pretrained_model_name_or_path",
        str(start),
        "--learning_rate",
        "0",
    )
    before, after = (
        dict(GroupDNet.from_pretrained(p / "model").named_parameters())
        for p in (tmp_path / "first", tmp_path / "second")
    )
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("accumulation", ["1", "2"])
def test_two_processes_equal_one_with_the_whole_batch(tmp_path: Path, accumulation: str) -> None:
    """Plain SGD, because Adam makes steps of rounding errors; the noise and the flips are the same ones."""
    write_figures(tmp_path / "drawn", 16, size=(32, 32))
    flags = ["--perceptual_net", "none", "--learning_rate", "2e-4", "--random_flip"]
    flags += ["--discr_learning_rate", "2e-4", "--max_train_steps", "5"]
    flags += [
        "--gradient_accumulation_steps",
        accumulation,
        "--logging_steps",
        "1",
        "--report_to",
        "tensorboard",
    ]
    start, one, two = (tmp_path / name for name in ("start", "one", "two"))
    train(tmp_path / "drawn", start, *flags, "--learning_rate", "0", "--max_train_steps", "1", sgd=True)
    train(tmp_path / "drawn", one, *flags, "--train_batch_size", "8", sgd=True)
    train(tmp_path / "drawn", two, *flags, "--train_batch_size", "4", processes=2, sgd=True)
    weights, of_two, before = (load_file(run / "model" / "model.safetensors") for run in (one, two, start))
    moved = max(float((weights[k] - before[k]).abs().max()) for k in weights if k.endswith("weight"))
    assert moved > 4e-4
    for key, value in weights.items():
        torch.testing.assert_close(of_two[key], value, rtol=1e-4, atol=1e-4, msg=key)
    if accumulation == "1":  # with more, what is logged is the last batch's part
        losses = logged(one)
        assert set(losses) >= {"adversarial", "feature_matching", "kl", "discriminator_fake"}
        assert all(len(values) == 5 for values in losses.values())
        for name, values in logged(two).items():
            assert values == pytest.approx(losses[name], abs=1e-4, rel=1e-4), name


def written_checkpoint(folder: Path, step: int) -> Path:
    """A checkpoint folder as ``save_checkpoint`` leaves it, with any contents."""
    target = folder / f"checkpoint-{step}"
    (target / "generator").mkdir(parents=True)
    (target / "optimizer.bin").write_bytes(bytes(range(256)) * 8)
    (target / "generator" / "model.safetensors").write_bytes(b"weights" * 100)
    write_record(target, {"step": step})
    return target


def test_half_written_checkpoints_are_never_taken(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-3").mkdir()  # no record: it was not finished
    (tmp_path / ".partial-checkpoint-9").mkdir()
    assert list_checkpoints(tmp_path) == []
    target = written_checkpoint(tmp_path, 5)
    assert read_progress(target) == {"step": 5}
    random = np.random.default_rng(0)
    for name in ("optimizer.bin", "generator/model.safetensors", "progress.json"):
        whole = (target / name).read_bytes()
        for cut in random.integers(0, len(whole), 20):
            (target / name).write_bytes(whole[:cut])
            with pytest.raises(ValueError, match="not a complete checkpoint"):
                read_progress(target)
        (target / name).write_bytes(whole)
    assert read_progress(target) == {"step": 5}
    (target / "optimizer.bin").unlink()
    with pytest.raises(ValueError, match=r"optimizer\.bin is missing"):
        read_progress(target)


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    written_checkpoint(tmp_path, 5)
    newest = written_checkpoint(tmp_path, 10)
    random = np.random.default_rng(1)
    files = [path for path in sorted(newest.rglob("*")) if path.is_file()]
    for _ in range(50):
        damaged = files[random.integers(len(files))]
        whole = damaged.read_bytes()
        damaged.write_bytes(whole[: random.integers(len(whole))])
        told: list[str] = []
        found = find_checkpoint(tmp_path, "latest", told.append)
        assert found is not None
        assert (found.folder.name, found.progress) == ("checkpoint-5", {"step": 5})
        assert "passed over" in told[0]
        damaged.write_bytes(whole)
    found = find_checkpoint(tmp_path, "latest", pytest.fail)
    assert found is not None
    assert found.progress == {"step": 10}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "name the data"),
        (["--train_data_dir", "/nowhere"], "no folder /nowhere"),
        (["--train_data_dir", ".", "/nowhere"], "no folder /nowhere"),
        (["--train_data_dir", ".", ".", "--dataset_name", "imagefolder"], "one --train_data_dir"),
        (["--dataset_name", "user/data"], "--classes"),
        (
            ["--train_data_dir", ".", "--preset", "ade20k", "--config", __file__],
            "only one of --preset, --config",
        ),
        (["--train_data_dir", ".", "--perceptual_weights", "absent.safetensors"], "absent.safetensors"),
        (["--train_data_dir", ".", "--kl_warmup_steps", "9"], "--kl_weight_start"),
        (["--train_data_dir", ".", "--train_batch_size", "0"], "at least 1"),
        (["--train_data_dir", ".", "--lr_decay_start", "2"], "fraction of the steps"),
        (["--train_data_dir", ".", "--resume_from_checkpoint", "absent"], "no folder absent"),
    ],
)
def test_wrong_combinations_are_refused_before_anything_is_loaded(flags: list[str], message: str) -> None:
    assert message in refusal(parse_train_config, flags)


def test_flags_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "flags.yaml"
    file.write_text(f"train_data_dir: {tmp_path}\nlearning_rate: 0.5\nresolution: [64, 32]\n")
    settings = parse_train_config(["--args_file", str(file), "--learning_rate", "0.25"])
    assert (settings.learning_rate, settings.resolution) == (0.25, (64, 32))
    assert settings.train_data_dir == (str(tmp_path),)
    file.write_text("learning_rat: 0.5\n")
    assert "learning_rat" in refusal(parse_train_config, ["--args_file", str(file)])


def test_schedules() -> None:
    facts = json.loads((shared_folder("parity") / "misc.json").read_text())["lr_used_in_epoch_deepfashion"][
        "G"
    ]
    # The authors' rate is that of whole epochs; it is at full height up to and with epoch 60 of 100.
    ours = [1e-4 * learning_rate_factor(epoch, 60, 100) for epoch in range(100)]
    assert np.allclose(ours, facts, rtol=1e-6)
    assert kl_weight_at(0, 0.1, 0.5, 10) == pytest.approx(0.1)
    assert kl_weight_at(5, 0.1, 0.5, 10) == pytest.approx(0.3)
    assert kl_weight_at(99, 0.1, 0.5, 10) == 0.5
    assert kl_weight_at(0, None, 0.5, 10) == 0.5
