"""Every setting of a script with checkpoints says what a resumed run does with it, and which flags have no effect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from groupdnet_hub.runs.resuming import ResumeSettings, changeable, compared_values
from groupdnet_hub.runs.settings import option

pytest.importorskip("accelerate")
pytest.importorskip("transformers")
from groupdnet_hub.parser.config import ParserTrainConfig, parse_parser_config
from groupdnet_hub.training.config import TrainConfig, parse_train_config
from tests.helpers.command_lines import refusal, train_settings


@dataclass(frozen=True, kw_only=True)
class NewConfig(ResumeSettings):
    """Settings of which one was just added."""

    added: float = option(1.0, "a new flag")
    file: str | None = option(None, "a file", on_resume="file_name")
    folder: str = option(".", "where it writes", on_resume="free")


def test_a_new_flag_matters_until_it_is_decided_otherwise() -> None:
    settings = NewConfig(resume_from_checkpoint="latest", allow_changes=("added", "data"), file="/a/b.bin")
    assert compared_values(settings) == {"added": 1.0, "file": "b.bin"}
    assert changeable(settings) == ("data", "added", "file")


def test_what_is_free_changes_no_result() -> None:
    """Read this list before adding to it: what is on it may change under a run without a word."""
    free = {one.name for one in fields(TrainConfig) if one.metadata.get("on_resume") == "free"}
    assert free == {
        *(
            "resume_from_checkpoint",
            "allow_changes",
            "overwrite_output_dir",
            "output_dir",
            "max_train_seconds",
        ),
        *("checkpointing_steps", "checkpoints_total_limit", "validation_steps", "logging_steps", "report_to"),
        *("tracker_project_name", "run_name", "logging_dir", "args_file"),
        *("push_to_hub", "hub_model_id", "hub_private", "save_discriminator"),
        *("dataloader_num_workers", "cache_data", "cache_gb"),
        *(
            "check_data",
            "skip_bad_items",
            "left_out",
        ),  # what is left out is missing from the data that are compared
        *("compile", "cuda_graphs", "plain_step", "deterministic", "gradient_checkpointing", "hub_token"),
        "on_nan",  # without such a step, nothing
        *("evaluation_steps", "evaluation_metrics", "num_validation_pictures"),
        *("num_diversity_pictures", "num_diversity_pairs", "keep_best"),
        *("alexnet_weights", "inception_weights", "frechet_net", "frechet_weights"),
    }


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--allow_changes", "seed"],
            "--allow_changes has no effect without --resume_from_checkpoint: leave it out",
        ),
        (
            ["--resume_from_checkpoint", "latest", "--allow_changes", "sed"],
            "there is no setting sed; it takes data, ",
        ),
        (["--resume_from_checkpoint", "latest", "--overwrite_output_dir"], "give one of them"),
    ],
)
@pytest.mark.parametrize("config", [TrainConfig, ParserTrainConfig])
def test_flags_of_resumed_runs(
    flags: list[str], message: str, config: type[ResumeSettings], tmp_path: Path
) -> None:
    parse: Callable[[Sequence[str]], object]
    if config is TrainConfig:
        parse, given = parse_train_config, ["--train_data_dir", str(tmp_path)]
    else:
        parse, given = parse_parser_config, ["--data_dir", str(tmp_path), "--output_dir", "o"]
    assert message in refusal(parse, [*given, *flags])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("width", "--allow_changes does not take width: it says which network or classes the run has"),
        ("train_data_dir", "--allow_changes does not take train_data_dir: say data"),
        ("logging_steps", "--allow_changes does not take logging_steps: it may change without being named"),
    ],
)
def test_names_that_are_not_compared(name: str, message: str) -> None:
    flags = ["--train_data_dir", ".", "--resume_from_checkpoint", "latest", "--allow_changes", name]
    assert message in refusal(parse_train_config, flags)


NUMBERS = sorted(
    one.name for one in fields(TrainConfig) if "float" in str(one.type) and "flag" in one.metadata
)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("name", NUMBERS)
def test_rates_and_weights_are_numbers(name: str, value: str) -> None:
    message = refusal(parse_train_config, ["--train_data_dir", ".", f"--{name}={value}"])
    assert message == f"--{name} is {value}; it must be a finite number"


def test_all_rates_and_weights_are_among_them() -> None:
    assert {"learning_rate", "discr_learning_rate", "kl_weight", "ema_decay", "max_train_seconds"} <= set(
        NUMBERS
    )
    for name in ("learning_rate", "adversarial_weight", "kl_weight", "feature_matching_weight"):
        message = refusal(parse_train_config, ["--train_data_dir", ".", f"--{name}=-1"])
        assert message == f"--{name} is -1.0; it must be 0 or more"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--ema_decay", "0.9"], "--ema_decay has no effect without --use_ema: leave it out"),
        (["--diffaugment_rise", "5"], "without --diffaugment_target"),
        (["--r1_interval", "5"], "--r1_interval has no effect without --r1_weight"),
        (["--recoloured_share", "0.1"], "without --recoloured_classes"),
        (["--image_column", "photo"], "--image_column has no effect without --dataset_name"),
        (["--kl_weight_start", "0.1"], "--kl_weight_start has no effect without --kl_warmup_steps"),
        (["--latent_weight", "2"], "--latent_weight has no effect without --model BicycleGAN"),
        (["--diversity_weight", "2", "--model", "BicycleGAN"], "without --model DSCGAN"),
        (["--perceptual_net", "none", "--perceptual_weight", "2"], "with --perceptual_net none"),
        (["--perceptual_net", "none", "--perceptual_normalise"], "with --perceptual_net none"),
        (["--hub_private"], "--hub_private has no effect without --push_to_hub"),
    ],
)
def test_flags_without_effect_are_refused(flags: list[str], message: str) -> None:
    assert message in refusal(parse_train_config, ["--train_data_dir", ".", *flags])


def test_trackers_that_are_not_installed_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate import tracking
    from accelerate.utils import LoggerType

    monkeypatch.setattr(tracking, "get_available_trackers", lambda: [LoggerType.TENSORBOARD])
    for given, message in (
        ("wandb", "--report_to: wandb is not installed: pip install wandb"),
        ("tensorboard,comet_ml", "comet_ml is not installed: pip install comet-ml"),
        ("tensorbord", "there is no tracker 'tensorbord'; these are known: all, "),
        ("tensorboard,", "there is no tracker ''"),
        ("none,tensorboard", "there is no tracker 'none'"),
    ):
        assert message in refusal(parse_train_config, ["--train_data_dir", ".", "--report_to", given])
    for given in ("tensorboard", "all", "none"):
        assert train_settings(".", "--report_to", given).report_to == given
    monkeypatch.setattr(tracking, "get_available_trackers", list)
    assert "pip install tensorboard" in refusal(parse_train_config, ["--train_data_dir", "."])
    assert "no tracker is installed" in refusal(
        parse_train_config, ["--train_data_dir", ".", "--report_to", "all"]
    )


def test_a_parser_that_exists_keeps_its_shape() -> None:
    flags = ["--data_dir", ".", "--output_dir", "o", "--pretrained_model_name_or_path", "a/b", "--width", "8"]
    assert "--width has no effect with --pretrained_model_name_or_path" in refusal(parse_parser_config, flags)
    flags = ["--data_dir", ".", "--output_dir", "o", "--learning_rate", "nan"]
    assert refusal(parse_parser_config, flags) == "--learning_rate is nan; it must be a finite number"
