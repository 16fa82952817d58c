"""Settings that tests give by flags, and what a command line is refused with."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from groupdnet_hub.training.config import TrainConfig, parse_train_config


def train_settings(data: Path | str, *flags: str) -> TrainConfig:
    """The settings of train.py with some flags beside the data."""
    return parse_train_config(["--train_data_dir", str(data), *flags])


def refusal(parse: Callable[[Sequence[str]], object], flags: Sequence[str]) -> str:
    """The message that a wrong command line ends with, on one line and with exit status 2."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), pytest.raises(SystemExit) as ended:
        parse(flags)
    assert ended.value.code == 2
    (line,) = said.getvalue().splitlines()
    message, _, more = line.partition(": ")[2].rpartition("; see ")
    assert more.endswith("--help")
    return message
