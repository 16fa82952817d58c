"""Flags that name a data set folder or a split of one: missing, empty, and one in place of the other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.helpers.command_lines import refusal, train_settings

pytest.importorskip("accelerate")
from groupdnet_hub.evaluation.config import parse_evaluate_config
from groupdnet_hub.figures import write_figures
from groupdnet_hub.generation.config import parse_generate_config
from groupdnet_hub.parser.config import parse_parser_config
from groupdnet_hub.training.data.pictures import build_labels
from groupdnet_hub.training.kit.data import pack_data
from train import compare_models, reproduce
from train.tools import appearance_report, fit_prior, parser_scores

Parse = Callable[[list[str]], object]

# By command: what parses its flags, those that it needs, and the flag of a data set folder.
COMMANDS: dict[str, tuple[Parse, list[str], str]] = {
    "evaluate": (parse_evaluate_config, ["--model", "m"], "--data_dir"),
    "evaluate's training photos": (
        parse_evaluate_config,
        ["--model", "m", "--data_dir", "DATA"],
        "--train_data_dir",
    ),
    "train_parser": (parse_parser_config, ["--output_dir", "o"], "--data_dir"),
    "compare_models": (compare_models.main, ["--models", "m"], "--data_dir"),
    "reproduce": (reproduce.main, ["--table", "1"], "--data_dir"),
    "fit_prior": (fit_prior.main, ["--model", "m", "--prior_codes", "1", "--output_dir", "o"], "--data_dir"),
    "appearance_report": (appearance_report.main, ["--model", "m"], "--data_dir"),
    "parser_scores": (parser_scores.main, ["--parser", "p"], "--data_dir"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("folders") / "data"
    for split in ("train", "validation"):
        write_figures(folder, 2, size=(32, 32), split=split)
    return folder


def wrong_folders(data: Path, empty: Path) -> dict[Path, str]:
    """Folders that are no data set, each with what is said of it."""
    return {
        data / "nosuch": f"there is no folder {data / 'nosuch'}",
        data / "train": f"is itself the split train of a data set; name the folder of the data set, {data}",
        data / "validation" / "images": f"is a part of the split {data / 'validation'}",
        empty: f"in {empty}, nor another split",
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_folders_that_are_no_data_set(data: Path, tmp_path: Path, command: str) -> None:
    parse, needed, flag = COMMANDS[command]
    needed = [str(data) if word == "DATA" else word for word in needed]
    for folder, message in wrong_folders(data, tmp_path).items():
        said = refusal(parse, [*needed, flag, str(folder)])
        assert said.startswith(flag)
        assert message in said


def test_training_and_kits(data: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder, message in wrong_folders(data, tmp_path / "empty").items():
        with pytest.raises(ValueError, match="there is no folder") as refused:
            pack_data(folder, tmp_path / "kit")
        assert message in str(refused.value)
        if folder.exists():
            with pytest.raises(ValueError, match=r"--train_data_dir: ") as refused:
                build_labels(train_settings(folder))
            assert message in str(refused.value)
    assert not (tmp_path / "kit").exists()


def test_a_split_that_the_data_do_not_have(data: Path) -> None:
    said = refusal(parse_evaluate_config, ["--model", "m", "--data_dir", str(data), "--split", "test"])
    assert f"there is no folder test in {data}: it has the splits train, validation" in said


def test_a_data_set_in_place_of_a_split(data: Path, tmp_path: Path) -> None:
    flags = ["--model", "m", "--output_dir", "o", "--label_dir", str(data / "train"), "--gallery_dir"]
    said = refusal(parse_generate_config, [*flags, str(data)])
    assert f"the splits train, validation; name one of them, such as {data / 'train'}" in said
    assert "is this a split of a paired data set?" in refusal(parse_generate_config, [*flags, str(tmp_path)])
