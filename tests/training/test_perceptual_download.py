"""Weights of the perceptual loss that are out of reach are told before the data are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from groupdnet_hub.figures import write_figures
from groupdnet_hub.io import downloads
from groupdnet_hub.training import run
from tests.helpers.processes import process_as_it_was
from train import train


class ReadError(Exception):
    """Raised where the data would be read."""


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ((), "vgg19"),
        (("--perceptual_net", "vgg16"), "vgg16"),
        (("--perceptual_net", "none"), None),
        (("--perceptual_weights", __file__), None),
    ],
)
def test_they_are_told_with_the_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], told: str | None
) -> None:
    def read(*_: object) -> None:
        raise ReadError

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(downloads, "unreachable", lambda _: "Name or service not known")
    monkeypatch.setattr(run, "with_checked_data", read)
    write_figures(tmp_path / "drawn", 2, size=(32, 32))
    command = ["--train_data_dir", str(tmp_path / "drawn"), "--output_dir", str(tmp_path / "run"), *flags]
    command += ["--report_to", "none", "--max_train_steps", "1"]
    expected = rf"{told} cannot be downloaded from download\.pytorch\.org .* with --perceptual_weights"
    refused = pytest.raises(ReadError) if told is None else pytest.raises(ValueError, match=expected)
    with process_as_it_was(), refused:
        train.main(command)
