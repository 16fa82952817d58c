"""A parser's run that resumes, a finished one, and a start from a parser of other classes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from groupdnet_hub import LabelSet
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.figures import write_figures
from tests.helpers.checkpoints import RECORD, write_record
from tests.helpers.small_parser import save_small_parser

pytest.importorskip("transformers", reason="the parser needs transformers")
pytest.importorskip("accelerate", reason="training needs accelerate")

from groupdnet_hub.parser.config import parse_parser_config
from groupdnet_hub.parser.network import load_parser
from train import train_parser

LATEST = ("--resume_from_checkpoint", "latest")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of two steps with a checkpoint at the first, and none later."""
    write_figures(tmp_path / "drawn", 4, size=(32, 32))
    save_small_parser(tmp_path / "start", FIGURE_LABELS.names)
    trained(tmp_path, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoint-2")
    return tmp_path / "run"


def trained(folder: Path, output: Path, *flags: str) -> Path:
    given = ["--data_dir", str(folder / "drawn"), "--pretrained_model_name_or_path", str(folder / "start")]
    given += [
        "--resolution",
        "32",
        "--view",
        "32",
        "32",
        "--train_batch_size",
        "2",
        "--output_dir",
        str(output),
    ]
    given += ["--max_train_steps", "2", "--checkpointing_steps", "1", "--checkpoints_total_limit", "9"]
    with torch.random.fork_rng():
        return train_parser.run(parse_parser_config([*given, *flags]))


def test_what_differs_is_told_and_needs_to_be_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for flags, change in (
        (("--seed", "4"), "seed was 0 and is 4 now"),
        (("--learning_rate", "0.1"), "learning_rate was 0.001 and is 0.1 now"),
        (("--max_train_steps", "3"), "max_train_steps was 2 and is 3 now"),
    ):
        with pytest.raises(ValueError, match=change):
            trained(tmp_path, run, *LATEST, *flags)
    assert "seed     0           4" in capsys.readouterr().out
    shutil.rmtree(tmp_path / "drawn" / "train")
    write_figures(tmp_path / "drawn", 6, size=(32, 32))
    with pytest.raises(ValueError, match=r"data was 4 items, .* and is 6 items"):
        trained(tmp_path, run, *LATEST)
    allowed = ("--seed", "4", "--allow_changes", "seed", "data")
    assert trained(tmp_path, run, *LATEST, *allowed) == run / "parser"
    assert json.loads((run / "checkpoint-2" / "conditions.json").read_text())["settings"]["seed"] == 4


def test_other_classes_are_refused(run: Path, tmp_path: Path) -> None:
    classes = tmp_path / "drawn" / "classes.json"
    classes.write_text(classes.read_text().replace('"hair"', '"road"'))
    with pytest.raises(ValueError, match="the checkpoint's class 'hair' is 'road' now"):
        trained(tmp_path, run, *LATEST)


def test_another_network_is_refused(run: Path, tmp_path: Path) -> None:
    from transformers import SegformerConfig, SegformerForSemanticSegmentation

    config = SegformerConfig.from_pretrained(tmp_path / "start")
    config.decoder_hidden_size = 16
    with torch.random.fork_rng():
        SegformerForSemanticSegmentation(config).save_pretrained(tmp_path / "start")
    with pytest.raises(ValueError, match="holds another network: parameters was"):
        trained(tmp_path, run, *LATEST)


def test_a_checkpoint_without_a_record_resumes_with_a_note(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = run / "checkpoint-1"
    (checkpoint / "conditions.json").unlink()
    write_record(checkpoint, json.loads((checkpoint / RECORD).read_text())["progress"])
    trained(tmp_path, run, *LATEST, "--seed", "3")
    assert "has no record of its settings and data: nothing is compared" in capsys.readouterr().out


def test_a_finished_one_is_not_overwritten(run: Path, tmp_path: Path) -> None:
    weights = (run / "parser" / "model.safetensors").read_bytes()
    with pytest.raises(
        ValueError, match=r"holds a run already \(parser/, checkpoint-1\): --resume_from_checkpoint"
    ):
        trained(tmp_path, run)
    assert (run / "parser" / "model.safetensors").read_bytes() == weights
    (run / "notes.txt").write_text("mine")
    trained(tmp_path, run, "--overwrite_output_dir", "--seed", "5", "--max_train_steps", "1")
    assert (run / "parser" / "model.safetensors").read_bytes() != weights
    assert (run / "notes.txt").exists()


def test_as_many_classes_of_other_names_get_a_new_classifier(tmp_path: Path) -> None:
    names = ("sky", "road", "car")
    start = save_small_parser(tmp_path / "start", names)

    def classifier(labels: LabelSet) -> torch.Tensor:
        with torch.random.fork_rng():
            return load_parser(start, labels, (64, 64)).decode_head.classifier.weight.detach()  # type: ignore[union-attr]

    colours = ((0, 0, 0), (1, 1, 1), (2, 2, 2))
    same, other = (classifier(LabelSet(found, colours)) for found in (names, ("sky", "hair", "car")))
    assert torch.equal(same, classifier(LabelSet(names, colours)))
    assert not torch.equal(same, other)
