"""The training script with a data set from a Hub and its model uploaded to it, on a Hub that runs on this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, load_file

from groupdnet_hub import GroupDNet, GroupDNetConfig
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.figures import write_figures
from groupdnet_hub.models.discriminator import MultiScaleDiscriminator
from groupdnet_hub.training.state.discriminator_state import weights_to_save
from tests.helpers.fake_hub import FakeHub
from tests.helpers.train_runs import command_line

pytest.importorskip("datasets")


def run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("how", ["downloaded", "streamed"])
def test_from_the_hub_and_back(tmp_path: Path, how: str) -> None:
    people = tmp_path / "people"
    write_figures(people, 8, size=(32, 32))
    hub = FakeHub()
    files = {p.relative_to(people).as_posix(): p.read_bytes() for p in people.rglob("*") if p.is_file()}
    hub.add("datasets/user/people", files)
    flags = ["--dataset_name", "user/people", "--classes", str(people / "classes.json")]
    flags += ["--perceptual_net", "none", "--max_train_steps", "5", "--random_flip"]
    flags += ["--push_to_hub", "--hub_model_id", "user/drawn-people", "--hub_token", "hf_given"]
    flags += ["--streaming"] if how == "streamed" else ["--save_discriminator"]
    command, environment = command_line(None, tmp_path / "run", *flags)
    with hub.serving():
        done = run(command, environment | hub.environment(tmp_path / "home"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert set(hub.writers) == {"Bearer hf_given"}  # HF_TOKEN is another one
    assert not any("hf_given" in text for text in texts_under(tmp_path / "run"))
    pushed = hub.repositories["user/drawn-people"]["main"]
    files = {"README.md", "config.json", "model.safetensors", "training.json"}
    assert set(pushed) == files | (set() if how == "streamed" else {"discriminator.safetensors"})
    # Not byte by byte: the order of a header's entries changes from one save to the next.
    weights = load(pushed["model.safetensors"])
    saved = load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert weights.keys() == saved.keys()
    assert all(torch.equal(value, saved[key]) for key, value in weights.items())
    facts = GroupDNet.from_pretrained(tmp_path / "run" / "model").card_facts
    assert facts["data"] == "user/people"
    assert facts["training_pictures"] == (8 if how == "downloaded" else None)


def texts_under(folder: Path) -> list[str]:
    return [path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file()]


def test_a_wrong_token_is_told_before_training(tmp_path: Path) -> None:
    write_figures(tmp_path / "people", 2, size=(32, 32))
    flags = ["--perceptual_net", "none", "--max_train_steps", "1", "--hub_token", "hf_wrong"]
    flags += ["--push_to_hub", "--hub_model_id", "user/drawn-people"]
    command, environment = command_line(tmp_path / "people", tmp_path / "run", *flags)
    hub = FakeHub()
    with hub.serving():
        done = run(command, environment | hub.environment(tmp_path / "home"))
    assert done.returncode == 1
    assert "--push_to_hub: cannot upload to user/drawn-people" in done.stderr
    assert "--hub_token" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.slow
def test_a_discriminator_of_the_hub_is_taken_up(tmp_path: Path) -> None:
    write_figures(tmp_path / "people", 4, size=(32, 32))
    config = GroupDNetConfig.for_labels(FIGURE_LABELS, (32, 32), 4, discriminator_width=4)
    model = GroupDNet(config)
    hub = FakeHub()
    for name in ("user/alone", "user/pair"):
        folder = tmp_path / name
        model.save_pretrained(folder)
        hub.add(name, {path.name: path.read_bytes() for path in folder.iterdir()})
        model.discriminator_to_save = weights_to_save(MultiScaleDiscriminator(config), config)
    flags = ["--perceptual_net", "none", "--max_train_steps", "1", "--pretrained_model_name_or_path"]
    with hub.serving():
        for name, said in (
            ("user/alone", "starts fresh: there is no discriminator.safetensors with user/alone"),
            ("user/pair", "the discriminator is taken up from user/pair"),
        ):
            command, environment = command_line(tmp_path / "people", tmp_path / "runs" / name, *flags, name)
            done = run(command, environment | hub.environment(tmp_path / "home"))
            assert done.returncode == 0, done.stderr[-3000:]
            assert said in done.stdout
