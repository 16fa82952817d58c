"""Training on for pictures twice as large, with a perceptual loss on windows, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from groupdnet_hub import GroupDNet, GroupDNetConfig
from groupdnet_hub.baselines import build_system, system_config
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.figures import write_figures
from tests.helpers.script_runs import run_script
from tests.helpers.shared_data import shared_folder
from tests.helpers.train_runs import SCRIPT, train, train_flags

pytest.importorskip("accelerate")
from groupdnet_hub.training.config import parse_train_config
from tests.helpers.command_lines import refusal


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    write_figures(folder, 4, size=(64, 64))
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small") / "model"
    GroupDNet(GroupDNetConfig.for_labels(FIGURE_LABELS, (32, 32), 4)).save_pretrained(folder)
    return folder


def test_a_model_grows_and_is_trained_on(drawn: Path, small: Path, tmp_path: Path) -> None:
    flags = [
        "--perceptual_net",
        "none",
        "--diffaugment",
        "--max_train_steps",
        "2",
        "--discriminator_width",
        "8",
    ]
    first, second = tmp_path / "first", tmp_path / "second"
    train(drawn, first, "--pretrained_model_name_or_path", str(small), "--grow", *flags)
    grown = GroupDNet.from_pretrained(first / "model")
    assert grown.config.image_size == (64, 64)
    assert grown.config.discriminator_width == 8
    assert len(grown.config.blocks) == len(GroupDNet.from_pretrained(small).config.blocks) + 1
    train(drawn, second, "--pretrained_model_name_or_path", str(first / "model"), *flags)
    assert GroupDNet.from_pretrained(second / "model").config == grown.config


def test_a_run_with_windows_goes_on_as_if_it_had_not_stopped(drawn: Path, tmp_path: Path) -> None:
    flags = ["--perceptual_net", "vgg16", "--perceptual_crop", "24", "--class_balance", "0.5"]
    flags += ["--recoloured_classes", "top-clothes", "hair"]
    flags += ["--random_shift", "0.2", "--checkpointing_steps", "2"]
    flags += ["--perceptual_weights", str(shared_folder("weights") / "vgg16_features.safetensors")]
    train(drawn, tmp_path / "whole", *flags, "--max_train_steps", "4", "--lr_decay_start", "1")
    train(drawn, tmp_path / "halves", *flags, "--max_train_steps", "2", "--lr_decay_start", "1")
    last = [
        "--max_train_steps",
        "4",
        "--lr_decay_start",
        "1",
        "--resume_from_checkpoint",
        "latest",
        "--allow_changes",
        "max_train_steps",
    ]
    train(drawn, tmp_path / "halves", *flags, *last)
    whole, halves = (GroupDNet.from_pretrained(tmp_path / name / "model") for name in ("whole", "halves"))
    assert all(a.equal(b) for a, b in zip(whole.parameters(), halves.parameters(), strict=True))
    assert whole.card_facts["perceptual_crop"] == 24
    assert whole.card_facts["class_balance"] == 0.5
    assert whole.card_facts["random_shift"] == 0.2
    assert (
        "hues were turned at random | top-clothes, hair |" in (tmp_path / "whole/model/README.md").read_text()
    )


def test_only_a_groupdnet_grows(drawn: Path, tmp_path: Path) -> None:
    build_system(system_config("SPADE", FIGURE_LABELS, (32, 32), 4)).save_pretrained(tmp_path / "spade")
    flags = ["--pretrained_model_name_or_path", str(tmp_path / "spade"), "--grow", "--perceptual_net", "none"]
    done = run_script(SCRIPT, train_flags(drawn, tmp_path / "run", *flags))
    assert done.returncode != 0
    assert "--grow makes a larger GroupDNet: this is a SPADE" in done.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--grow"], "--grow needs --pretrained_model_name_or_path"),
        (["--perceptual_crop", "0"], "--perceptual_crop is 0; it must be at least 1"),
        (["--perceptual_crop", "64", "--perceptual_net", "none"], "no effect with --perceptual_net none"),
        (["--class_balance", "1.5"], "--class_balance is 1.5; it must lie from 0 to 1"),
        (["--prior_codes", "-1"], "--prior_codes is -1; it must be 0 or more"),
        (["--prior_codes", "8", "--prior_rank", "2"], "two priors: give one of them"),
        (["--recoloured_share", "2"], "--recoloured_share is 2.0; it must lie from 0 to 1"),
        (["--random_shift", "1"], "--random_shift is 1.0; it must lie from 0 up to less than 1"),
        (["--class_balance", "-0.1"], "--class_balance is -0.1; it must lie from 0 to 1"),
    ],
)
def test_flags_that_do_not_fit(drawn: Path, flags: list[str], message: str) -> None:
    assert message in refusal(parse_train_config, ["--train_data_dir", str(drawn), *flags])
