"""``train_config.yaml``: a run can be repeated from its folder, and says what it was started with."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from groupdnet_hub.baselines import SYSTEMS

pytest.importorskip("accelerate")
from groupdnet_hub.training.config import parse_train_config
from groupdnet_hub.training.config.rates import RATES
from groupdnet_hub.training.reports.repeats import differences, report
from groupdnet_hub.training.reports.run_record import RECORD_FILE, RunRecord, recorded_flags
from tests.helpers.command_lines import train_settings
from tests.helpers.script_runs import run_script
from tests.helpers.train_runs import SCRIPT, repeat_here, train_flags, train_here

FLAGS = ("--perceptual_net", "none", "--checkpointing_steps", "2", "--max_train_steps", "3")
# What a run may draw at random, and what it may keep beside its weights.
MORE = (
    "--random_flip",
    "--random_shift",
    "0.1",
    "--use_ema",
    "--redraw_weight",
    "50",
    "--redraw_memory",
    "4",
)
MORE += ("--prior_rank", "2", "--balanced_sampling", "0.5", "--diffaugment", "--save_discriminator")
SAME = "settings, data, starting weights, versions, hardware and processes are the same"


def provenance(run: Path) -> dict[str, Any]:
    return yaml.safe_load((run / RECORD_FILE).read_text(encoding="utf-8"))["provenance"]


def assert_same_weights(one: Path, other: Path) -> None:
    for name in ("model.safetensors", "discriminator.safetensors"):
        weights, others = load_file(one / "model" / name), load_file(other / "model" / name)
        assert weights.keys() == others.keys()
        assert all(torch.equal(value, others[key]) for key, value in weights.items())


@pytest.fixture(scope="module")
def first(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps, with checkpoints after the second."""
    folder = tmp_path_factory.mktemp("first") / "run"
    train_here(drawn, folder, *FLAGS, *MORE)
    return folder


# -- repeating --------------------------------------------------------------------------------------------------


def test_a_run_repeated_from_its_folder_has_the_same_weights(
    first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From another place, and with other intervals, which change no result."""
    monkeypatch.chdir(tmp_path)
    said = repeat_here(first, Path("again"), "--checkpointing_steps", "1")
    assert_same_weights(first, tmp_path / "again")
    assert f"repeats {first / RECORD_FILE}: {SAME}" in said
    assert provenance(tmp_path / "again")["repeats"] == {
        "run": provenance(first)["run"],
        "file": str(first / RECORD_FILE),
        "differs": [],
    }


@pytest.mark.slow
def test_sixty_steps_repeated_by_another_process_have_the_same_weights(drawn: Path, tmp_path: Path) -> None:
    flags = train_flags(drawn, tmp_path / "first", *FLAGS, *MORE, "--max_train_steps", "60")
    assert run_script(SCRIPT, flags).returncode == 0
    again = ["--args_file", str(tmp_path / "first" / RECORD_FILE), "--output_dir", str(tmp_path / "again")]
    done = run_script(SCRIPT, again)
    assert done.returncode == 0, done.stderr[-3000:]
    assert SAME in done.stdout
    assert_same_weights(tmp_path / "first", tmp_path / "again")


def test_what_differs_is_told_and_recorded(first: Path, drawn: Path, tmp_path: Path) -> None:
    data = tmp_path / "moved"
    shutil.copytree(drawn, data)
    flags = ("--train_data_dir", str(data), "--max_train_steps", "1")
    said = repeat_here(first, tmp_path / "moved-data", *flags)
    assert "but for this: the result may be another" in said
    assert provenance(tmp_path / "moved-data")["repeats"]["differs"] == ["max_train_steps"], (
        "the data are the same"
    )

    picture = next((data / "train" / "images").iterdir())
    picture.write_bytes(picture.read_bytes() + b"more")
    said = repeat_here(first, tmp_path / "other-data", *flags, "--seed", "5", "--check_data", "none")
    (row,) = [line.split() for line in said.splitlines() if line.startswith("data.digest")]
    digests = [provenance(run)["starts"][0]["data"]["digest"] for run in (first, tmp_path / "other-data")]
    assert row[1:] == [digest[:8] for digest in digests]
    assert provenance(tmp_path / "other-data")["repeats"]["differs"] == [
        *("max_train_steps", "seed"),
        *("data.digest", "weights.model", "weights.discriminator"),
    ]


def test_the_model_that_a_run_starts_from_is_recorded(first: Path, drawn: Path, tmp_path: Path) -> None:
    start = Path(shutil.copytree(first / "model", tmp_path / "start"))
    train_here(
        drawn, tmp_path / "run", "--perceptual_net", "none", "--pretrained_model_name_or_path", str(start),
        "--max_train_steps", "1",
    )  # fmt: skip
    assert yaml.safe_load((tmp_path / "run" / RECORD_FILE).read_text())[
        "pretrained_model_name_or_path"
    ] == str(start)
    weights = load_file(start / "model.safetensors")
    save_file({key: value + 0.5 if key.endswith("bias") else value for key, value in weights.items()},
              start / "model.safetensors")  # fmt: skip
    said = repeat_here(tmp_path / "run", tmp_path / "again")
    assert "weights.model" in said
    assert provenance(tmp_path / "again")["repeats"]["differs"] == ["weights.model"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("processes", 2),
        ("threads", 7),
        ("device", "cuda"),
        ("hardware", "another"),
        ("step_form", "plain (--plain_step)"),
        ("commit", "abc1234"),
        ("network", "0" * 64),
    ],
)
def test_every_fact_on_which_the_result_depends_is_compared(first: Path, name: str, value: object) -> None:
    record = RunRecord.read(first / RECORD_FILE)
    assert record is not None
    facts = {**record.starts[0], "date": "tomorrow", "command": "other", "system": "other"}
    assert differences(record, record.flags, facts) == []
    (change,) = differences(record, record.flags, {**facts, name: value})
    assert change.name == name
    versions = {**facts["versions"], "torch": "1.0"}
    (change,) = differences(record, record.flags, {**facts, "versions": versions})
    assert (change.name, change.now) == ("versions.torch", "1.0")
    assert "versions.torch" in report(record, [change], "file")


def test_settings_are_compared_by_what_they_do(first: Path) -> None:
    record = RunRecord.read(first / RECORD_FILE)
    assert record is not None
    free = {"output_dir": "/other", "logging_steps": 1, "cache_data": "none", "train_data_dir": ["/moved"]}
    assert differences(record, {**record.flags, **free}, record.starts[0]) == []
    (change,) = differences(record, {**record.flags, "learning_rate": 0.5}, record.starts[0])
    assert (change.name, change.now) == ("learning_rate", "0.5")
    moved = replace(record, flags={**record.flags, "perceptual_weights": "/a/vgg.safetensors"})
    assert (
        differences(moved, {**record.flags, "perceptual_weights": "/b/vgg.safetensors"}, record.starts[0])
        == []
    )
    assert differences(moved, {**record.flags, "perceptual_weights": "/b/other"}, record.starts[0]) != []


# -- what is recorded -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", RATES)
def test_complete_settings_are_taken_back(tmp_path: Path, objective: str) -> None:
    """What the system adds is a flag like all others, and stays what it is."""
    system = next((name for name, spec in SYSTEMS.items() if spec.objective == objective), "GroupDNet")
    flags = ["--model", system, "--train_batch_size", "6"]
    flags += ["--discriminator", "segmentation"] if objective == "segmentation" else []
    given = (["--ignore_id", "255", "#102030"], ["--lr_scheduler", "constant"], ["--no-sync_batch_norm"])
    for processes, more in ((1, given[0]), (1, given[1]), (1, given[2]), (2, given[2])):
        resolved = train_settings(tmp_path, *flags, *more).resolved(objective, processes)
        record = RunRecord(recorded_flags(resolved), "run", [{"step": 0}])
        record.write(tmp_path / RECORD_FILE)
        again = parse_train_config(["--args_file", str(tmp_path / RECORD_FILE)])
        assert again.resolved(objective, processes) == resolved


def test_the_start_is_recorded(first: Path, drawn: Path) -> None:
    values = yaml.safe_load((first / RECORD_FILE).read_text(encoding="utf-8"))
    assert values["train_data_dir"] == [str(drawn)]
    assert values["output_dir"] == str(first)
    assert (values["learning_rate"], values["kl_weight"], values["random_flip"]) == (1e-4, 0.4, True)
    (start,) = values["provenance"]["starts"]
    assert (start["step"], start["processes"], start["device"], start["threads"]) == (0, 1, "cpu", 1)
    assert start["data"]["items"] == 8
    assert start["versions"]["torch"]
    assert set(start["weights"]) == {"model", "discriminator"}
    assert {"date", "command", "commit", "hardware", "precision", "network"} <= set(start)


def test_a_resumed_run_adds_its_start(first: Path, drawn: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(first, tmp_path / "run"))
    more = ("--resume_from_checkpoint", "latest", "--max_train_steps", "4", "--logging_steps", "3")
    train_here(drawn, run, *FLAGS, *MORE, *more, "--allow_changes", "max_train_steps")
    before, now = (yaml.safe_load((folder / RECORD_FILE).read_text()) for folder in (first, run))
    started, resumed = now["provenance"]["starts"]
    assert started == before["provenance"]["starts"][0]
    assert now["provenance"]["run"] == before["provenance"]["run"]
    assert resumed["step"] in (2, 3)
    assert resumed["changed"] == {"max_train_steps": 4, "logging_steps": 3}
    assert now["max_train_steps"] == 3, "the settings are those that it was started with"
    said = repeat_here(run, tmp_path / "again", "--max_train_seconds", "0.001")
    assert SAME in said
    assert f"resumed at step {resumed['step']} with other values of max_train_steps: they" in said

    train_here(drawn, run, *FLAGS, "--overwrite_output_dir", "--max_train_steps", "1")
    (only,) = provenance(run)["starts"]
    assert only["step"] == 0
    assert provenance(run)["run"] != before["provenance"]["run"]


def test_a_run_continued_in_another_folder_says_from_where(first: Path, drawn: Path, tmp_path: Path) -> None:
    checkpoint = first / "checkpoint-2"
    train_here(drawn, tmp_path / "run", *FLAGS, *MORE, "--resume_from_checkpoint", str(checkpoint))
    assert provenance(tmp_path / "run")["starts"][0]["checkpoint"] == str(checkpoint)
    said = repeat_here(tmp_path / "run", tmp_path / "again", "--max_train_seconds", "0.001")
    assert f"that run started at step 2, from {checkpoint}, and this one starts at step 0" in said


def test_a_file_of_flags_that_a_person_wrote_is_kept(first: Path, drawn: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(first, tmp_path / "run"))
    (run / RECORD_FILE).write_text("seed: 1\n")
    for flags in (("--overwrite_output_dir",), ("--resume_from_checkpoint", str(run / "checkpoint-2"))):
        with pytest.raises(ValueError, match=r"train_config\.yaml is not the record of a run.* another name"):
            train_here(drawn, run, *FLAGS, *MORE, *flags)
    assert (run / RECORD_FILE).read_text() == "seed: 1\n"
    assert json.loads((run / "model" / "training.json").read_text())["steps"] == 3
    assert (run / "checkpoint-2").is_dir()


@pytest.mark.parametrize(
    "section", ["[]", "{run: a, starts: []}", "{run: a, starts: [{step: x}]}", "{starts: [{step: 0}]}"]
)
def test_a_record_that_no_run_wrote_is_refused(tmp_path: Path, section: str) -> None:
    (tmp_path / RECORD_FILE).write_text(f"seed: 1\nprovenance: {section}\n")
    with pytest.raises(ValueError, match="its section provenance is not what a run writes: restore it"):
        RunRecord.read(tmp_path / RECORD_FILE)
