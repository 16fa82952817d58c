"""A run that resumes goes on with what it was started with, or says what changed; a finished one is not overwritten."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from groupdnet_hub.figures import write_figures
from tests.helpers.checkpoints import RECORD, write_record
from tests.helpers.script_runs import run_script
from tests.helpers.train_runs import SCRIPT, train_flags, train_here

pytest.importorskip("accelerate")

FLAGS = ("--perceptual_net", "none", "--max_train_steps", "2", "--checkpointing_steps", "1")
LATEST = ("--resume_from_checkpoint", "latest")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    write_figures(folder, 6, size=(32, 32))
    return folder


@pytest.fixture(scope="module")
def whole(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two steps, with a checkpoint at each."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train_here(drawn, folder, *FLAGS)
    return folder


@pytest.fixture
def stopped(whole: Path, tmp_path: Path) -> Path:
    """The same run, stopped after its first step."""
    shutil.copytree(whole / "checkpoint-1", tmp_path / "run" / "checkpoint-1")
    return tmp_path / "run"


def refused(drawn: Path | None, output: Path, *flags: str) -> str:
    """What a run is refused with; it has trained nothing."""

    def there() -> list[str]:
        return sorted(path.name for path in output.iterdir() if path.name != "data_check.json")

    before = there()
    with pytest.raises(ValueError) as found:  # noqa: PT011
        train_here(drawn, output, *FLAGS, *flags)
    assert there() == before
    return str(found.value)


def other_classes(drawn: Path, folder: Path, old: str, new: str) -> str:
    """Write a classes.json in which a class has another name."""
    text = (drawn / "classes.json").read_text().replace(f'"{old}"', f'"{new}"')
    (folder / "other.json").write_text(text)
    return str(folder / "other.json")


def without_record(checkpoint: Path) -> None:
    """Make a checkpoint what versions wrote that recorded no conditions."""
    (checkpoint / "conditions.json").unlink()
    write_record(checkpoint, json.loads((checkpoint / RECORD).read_text())["progress"])


def test_the_same_flags_resume_in_silence(drawn: Path, stopped: Path) -> None:
    free = ("--logging_steps", "1", "--validation_steps", "7", "--save_discriminator", "--cache_data", "none")
    moved = stopped.rename(stopped.with_name("elsewhere"))
    said = train_here(drawn, moved, *FLAGS, *LATEST, *free, "--learning_rate", "1e-4", "--plain_step")
    assert "resuming from step 1" in said
    assert "checkpoint  now" not in said


def test_a_setting_that_the_version_of_the_checkpoint_lacked_was_at_its_default(
    drawn: Path, stopped: Path
) -> None:
    path = stopped / "checkpoint-1" / "conditions.json"
    record = json.loads(path.read_text())
    for name in ("lr_scheduler", "lr_warmup_steps", "max_grad_norm"):
        del record["settings"][name]
    path.write_text(json.dumps(record))
    progress = json.loads((stopped / "checkpoint-1" / RECORD).read_text())["progress"]
    write_record(stopped / "checkpoint-1", progress)
    message = refused(drawn, stopped, *LATEST, "--lr_scheduler", "cosine", "--max_grad_norm", "1")
    assert "lr_scheduler was linear and is cosine now" in message
    assert "max_grad_norm was none and is 1 now" in message
    assert "resuming from step 1" in train_here(drawn, stopped, *FLAGS, *LATEST)


def test_a_moved_data_set_is_the_same(drawn: Path, stopped: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn, tmp_path / "moved")
    assert "resuming from step 1" in train_here(tmp_path / "moved", stopped, *FLAGS, *LATEST)


@pytest.mark.parametrize("recorded", [True, False])
def test_other_classes_are_refused(drawn: Path, stopped: Path, tmp_path: Path, recorded: bool) -> None:
    if not recorded:
        without_record(stopped / "checkpoint-1")
    classes = other_classes(drawn, tmp_path, "hair", "road")
    message = refused(drawn, stopped, *LATEST, "--classes", classes)
    assert "the checkpoint's class 'hair' is 'road' now" in message
    again = refused(drawn, stopped, *LATEST, "--classes", classes, "--allow_changes", "data", "ignore_id")
    assert again == message


@pytest.mark.parametrize("recorded", [True, False])
def test_another_network_is_refused(drawn: Path, stopped: Path, recorded: bool) -> None:
    if not recorded:
        without_record(stopped / "checkpoint-1")
    message = refused(drawn, stopped, *LATEST, "--latent_channels", "4")
    assert "holds another network: latent_channels was 8 and is 4 now" in message
    assert "image_size was [32, 32] and is [64, 64] now" in refused(
        drawn, stopped, *LATEST, "--resolution", "64"
    )
    assert "holds another network: discriminator_width was 4 and is 8 now" in refused(
        drawn, stopped, *LATEST, "--discriminator_width", "8"
    )


@pytest.mark.parametrize(
    ("flags", "changes"),
    [
        (["--seed", "1"], ["seed was 0 and is 1 now"]),
        (["--train_batch_size", "1"], ["train_batch_size was 2 and is 1 now"]),
        (["--gradient_accumulation_steps", "2"], ["gradient_accumulation_steps was 1 and is 2 now"]),
        (["--learning_rate", "2e-4"], ["learning_rate was 0.0001 and is 0.0002 now"]),
        (["--discr_learning_rate", "0.1"], ["discr_learning_rate was 0.0004 and is 0.1 now"]),
        (["--max_train_steps", "3"], ["max_train_steps was 2 and is 3 now"]),
        (["--lr_decay_start", "0.5"], ["lr_decay_start was 0.6 and is 0.5 now"]),
        (["--kl_weight", "1"], ["kl_weight was 0.4 and is 1 now"]),
        (["--random_flip"], ["random_flip was False and is True now"]),
        (["--ignore_id", "255", "#102030"], ["ignore_id was nothing and is 255 [16, 32, 48] now"]),
        (["--seed", "1", "--l1_weight", "2"], ["seed was 0 and is 1 now", "l1_weight was 0 and is 2 now"]),
    ],
)
def test_other_settings_are_told_and_need_to_be_named(
    drawn: Path, stopped: Path, flags: list[str], changes: Sequence[str]
) -> None:
    message = refused(drawn, stopped, *LATEST, *flags)
    names = [change.split()[0] for change in changes]
    assert all(change in message for change in changes)
    assert message.count(" was ") == len(changes) + 1  # and "was trained otherwise"
    for name in names:
        assert name in message.partition("--allow_changes ")[2].split()
    if len(names) > 1:
        assert f"--allow_changes {names[0]}" not in refused(
            drawn, stopped, *LATEST, *flags, "--allow_changes", names[0]
        ).replace(f"--allow_changes {' '.join(names)}", "")
    said = train_here(drawn, stopped, *FLAGS, *LATEST, *flags, "--allow_changes", *names)
    assert "resuming with what --allow_changes names:\nsetting" in said
    assert "resuming from step 1" in said
    # What it went on with is now the record.
    newest = sorted(path.name for path in stopped.glob("checkpoint-*"))[-1]
    record = json.loads((stopped / newest / "conditions.json").read_text())
    assert newest != "checkpoint-1"
    assert record["steps"] == (3 if "max_train_steps" in names else 2)


def test_a_table_shows_both(drawn: Path, stopped: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = run_script(SCRIPT, train_flags(drawn, stopped, *FLAGS, *LATEST, "--seed", "12", "--random_flip"))
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    at = lines.index("setting      checkpoint  now")
    assert set(lines[at + 1 : at + 3]) == {"seed         0           12", "random_flip  False       True"}
    assert "pictures are kept" not in done.stdout  # before data are read


def test_other_data_are_told_before_they_are_read(drawn: Path, stopped: Path, tmp_path: Path) -> None:
    more = Path(shutil.copytree(drawn, tmp_path / "more"))
    picture = next((more / "train" / "images").iterdir())
    with Image.open(picture) as photo:
        photo.transpose(Image.Transpose.ROTATE_180).save(picture, compress_level=1)
    message = refused(more, stopped, *LATEST)
    assert "data was 6 items, digest " in message
    assert message.endswith("--allow_changes data")
    write_figures(tmp_path / "second", 3, seed=4, size=(32, 32))
    folders = ("--train_data_dir", str(drawn), str(tmp_path / "second"))
    assert "and is 9 items, digest" in refused(None, stopped, *LATEST, *folders)
    said = train_here(None, stopped, *FLAGS, *LATEST, *folders, "--allow_changes", "data")
    assert "resuming from step 1" in said


def test_the_revision_of_a_named_data_set_counts(drawn: Path, stopped: Path, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    rows = ("--dataset_name", "imagefolder", "--label_column", "label")
    message = refused(drawn, stopped, *LATEST, *rows)
    assert "data was 6 items" in message
    assert "imagefolder" in message


def test_a_checkpoint_of_an_earlier_version_resumes_with_a_note(drawn: Path, stopped: Path) -> None:
    without_record(stopped / "checkpoint-1")
    said = train_here(drawn, stopped, *FLAGS, *LATEST, "--seed", "3")
    assert "has no record of its settings and data: only its classes and network are compared" in said
    assert "resuming from step 1" in said
    assert json.loads((stopped / "checkpoint-2" / "conditions.json").read_text())["settings"]["seed"] == 3


def test_a_record_of_a_stranger_is_refused(drawn: Path, stopped: Path) -> None:
    checkpoint = stopped / "checkpoint-1"
    progress = json.loads((checkpoint / RECORD).read_text())["progress"]
    record = json.loads((checkpoint / "conditions.json").read_text())
    for other in ([], {}, {**record, "steps": "2"}, {**record, "network": {}}, {**record, "more": 1}):
        (checkpoint / "conditions.json").write_text(json.dumps(other))
        write_record(checkpoint, progress)
        assert "conditions.json" in refused(drawn, stopped, *LATEST)


@pytest.mark.parametrize(
    "damaged", ["optimizer.bin", "conditions.json", "progress.json", "generator/config.json"]
)
@pytest.mark.parametrize("how", ["cut", "removed"])
def test_a_damaged_only_checkpoint_is_named(drawn: Path, stopped: Path, damaged: str, how: str) -> None:
    file = stopped / "checkpoint-1" / damaged
    if how == "cut":
        file.write_bytes(file.read_bytes()[:20])
    else:
        file.unlink()
    message = refused(drawn, stopped, *LATEST)
    assert "checkpoint-1 is not a complete checkpoint" in message
    assert damaged in message


def test_the_last_sound_checkpoint_is_taken_and_told(drawn: Path, whole: Path, tmp_path: Path) -> None:
    for step in (1, 2):
        shutil.copytree(whole / f"checkpoint-{step}", tmp_path / "run" / f"checkpoint-{step}")
    file = tmp_path / "run" / "checkpoint-2" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    said = train_here(drawn, tmp_path / "run", *FLAGS, *LATEST)
    assert "passed over: " in said
    assert "model.safetensors is not what was written" in said
    assert "resuming from step 1" in said


def test_a_finished_run_is_not_overwritten(drawn: Path, whole: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    (run / "notes.txt").write_text("mine")
    (run / "model" / "looks.json").write_text("mine too")
    (run / "samples" / "best.png").write_bytes(b"mine as well")
    weights = (run / "model" / "model.safetensors").read_bytes()
    message = refused(drawn, run, "--seed", "1")
    assert "holds a run already (model/, checkpoint-2)" in message
    assert "--resume_from_checkpoint latest" in message
    assert "--overwrite_output_dir" in message
    said = train_here(drawn, run, *FLAGS, *LATEST)
    assert "is finished: all its 2 steps were made" in said
    assert "--max_train_steps" in said
    assert (run / "model" / "model.safetensors").read_bytes() == weights
    shutil.rmtree(run / "model")
    assert "holds a run already (checkpoint-2)" in refused(drawn, run)
    shutil.copytree(whole / "model", run / "model")
    (run / "model" / "looks.json").write_text("mine too")

    flags = ("--overwrite_output_dir", "--max_train_steps", "1", "--seed", "1")
    train_here(drawn, run, *FLAGS, *flags)
    assert [path.name for path in run.glob("checkpoint-*")] == ["checkpoint-1"]
    assert sorted(path.name for path in (run / "samples").iterdir()) == ["0000001.png", "best.png"]
    assert (run / "notes.txt").read_text() == "mine"
    assert (run / "model" / "looks.json").read_text() == "mine too"
    assert json.loads((run / "model" / "training.json").read_text())["steps"] == 1


def test_a_new_run_that_fails_leaves_the_one_it_would_replace(
    drawn: Path, whole: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    with pytest.raises(ValueError, match="do not fill one step"):
        train_here(drawn, run, *FLAGS, "--overwrite_output_dir", "--train_batch_size", "64")
    assert (run / "checkpoint-2").is_dir()
    assert (run / "model" / "model.safetensors").is_file()


def test_a_model_without_its_checkpoints_is_not_trained_over(
    drawn: Path, whole: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole / "model", tmp_path / "run" / "model")
    message = refused(drawn, tmp_path / "run", *LATEST)
    assert "holds a finished run, model/, and no checkpoint to resume from" in message


def test_a_run_without_a_checkpoint_yet_starts(drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "run" / ".partial-checkpoint-1").mkdir(parents=True)
    said = train_here(drawn, tmp_path / "run", *FLAGS, *LATEST, "--max_train_steps", "1")
    assert "there is no checkpoint yet: starting at step 0" in said


def test_passes_over_the_data_are_compared_too(drawn: Path, tmp_path: Path) -> None:
    flags = ("--perceptual_net", "none", "--checkpointing_steps", "1", "--num_train_epochs", "1")
    train_here(drawn, tmp_path / "run", *flags)
    with pytest.raises(ValueError, match="num_train_epochs was 1 and is 2 now"):
        train_here(drawn, tmp_path / "run", *flags, *LATEST, "--num_train_epochs", "2")
    said = train_here(drawn, tmp_path / "run", *flags, *LATEST)
    assert "is finished: all its 3 steps were made" in said
    # As many steps, told otherwise.
    assert "is finished" in train_here(drawn, tmp_path / "run", *flags, *LATEST, "--max_train_steps", "3")


def test_two_processes_with_half_the_batch_are_the_same_run(drawn: Path, tmp_path: Path) -> None:
    one = train_flags(drawn, tmp_path / "run", *FLAGS, "--max_train_steps", "1", "--train_batch_size", "2")
    assert run_script(SCRIPT, one).returncode == 0
    two = [*one, *LATEST, "--max_train_steps", "2", "--allow_changes", "max_train_steps"]
    done = run_script(SCRIPT, two, processes=2)
    assert done.returncode == 1
    assert "train_batch_size was 2 and is 2 x 2 processes now" in done.stderr
    done = run_script(SCRIPT, [*two, "--train_batch_size", "1"], processes=2)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "resuming from step 1" in done.stdout
