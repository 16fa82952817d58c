"""The per-pixel discriminator from the command line: a run, a resume, what the card says, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from groupdnet_hub import GroupDNet, GroupDNetConfig
from groupdnet_hub.baselines import build_system, system_config
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from tests.helpers.script_runs import run_script
from tests.helpers.train_runs import SCRIPT, train, train_flags

pytest.importorskip("accelerate")
from groupdnet_hub.training.build import build_model, objective_of
from groupdnet_hub.training.config import parse_train_config
from tests.helpers.command_lines import refusal, train_settings


def test_a_run_goes_on_as_if_it_had_not_stopped(drawn: Path, tmp_path: Path) -> None:
    flags = ["--perceptual_net", "none", "--diffaugment", "--discriminator", "segmentation"]
    flags += ["--discriminator_width", "4", "--redraw_weight", "10", "--lr_decay_start", "1"]
    flags += ["--checkpointing_steps", "2", "--logging_steps", "1"]
    train(drawn, tmp_path / "whole", *flags, "--max_train_steps", "4")
    train(drawn, tmp_path / "halves", *flags, "--max_train_steps", "2")
    last = [
        "--max_train_steps",
        "4",
        "--resume_from_checkpoint",
        "latest",
        "--allow_changes",
        "max_train_steps",
    ]
    train(drawn, tmp_path / "halves", *flags, *last)
    for name in ("model/model.safetensors", "checkpoint-4/model_1.safetensors"):
        whole, halves = (load_file(tmp_path / run / name) for run in ("whole", "halves"))
        assert [key for key, value in whole.items() if not torch.equal(halves[key], value)] == []
    model = GroupDNet.from_pretrained(tmp_path / "whole" / "model")
    assert (model.config.discriminator, model.config.discriminator_width) == ("segmentation", 4)
    assert model.card_facts["labelmix_weight"] == 10
    assert "feature_matching" not in model.card_facts["loss_weights"]
    card = (tmp_path / "whole" / "model" / "README.md").read_text()
    assert "| Discriminator | segmentation of pixels |" in card

    refused = [*flags, "--discriminator", "multiscale", "--max_train_steps", "6"]
    refused += ["--resume_from_checkpoint", "latest", "--allow_changes", "max_train_steps"]
    done = run_script(SCRIPT, train_flags(drawn, tmp_path / "halves", *refused))
    assert done.returncode != 0
    assert "holds another network: discriminator was 'segmentation' and is 'multiscale' now" in done.stderr


def chosen(tmp_path: Path, *flags: str) -> GroupDNetConfig:
    """The configuration of the model that a command line names."""
    size = () if {"--pretrained_model_name_or_path", "--config"} & set(flags) else ("--resolution", "32")
    settings = train_settings(tmp_path, *size, *flags)
    return build_model(settings, FIGURE_LABELS)[0].config


def test_a_new_discriminator_has_a_width_of_its_own(tmp_path: Path) -> None:
    start = tmp_path / "model"
    GroupDNet(GroupDNetConfig.for_labels(FIGURE_LABELS, (32, 32), 4, discriminator_width=8)).save_pretrained(
        start
    )
    for flags in (
        ["--pretrained_model_name_or_path", str(start)],
        ["--config", str(start / "config.json")],
    ):
        kept = chosen(tmp_path, *flags)
        assert (kept.discriminator, kept.discriminator_width) == ("multiscale", 8)
        same = chosen(tmp_path, *flags, "--discriminator", "multiscale")
        assert (same.discriminator, same.discriminator_width) == ("multiscale", 8)
        other = chosen(tmp_path, *flags, "--discriminator", "segmentation")
        assert (other.discriminator, other.discriminator_width) == ("segmentation", 32)
    fresh = chosen(tmp_path, "--width", "4", "--discriminator", "segmentation")
    assert (fresh.discriminator, fresh.discriminator_width) == ("segmentation", 32)
    usual = chosen(tmp_path, "--width", "4")
    assert (usual.discriminator, usual.discriminator_width) == ("multiscale", 64)
    spade = chosen(tmp_path, "--width", "4", "--model", "SPADE", "--discriminator", "segmentation")
    assert objective_of(spade) == "segmentation"


@pytest.mark.parametrize(
    ("flags", "weights"),
    [
        ([], (0.0, 10.0)),
        (["--feature_matching_weight", "5"], (5.0, 10.0)),
        (["--labelmix_weight", "0"], (0.0, 0.0)),
    ],
)
def test_weights_are_those_of_the_discriminators_paper(
    flags: list[str], weights: tuple[float, float]
) -> None:
    settings = train_settings(".", "--discriminator", "segmentation", *flags).resolved("segmentation", 1)
    assert (settings.feature_matching_weight, settings.labelmix_weight) == weights
    assert train_settings(".").resolved("hinge", 1).feature_matching_weight == 10


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--labelmix_weight", "5"], "--labelmix_weight needs --discriminator segmentation"),
        (["--discriminator", "segmentation", "--labelmix_weight", "-1"], "is -1.0; it must be 0 or more"),
        (["--discriminator", "segmentation", "--model", "pix2pixHD"], "does not fit --model pix2pixHD"),
        (["--discriminator", "segmentation", "--model", "BicycleGAN"], "does not fit --model BicycleGAN"),
        (["--discriminator", "segmentation", "--model", "DSCGAN"], "does not fit --model DSCGAN"),
    ],
)
def test_flags_that_do_not_fit(flags: list[str], message: str) -> None:
    assert message in refusal(parse_train_config, ["--train_data_dir", ".", *flags])


def test_a_model_that_it_does_not_fit() -> None:
    config = system_config("DSCGAN", FIGURE_LABELS, (32, 32), 4, discriminator="segmentation")
    with pytest.raises(ValueError, match="segmentation does not fit a DSCGAN"):
        objective_of(build_system(config).config)
    settings = train_settings(".", "--config", __file__, "--labelmix_weight", "5")
    with pytest.raises(ValueError, match="this model's discriminator is multi-scale"):
        settings.resolved("hinge", 1)
