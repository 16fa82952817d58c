"""Learning rates over a run: warm-up, and how they fall."""

from __future__ import annotations

from pathlib import Path

import pytest

from groupdnet_hub.training.config import parse_train_config
from groupdnet_hub.training.schedules import RunLength, scheduled_factor
from tests.helpers.command_lines import refusal

# A warm-up of six steps.
SIXTHS = [round(step / 7, 4) for step in range(1, 7)]


def factors(*flags: str, steps: int = 10) -> list[float]:
    settings = parse_train_config(["--train_data_dir", ".", "--max_train_steps", str(steps), *flags])
    resolved = settings.resolved("hinge", 1)
    return [round(scheduled_factor(resolved, step, steps), 4) for step in range(steps)]


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ("", [1] * 7 + [0.75, 0.5, 0.25]),
        ("--lr_scheduler linear --lr_decay_start 0", [1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]),
        ("--lr_scheduler constant", [1] * 10),
        ("--lr_scheduler constant --lr_warmup_steps 3", [0.25, 0.5, 0.75] + [1] * 7),
        ("--lr_warmup_steps 3", [0.25, 0.5, 0.75, 1, 1, 1, 1, 0.75, 0.5, 0.25]),
        # A decay that would begin within the warm-up begins behind it.
        ("--lr_warmup_steps 6 --lr_decay_start 0", [*SIXTHS, 1, 0.75, 0.5, 0.25]),
        ("--lr_scheduler cosine --lr_warmup_steps 6", [*SIXTHS, 1, 0.8536, 0.5, 0.1464]),
        ("--lr_scheduler cosine --lr_decay_start 0.6", [1] * 7 + [0.8536, 0.5, 0.1464]),
    ],
)  # fmt: skip
def test_the_factor_of_each_step(flags: str, wanted: list[float]) -> None:
    assert factors(*flags.split()) == wanted


def test_a_decay_that_does_nothing_is_refused() -> None:
    given = ["--train_data_dir", ".", "--lr_scheduler", "constant", "--lr_decay_start", "0.5"]
    assert "--lr_decay_start has no effect with --lr_scheduler constant" in refusal(parse_train_config, given)


def test_a_warm_up_without_end_is_refused(tmp_path: Path) -> None:
    given = ["--train_data_dir", ".", "--max_train_steps", "5", "--lr_warmup_steps", "5"]
    assert "--lr_warmup_steps 5 leaves none of the 5 steps" in refusal(parse_train_config, given)
    settings = parse_train_config(
        ["--train_data_dir", ".", "--num_train_epochs", "2", "--lr_warmup_steps", "5"]
    )
    pictures: list[int] = [0] * 16
    with pytest.raises(ValueError, match="--lr_warmup_steps 5 leaves none of 4 steps"):
        RunLength.of_run(settings.resolved("hinge", 1), pictures, 1)  # type: ignore[arg-type]  (their number counts)
