"""What trackers are told of a run: settings, curves, sample grids, and a table of the classes."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

pytest.importorskip("accelerate")
pytest.importorskip("tensorboard")
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from groupdnet_hub.training.config import parse_train_config
from groupdnet_hub.training.reports.class_table import class_table
from groupdnet_hub.training.reports.trackers import Table, Trackers, markdown_table
from tests.helpers.command_lines import refusal
from tests.helpers.processes import process_as_it_was
from tests.helpers.train_runs import train_here

FLAGS = (
    "--perceptual_net",
    "none",
    "--logging_steps",
    "1",
    "--validation_steps",
    "2",
    "--checkpointing_steps",
    "2",
)
FLAGS += ("--max_train_steps", "4", "--report_to", "tensorboard")
TABLE = Table(("class", "share"), (("hair", 0.25), ("hat|cap", None)))
CLASSES = ("background", "hair", "face", "skin", "top-clothes", "bottom-clothes", "socks", "shoes")


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"tensors": 0, "scalars": 0, "images": 0}).Reload()


def texts(found: EventAccumulator, name: str) -> dict[int, str]:
    return {
        one.step: one.tensor_proto.string_val[0].decode() for one in found.Tensors(f"{name}/text_summary")
    }


@pytest.fixture(scope="module")
def first(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tracked") / "run"
    train_here(drawn, folder, *FLAGS)
    return folder


def test_tensorboard_has_settings_curves_grids_and_classes(first: Path) -> None:
    found = events(first / "logs" / "groupdnet")
    assert [one.step for one in found.Scalars("adversarial")] == [1, 2, 3, 4]
    assert [one.step for one in found.Scalars("l1/reconstruction")][:2] == [2, 4]
    for one in found.Images("samples"):
        shown = Image.open(io.BytesIO(one.encoded_image_string))
        saved = Image.open(first / "samples" / f"{one.step:07d}.png")
        assert np.array_equal(np.asarray(shown), np.asarray(saved))
    written = (first / "train_config.yaml").read_text(encoding="utf-8")
    assert texts(found, "train_config")[0] == "\n".join(f"    {line}" for line in written.splitlines())
    assert "_hparams_/session_start_info" in found.PluginTagToContent("hparams")
    head, _, *rows = texts(found, "classes")[4].splitlines()
    assert head == "| class | fraction of pixels | pictures | kl | l1 of reconstruction | l1 of sample |"
    assert [row.split(" | ")[0] for row in rows] == [f"| {name}" for name in CLASSES]
    kl = {one.step: one.value for one in found.Scalars("kl/hair")}[4]
    assert float(rows[1].split(" | ")[3]) == pytest.approx(kl, rel=1e-3)
    # One run, and not another for its settings.
    assert len(list((first / "logs").rglob("events.out.tfevents.*"))) == 1


def test_a_resumed_run_continues_its_curves(first: Path, drawn: Path, tmp_path: Path) -> None:
    """What was logged after the checkpoint that it resumes from is logged again, and shown once."""
    run = Path(shutil.copytree(first, tmp_path / "run"))
    shutil.rmtree(run / "checkpoint-4")
    shutil.rmtree(run / "model")
    train_here(drawn, run, *FLAGS, "--resume_from_checkpoint", "latest")
    found = events(run / "logs" / "groupdnet")
    assert [one.step for one in found.Scalars("adversarial")] == [1, 2, 3, 4]
    assert sorted(texts(found, "train_config")) == [0, 2]
    before = events(first / "logs" / "groupdnet").Scalars("adversarial")
    assert [one.value for one in found.Scalars("adversarial")] == [one.value for one in before]


def test_logs_go_where_the_flags_say(drawn: Path, tmp_path: Path) -> None:
    logs, short = tmp_path / "all-logs", ("--max_train_steps", "1")
    shared = (*FLAGS, *short, "--logging_dir", str(logs), "--tracker_project_name", "people")
    train_here(drawn, tmp_path / "one", *shared)
    assert events(logs / "people" / "one").Scalars("kl")
    train_here(drawn, tmp_path / "two", *shared, "--run_name", "second")
    assert events(logs / "people" / "second").Scalars("kl")
    with pytest.raises(ValueError, match="people/second holds the logs of another run: give --run_name"):
        train_here(drawn, tmp_path / "three", *shared, "--run_name", "second")
    train_here(drawn, tmp_path / "two", *shared, "--overwrite_output_dir", "--logging_dir", "here")
    assert not (logs / "people" / "second").exists(), "what was overwritten had its logs there"
    assert events(tmp_path / "two" / "here" / "people").Scalars("kl")
    assert (logs / "people" / "one").is_dir()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--run_name", "a/b"], "--run_name is 'a/b'; it names a folder"),
        (["--run_name", " "], "--run_name is ' '"),
        (["--tracker_project_name", ".."], "--tracker_project_name is '..'"),
        (["--report_to", "none", "--run_name", "a"], "--run_name has no effect with --report_to none"),
        (["--report_to", "none", "--logging_dir", "a"], "--logging_dir has no effect with --report_to none"),
        (["--report_to", "none", "--tracker_project_name", "a"], "--tracker_project_name has no effect"),
    ],
)
def test_names_that_cannot_be_are_refused(flags: list[str], message: str) -> None:
    assert message in refusal(parse_train_config, ["--train_data_dir", ".", *flags])


# -- other trackers ---------------------------------------------------------------------------------------------


class Plain(GeneralTracker):
    """A tracker that takes numbers and settings."""

    name = "plain"
    requires_logging_directory = False

    def __init__(self) -> None:
        super().__init__()
        self.got: list[tuple[str, Any]] = []

    @property
    def tracker(self) -> None:
        return None

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        if "too_long" in values:
            raise RuntimeError("250 characters at most")
        self.got.append(("settings", values))

    def log(self, values: Mapping[str, Any], step: int | None = None, **kwargs: Any) -> None:
        self.got.append(("scalars", values))


class Rich(Plain):
    """One that takes pictures and tables too."""

    name = "rich"

    def log_images(self, values: Mapping[str, Any], step: int | None = None) -> None:
        self.got.append(("pictures", values))

    def log_table(
        self, name: str, *, columns: list[str], data: list[list[Any]], step: int | None = None
    ) -> None:
        self.got.append((name, [columns, *data]))


def test_what_a_tracker_cannot_take_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    with process_as_it_was():
        plain, rich = Plain(), Rich()
        accelerator = Accelerator(cpu=True, log_with=[plain, rich])
        accelerator.init_trackers("project")
        trackers = Trackers(accelerator)
        picture = Image.new("RGB", (4, 2), (255, 0, 0))
        trackers.settings({"rate": 0.5, "sizes": [1, 2], "none": None, "facts": {"step": 3}}, "text", 0)
        for step in (1, 2):
            trackers.scalars({"loss": 1.0}, step)
            trackers.pictures({"samples": picture}, step)
            trackers.table("classes", TABLE, step)
        trackers.settings({"too_long": "x"}, "text", 0)
    settings = ("settings", {"rate": 0.5, "sizes": "1 2", "facts/step": 3})
    assert plain.got == [settings, ("scalars", {"loss": 1.0}), ("scalars", {"loss": 1.0})]
    assert [kind for kind, _ in rich.got] == ["settings", *("scalars", "pictures", "classes") * 2]
    assert rich.got[2][1]["samples"][0].shape == (2, 4, 3)
    assert rich.got[3][1] == [["class", "share"], ["hair", 0.25], ["hat|cap", None]]
    said = capsys.readouterr().out
    assert said.count("plain takes no pictures") == said.count("plain takes no tables") == 1
    assert "plain does not take the settings of the run: 250 characters at most" in said
    assert "rich takes no" not in said


def test_a_tracker_that_cannot_start_is_told(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch.utils import tensorboard

    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no key\nin many lines")

    monkeypatch.setattr(tensorboard, "SummaryWriter", fail)
    with pytest.raises(
        ValueError, match=r"--report_to tensorboard: a tracker cannot start \(no key\); log in"
    ):
        train_here(drawn, tmp_path / "run", *FLAGS)


@pytest.mark.slow
def test_weights_and_biases_offline(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setattr("sys.argv", ["train.py", "--hub_token", "s3cret-of-mine"])
    train_here(drawn, tmp_path / "run", *FLAGS, "--report_to", "wandb", "--run_name", "mine")
    (folder,) = (tmp_path / "run" / "logs" / "wandb").glob("offline-run-*")
    identity = yaml.safe_load((tmp_path / "run" / "train_config.yaml").read_text())["provenance"]["run"]
    (log,) = folder.glob("*.wandb")
    assert log.name == f"run-{identity}.wandb"
    content = log.read_bytes()
    for words in (b"learning_rate", b"weights normalised once a step", b"kl/hair", b"mine"):
        assert words in content
    grid = np.asarray(Image.open(next((folder / "files" / "media" / "images").glob("samples_4_*.png"))))
    assert np.array_equal(grid, np.asarray(Image.open(tmp_path / "run" / "samples" / "0000004.png")))
    table = next((folder / "files" / "media" / "table").glob("classes_4_*.json")).read_text()
    assert all(f'"{name}"' in table for name in CLASSES)
    for path in (tmp_path / "run").rglob("*"):
        assert not path.is_file() or b"s3cret-of-mine" not in path.read_bytes(), path


# -- tables -----------------------------------------------------------------------------------------------------


def test_a_table_in_markdown() -> None:
    assert markdown_table(TABLE).splitlines() == [
        "| class | share |",
        "| --- | --- |",
        "| hair | 0.25 |",
        "| hat\\|cap |  |",
    ]


def test_the_table_of_the_classes() -> None:
    known = torch.tensor([[[0, 0], [1, -1]], [[0, 0], [0, 0]]])
    distance = torch.tensor([[[0.0, 1.0], [3.0, 9.0]], [[0.5] * 2] * 2])
    table = class_table(("sky", "tree", "car"), known, torch.tensor([1.0, 2.0, 0.0]), {"sample": distance})
    assert table.columns == ("class", "fraction of pixels", "pictures", "kl", "l1 of sample")
    assert table.rows == (
        ("sky", pytest.approx(6 / 7), 2, 1.0, 0.5),
        ("tree", pytest.approx(1 / 7), 1, 2.0, 3.0),
        ("car", 0.0, 0, 0.0, None),
    )
    assert class_table(("sky", "tree", "car"), known, None, {}).columns == table.columns[:3]
