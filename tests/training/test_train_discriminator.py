"""The discriminator of a run from the command line: saved, taken up, penalised, warmed up."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from groupdnet_hub import GroupDNet, LabelSet
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.figures import write_figures
from groupdnet_hub.hub.discriminator_file import DISCRIMINATOR_FILE
from tests.helpers.train_runs import logged, train, train_here

pytest.importorskip("accelerate")
from groupdnet_hub.training.config import parse_train_config
from tests.helpers.command_lines import refusal

SMALL = ("--perceptual_net", "none", "--discriminator_width", "4", "--max_train_steps", "4")
# Whatever the discriminator can be told to do at once.
ALL = ("--discriminator_norm", "none", "--r1_weight", "1", "--r1_interval", "3", "--save_discriminator")
ALL += ("--discriminator_warmup_steps", "1", "--adversarial_warmup_steps", "2")
ALL += ("--diffaugment", "--diffaugment_target", "0.01", "--diffaugment_rise", "40")
ALL += ("--discriminator_crop", "16")


@pytest.fixture(scope="module")
def saved(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and its discriminator of a few steps."""
    output = tmp_path_factory.mktemp("saved")
    train_here(drawn, output, *SMALL, "--discriminator_norm", "none", "--save_discriminator")
    return output / "model"


def differing(a: Path, b: Path) -> list[str]:
    """Names of tensors that differ between two files."""
    first, second = load_file(a), load_file(b)
    assert set(first) == set(second)
    return [key for key, value in first.items() if not torch.equal(second[key], value)]


def test_a_run_with_every_flag_resumes_as_if_it_had_not_stopped(drawn: Path, tmp_path: Path) -> None:
    flags = (*SMALL, *ALL, "--checkpointing_steps", "2", "--lr_decay_start", "1")
    train_here(drawn, tmp_path / "whole", *flags)
    train_here(drawn, tmp_path / "halves", *flags, "--max_train_steps", "2")
    train_here(
        drawn,
        tmp_path / "halves",
        *flags,
        "--resume_from_checkpoint",
        "latest",
        "--allow_changes",
        "max_train_steps",
    )
    for name in ("model.safetensors", DISCRIMINATOR_FILE):
        assert differing(*(tmp_path / half / "model" / name for half in ("whole", "halves"))) == []
    # A checkpoint holds it as well, and what it holds is the discriminator that was trained.
    checkpoint = tmp_path / "whole" / "checkpoint-4"
    assert differing(checkpoint / "generator" / DISCRIMINATOR_FILE, checkpoint / "model_1.safetensors") == []


def test_two_processes_equal_one_with_the_whole_batch(tmp_path: Path) -> None:
    write_figures(tmp_path / "drawn", 16, size=(32, 32))
    flags = (*SMALL, *ALL, "--learning_rate", "2e-4", "--discr_learning_rate", "2e-3")
    flags += ("--gradient_accumulation_steps", "2", "--r1_weight", "100", "--discriminator_norm", "instance")
    one, two = tmp_path / "one", tmp_path / "two"
    train(tmp_path / "drawn", one, *flags, "--train_batch_size", "8", sgd=True)
    train(tmp_path / "drawn", two, *flags, "--train_batch_size", "4", processes=2, sgd=True)
    for name in ("model.safetensors", DISCRIMINATOR_FILE):
        of_two = load_file(two / "model" / name)
        for key, value in load_file(one / "model" / name).items():
            torch.testing.assert_close(of_two[key], value, rtol=1e-4, atol=1e-4, msg=key)


def test_the_generator_waits_and_its_adversarial_losses_rise(drawn: Path, tmp_path: Path) -> None:
    flags = (*SMALL, "--max_train_steps", "6", "--logging_steps", "1", "--report_to", "tensorboard")
    flags += ("--checkpointing_steps", "3", "--adversarial_weight", "2", "--learning_rate", "1e-3")
    warm = ("--discriminator_warmup_steps", "3", "--adversarial_warmup_steps", "2", "--save_discriminator")
    train_here(drawn, tmp_path / "run", *flags, *warm)
    start = tmp_path / "start"
    train_here(drawn, start, *SMALL, "--learning_rate", "0", "--max_train_steps", "1", "--save_discriminator")
    waiting = dict(
        GroupDNet.from_pretrained(tmp_path / "run" / "checkpoint-3" / "generator").named_parameters()
    )
    first = dict(GroupDNet.from_pretrained(start / "model").named_parameters())
    assert all(torch.equal(value, first[name]) for name, value in waiting.items())
    discriminators = (tmp_path / "run/checkpoint-3/generator", start / "model")
    assert differing(*(folder / DISCRIMINATOR_FILE for folder in discriminators))
    last = dict(GroupDNet.from_pretrained(tmp_path / "run" / "model").named_parameters())
    assert any(not torch.equal(value, first[name]) for name, value in last.items())
    values = logged(tmp_path / "run")
    assert len(values["discriminator_real"]) == 6
    # Nothing while the generator waits, then a weight of 0, half, and all.
    assert len(values["feature_matching"]) == 3
    assert values["feature_matching"][0] == 0 == values["adversarial"][0]
    assert 1.5 < values["feature_matching"][2] / values["feature_matching"][1] < 2.5


def test_training_and_validation_pictures_are_judged_side_by_side(drawn: Path, tmp_path: Path) -> None:
    flags = (*SMALL, "--max_train_steps", "2", "--validation_steps", "1", "--report_to", "tensorboard")
    means = {"discriminator_on_train", "discriminator_on_validation", "discriminator_gap"}
    train_here(drawn, tmp_path / "without", *flags)
    assert not means & set(logged(tmp_path / "without"))
    shutil.copytree(drawn, tmp_path / "drawn")
    write_figures(tmp_path / "drawn", 3, size=(32, 32), split="validation")
    train_here(tmp_path / "drawn", tmp_path / "with", *flags)
    found = logged(tmp_path / "with")
    # At both steps, and at the end.
    assert [len(found[name]) for name in means] == [3, 3, 3]
    difference = found["discriminator_on_train"][0] - found["discriminator_on_validation"][0]
    assert found["discriminator_gap"][0] == pytest.approx(difference, abs=1e-6)


def test_a_saved_discriminator_is_taken_up_at_twice_the_size(
    drawn: Path, saved: Path, tmp_path: Path
) -> None:
    """With a rate of zero it comes out as it went in; singular vectors follow what is already theirs."""
    flags = (*SMALL, "--max_train_steps", "1", "--discr_learning_rate", "0", "--save_discriminator")
    flags += ("--pretrained_model_name_or_path", str(saved))
    said = train_here(drawn, tmp_path / "again", *flags)
    assert f"the discriminator is taken up from {saved}" in said
    said = train_here(drawn, tmp_path / "grown", *flags, "--grow")
    assert f"the discriminator is taken up from {saved}" in said
    assert GroupDNet.from_pretrained(tmp_path / "grown" / "model").config.image_size == (64, 64)
    for name in ("again", "grown"):
        changed = differing(saved / DISCRIMINATOR_FILE, tmp_path / name / "model" / DISCRIMINATOR_FILE)
        assert all(key.endswith(("weight_u", "weight_v")) for key in changed)


def test_a_fresh_one_says_why(drawn: Path, saved: Path, tmp_path: Path) -> None:
    flags = ("--perceptual_net", "none", "--max_train_steps", "1")
    first = tmp_path / "first"
    start = ("--pretrained_model_name_or_path", str(saved))
    said = train_here(drawn, first, *flags, *start, "--discriminator_width", "8")
    assert "starts fresh" in said
    assert "width is 8 here and 4 there" in said
    assert not (first / "model" / DISCRIMINATOR_FILE).exists()
    again = ("--overwrite_output_dir", "--discriminator_norm", "instance")
    said = train_here(drawn, first, *flags, *start, *again)
    assert "norm is 'instance' here and 'none' there" in said
    said = train_here(
        drawn, tmp_path / "second", *flags, "--pretrained_model_name_or_path", str(first / "model")
    )
    assert f"starts fresh: there is no {DISCRIMINATOR_FILE} with" in said


def test_a_run_that_does_not_save_it_leaves_no_older_one(drawn: Path, saved: Path, tmp_path: Path) -> None:
    flags = (*SMALL, "--max_train_steps", "1", "--pretrained_model_name_or_path", str(saved))
    train_here(drawn, tmp_path, *flags, "--save_discriminator")
    assert (tmp_path / "model" / DISCRIMINATOR_FILE).is_file()
    train_here(drawn, tmp_path, *flags, "--overwrite_output_dir")
    assert not (tmp_path / "model" / DISCRIMINATOR_FILE).exists()


def test_classes_are_carried_over_by_name(drawn: Path, saved: Path, tmp_path: Path) -> None:
    names = (*FIGURE_LABELS.names[1:], FIGURE_LABELS.names[0], "bag", "hat")
    labels = LabelSet.from_names(names)
    labels.to_file(tmp_path / "classes.json")
    flags = ("--perceptual_net", "none", "--max_train_steps", "1", "--discr_learning_rate", "0")
    flags += ("--pretrained_model_name_or_path", str(saved), "--init_class", "bag=top-clothes")
    flags += ("--classes", str(tmp_path / "classes.json"), "--save_discriminator")
    said = train_here(drawn, tmp_path / "run", *flags)
    assert "with its 8 classes carried over by name; zero for hat" in said
    before = load_file(saved / DISCRIMINATOR_FILE)["scales.1.first.weight"]
    after = load_file(tmp_path / "run" / "model" / DISCRIMINATOR_FILE)["scales.1.first.weight"]
    assert torch.equal(after[:, :7], before[:, 1:8])
    assert torch.equal(after[:, 7], before[:, 0])
    assert torch.equal(after[:, 8], before[:, FIGURE_LABELS.id_of("top-clothes")])
    assert not after[:, 9].any()
    assert torch.equal(after[:, 10:], before[:, 8:])


def test_a_discriminator_without_norms_takes_none(drawn: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--discriminator_norm has no effect: a per-pixel discriminator"):
        train_here(drawn, tmp_path, *SMALL, "--discriminator", "segmentation", "--discriminator_norm", "none")


def test_a_damaged_one_is_refused(drawn: Path, saved: Path, tmp_path: Path) -> None:
    GroupDNet.from_pretrained(saved).save_pretrained(tmp_path / "model")
    whole = load_file(saved / DISCRIMINATOR_FILE)
    save_file(whole, tmp_path / "model" / DISCRIMINATOR_FILE)
    flags = (*SMALL, "--pretrained_model_name_or_path", str(tmp_path / "model"))
    with pytest.raises(ValueError, match=f"^{DISCRIMINATOR_FILE} of .* does not describe its discriminator"):
        train_here(drawn, tmp_path / "run", *flags)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--r1_weight", "-1"], "--r1_weight is -1.0; it must be 0 or more"),
        (["--r1_interval", "0"], "--r1_interval is 0; it must be at least 1"),
        (["--discriminator_warmup_steps", "-1"], "--discriminator_warmup_steps is -1; it must be 0 or more"),
        (["--adversarial_warmup_steps", "-1"], "--adversarial_warmup_steps is -1; it must be 0 or more"),
        (["--diffaugment_target", "0.6"], "--diffaugment_target needs --diffaugment"),
        (["--diffaugment", "--diffaugment_target", "1"], "--diffaugment_target is 1.0; it must lie between"),
        (["--diffaugment_rise", "0"], "--diffaugment_rise is 0; it must be at least 1"),
        (["--discriminator_crop", "0"], "--discriminator_crop is 0; it must be at least 1"),
        (["--discriminator_width", "0"], "--discriminator_width is 0; it must be at least 1"),
    ],
)
def test_flags_that_do_not_fit(drawn: Path, flags: list[str], message: str) -> None:
    assert message in refusal(parse_train_config, ["--train_data_dir", str(drawn), *flags])
