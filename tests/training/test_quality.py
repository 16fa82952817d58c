"""A model is measured while it trains, by the code of evaluate.py, and the best one is kept."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from groupdnet_hub.baselines import build_system, system_config
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.figures import write_figures
from groupdnet_hub.hub.discriminator_file import DISCRIMINATOR_FILE
from groupdnet_hub.hub.files import WEIGHTS_FILE
from groupdnet_hub.io import downloads
from groupdnet_hub.training.config import TrainConfig, parse_train_config
from groupdnet_hub.training.reports.quality_meter import chosen_metrics, measuring_networks
from groupdnet_hub.training.state.quality_record import QUALITY_FILE
from tests.helpers.checkpoints import RECORD
from tests.helpers.command_lines import refusal
from tests.helpers.evaluate_runs import write_alexnet
from tests.helpers.fake_hub import FakeHub
from tests.helpers.processes import process_as_it_was
from tests.helpers.train_runs import command_line, train, train_here

pytest.importorskip("accelerate")
pytest.importorskip("lpips")

METRICS = ("frechet", "kid", "lpips", "mcsd", "mocd")
FLAGS = ("--perceptual_net", "none", "--max_train_steps", "3", "--checkpointing_steps", "1")
# A class that is unknown; a model other than the one that is trained.
UNKNOWN = ("--ignore_id", "1", "--use_ema")
CLASS_TABLE = "evaluation/classes/text_summary"
LATEST = ("--resume_from_checkpoint", "latest")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn people with a validation split, and random weights of AlexNet."""
    folder = tmp_path_factory.mktemp("people")
    write_figures(folder, 6, size=(32, 32))
    write_figures(folder, 5, size=(32, 32), split="validation", seed=5)
    write_alexnet(folder / "alexnet.safetensors")
    return folder


def measured(people: Path, *flags: str) -> tuple[str, ...]:
    """Flags of a run that is measured at every second step and at its last one."""
    weights = ("--alexnet_weights", str(people / "alexnet.safetensors"), "--frechet_net", "alexnet")
    pictures = (
        "--num_validation_pictures",
        "4",
        "--num_diversity_pictures",
        "2",
        "--num_diversity_pairs",
        "2",
    )
    return (*FLAGS, *UNKNOWN, "--evaluation_steps", "2", *weights, *pictures, *flags)


def kept(people: Path) -> tuple[str, ...]:
    """The same, and the best is kept by a metric that falls in the first steps."""
    output = ("--save_discriminator", "--report_to", "tensorboard")
    return measured(people, "--evaluation_metrics", *METRICS, "--keep_best", "lpips", *output)


@pytest.fixture(scope="module")
def run(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is measured after its second and its third step, and keeps the best."""
    folder = tmp_path_factory.mktemp("runs") / "measured"
    said = train_here(people, folder, *kept(people))
    (folder / "said.txt").write_text(said)
    return folder


def record(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / QUALITY_FILE).read_text())
    return found


def same_weights(one: Path, other: Path) -> bool:
    """Whether two folders hold the same model and the same discriminator."""
    pairs = [(load_file(one / name), load_file(other / name)) for name in (WEIGHTS_FILE, DISCRIMINATOR_FILE)]
    return all(torch.equal(value, second[key]) for first, second in pairs for key, value in first.items())


def state(checkpoint: Path) -> dict[str, str]:
    """Checksums of the files of a checkpoint from which training resumes."""
    files = json.loads((checkpoint / RECORD).read_text())["files"]
    return {name: checksum for name, checksum in files.items() if not name.startswith("generator/")}


def test_measuring_changes_no_bit_of_the_training(people: Path, run: Path, tmp_path: Path) -> None:
    train_here(people, tmp_path / "plain", *FLAGS, *UNKNOWN, "--save_discriminator")
    for step in (2, 3):
        one, other = (folder / f"checkpoint-{step}" for folder in (run, tmp_path / "plain"))
        assert state(one) == state(other)
        assert same_weights(one / "generator", other / "generator")
    assert not (tmp_path / "plain" / QUALITY_FILE).exists()


def check_by_evaluate(people: Path, run: Path, output: Path) -> None:
    """Check that evaluate.py finds the same of each model that a run has measured."""
    from train import evaluate

    weights = people / "alexnet.safetensors"
    flags: list[object] = ["--data_dir", people, "--ignore_id", 1, "--metrics", *METRICS, "--sheet_rows", 0]
    flags += ["--alexnet_weights", weights, "--frechet_net", "alexnet", "--frechet_weights", weights]
    flags += ["--num_images", 4, "--num_samples", 2, "--num_pairs", 2, "--kid_seeds", 1]
    for found in record(run)["evaluations"]:
        file = output / f"{found['step']}.json"
        model = run / f"checkpoint-{found['step']}" / "generator"
        with process_as_it_was():
            evaluate.main([str(flag) for flag in (*flags, "--model", model, "--output", file)])
        parts = {name: part["result"] for name, part in json.loads(file.read_text())["parts"].items()}
        reading = parts["classes"]["image_mean"]
        expected = {
            "frechet": parts["frechet"]["value"],
            "kid": parts["kid"]["value"],
            "lpips": parts["lpips"]["lpips"]["value"],
            "mcsd": reading["mcsd"]["value"],
            "mocd": reading["mocd"]["value"],
        }
        assert found["values"] == pytest.approx(expected, rel=1e-4, abs=1e-9)
        csd = {name: one["value"] for name, one in reading["csd"].items() if one["value"] is not None}
        assert found["by_class"]["csd"] == pytest.approx(csd, rel=1e-4, abs=1e-9)
        assert "hair" not in csd  # unknown


def test_the_figures_are_those_of_evaluate(people: Path, run: Path, tmp_path: Path) -> None:
    check_by_evaluate(people, run, tmp_path)


def test_the_best_is_kept(run: Path) -> None:
    found = record(run)
    lpips = {one["step"]: one["values"]["lpips"] for one in found["evaluations"]}
    assert list(lpips) == [2, 3]
    assert lpips[2] > lpips[3]  # else this says nothing
    assert found["best"] == {"metric": "lpips", "step": 2, "value": lpips[2]}
    assert same_weights(run / "model", run / "checkpoint-2" / "generator")
    assert not same_weights(run / "model", run / "checkpoint-3" / "generator")
    facts = json.loads((run / "model" / "training.json").read_text())
    assert facts["steps"] == facts["evaluation"]["step"] == 2
    assert facts["metrics"]["LPIPS, 2 label maps"] == lpips[2]
    index = ModelCard.load(run / "model" / "README.md").data.eval_results
    assert {one.metric_type: one.metric_value for one in index} == found["evaluations"][0]["values"]
    assert "the model of step 2" in (run / "said.txt").read_text()


def test_trackers_get_the_figures(run: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (folder,) = {path.parent for path in (run / "logs").rglob("events.out.tfevents.*")}
    events = EventAccumulator(str(folder)).Reload()
    for one in record(run)["evaluations"]:
        shown = {**one["values"], "csd/face": one["by_class"]["csd"]["face"]}
        for name, value in shown.items():
            curve = {event.step: event.value for event in events.Scalars(f"evaluation/{name}")}
            assert curve[one["step"]] == pytest.approx(value)
    assert "evaluation/share_of_time" in events.Tags()["scalars"]
    tables = [text.tensor_proto.string_val[0].decode() for text in events.Tensors(CLASS_TABLE)]
    assert [text.splitlines()[0] for text in tables] == ["| class | csd | ocd |"] * 2
    assert all("| face | " in text for text in tables)


@pytest.mark.parametrize("measured_before", [True, False])
def test_a_run_that_resumes_goes_on_comparing(
    people: Path, run: Path, tmp_path: Path, measured_before: bool
) -> None:
    resumed = tmp_path / "run"
    shutil.copytree(run / "checkpoint-2", resumed / "checkpoint-2")
    if measured_before:  # killed after the last measurement, before its checkpoint
        shutil.copytree(run / "model", resumed / "model")
        before = {**record(run), "finished_at": None}
        (resumed / QUALITY_FILE).write_text(json.dumps(before))
    # Else stopped at step 2, before it was measured: that is made up for.
    said = train_here(people, resumed, *kept(people), *LATEST)
    assert ("step 2: " in said) is not measured_before
    assert record(resumed) == record(run)
    assert same_weights(resumed / "model", run / "model")


def test_a_finished_run_is_known_by_its_steps(people: Path, run: Path) -> None:
    assert "is finished: all its 3 steps were made" in train_here(people, run, *kept(people), *LATEST)


def test_the_best_of_an_unfinished_run_is_no_finished_run(people: Path, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "model", tmp_path / "run" / "model")
    (tmp_path / "run" / QUALITY_FILE).write_text(json.dumps({**record(run), "finished_at": None}))
    with pytest.raises(ValueError, match="holds a run already"):
        train_here(people, tmp_path / "run", *measured(people))
    said = train_here(people, tmp_path / "run", *FLAGS, "--max_train_steps", "1", *LATEST)
    assert "there is no checkpoint yet: starting at step 0" in said


def test_another_metric_compares_anew_and_overwriting_forgets(
    people: Path, run: Path, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "run")
    flags = measured(people, "--evaluation_metrics", "kid", "--keep_best", "kid", "--max_train_steps", "4")
    said = train_here(people, tmp_path / "run", *flags, *LATEST, "--allow_changes", "max_train_steps")
    assert "--keep_best kid of" in said
    assert record(tmp_path / "run")["best"]["metric"] == "kid"
    train_here(people, tmp_path / "run", *FLAGS, "--max_train_steps", "1", "--overwrite_output_dir")
    assert not (tmp_path / "run" / QUALITY_FILE).exists()
    assert json.loads((tmp_path / "run" / "model" / "training.json").read_text())["steps"] == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--keep_best", "kid", "--evaluation_metrics", "lpips"], "--keep_best kid is not measured: add it"),
        (
            ["--num_validation_pictures", "8"],
            "--num_validation_pictures has no effect without --evaluation_steps",
        ),
        (["--frechet_net", "alexnet"], "--frechet_net has no effect without --evaluation_steps"),
        (["--evaluation_steps", "0"], "--evaluation_steps is 0"),
        (["--evaluation_steps", "1", "--num_validation_pictures", "1"], "it must be at least 2"),
    ],
)
def test_refused_on_the_command_line(people: Path, flags: list[str], said: str) -> None:
    assert said in refusal(parse_train_config, ["--train_data_dir", str(people), *flags])


def test_what_needs_a_validation_split_says_so(people: Path, drawn: Path) -> None:
    with pytest.raises(ValueError, match=r"--evaluation_steps measures .* has no validation/"):
        TrainConfig(train_data_dir=(str(drawn),), evaluation_steps=1)
    streamed: dict[str, Any] = {"dataset_name": "user/people", "streaming": True, "max_train_steps": 1}
    with pytest.raises(
        ValueError, match=r"--keep_best kid measures .* --dataset_name alone has no validation/"
    ):
        TrainConfig(**streamed, classes=str(people / "classes.json"), keep_best="kid")


def test_metrics_that_say_nothing_of_a_system(people: Path) -> None:
    def chosen(name: str, **flags: Any) -> tuple[str, ...]:
        system = build_system(system_config(name, FIGURE_LABELS, (32, 32), width=4))
        settings = TrainConfig(train_data_dir=(str(people),), **{"evaluation_steps": 1, **flags})
        return chosen_metrics(settings.resolved("hinge", 1), system)

    assert chosen("GroupDNet") == ("frechet", "lpips", "mcsd", "mocd")
    assert chosen("GroupDNet", keep_best="kid") == ("frechet", "lpips", "mcsd", "mocd", "kid")
    assert chosen("BicycleGAN") == ("frechet", "lpips")
    assert chosen("pix2pixHD") == ("frechet",)
    with pytest.raises(ValueError, match="--evaluation_metrics mcsd says nothing of a BicycleGAN"):
        chosen("BicycleGAN", evaluation_metrics=("frechet", "mcsd"))
    with pytest.raises(ValueError, match="--keep_best lpips says nothing of a pix2pixHD, which has no codes"):
        chosen("pix2pixHD", keep_best="lpips")


def test_files_of_weights(people: Path, random_vgg16: Path) -> None:
    def files(**flags: Any) -> tuple[str | None, ...]:
        settings = TrainConfig(train_data_dir=(str(people),), evaluation_steps=1, **flags)
        found = measuring_networks(settings.resolved("hinge", 1), torch.device("cpu")).settings
        return found.alexnet_weights, found.inception_weights, found.frechet_weights

    vgg16, other = str(random_vgg16), str(people / "alexnet.safetensors")
    assert files(alexnet_weights=other, inception_weights=vgg16) == (other, vgg16, None)
    assert files(frechet_weights=other) == (None, None, other)
    # One file serves for all uses of a net.
    assert files(perceptual_net="vgg16", perceptual_weights=vgg16) == (None, None, vgg16)
    assert files(perceptual_weights=vgg16) == (None, None, None)  # of VGG19, as the default says
    assert files(alexnet_weights=other, frechet_net="alexnet") == (other, None, other)


def test_weights_out_of_reach_are_told_before_training(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "unreachable", lambda _: "no route to host")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ValueError, match=r"no route to host.*--frechet_weights"):
        train_here(people, tmp_path / "run", *FLAGS, "--evaluation_steps", "1")
    assert not (tmp_path / "run" / "samples").exists()


@pytest.mark.slow
def test_processes_share_the_pictures(people: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(people, run, *measured(people, "--evaluation_metrics", *METRICS), processes=2)
    check_by_evaluate(people, run, tmp_path)


@pytest.mark.slow
def test_the_best_is_uploaded(people: Path, tmp_path: Path) -> None:
    hub, run = FakeHub(), tmp_path / "run"
    uploaded = ("--push_to_hub", "--hub_model_id", "user/people", "--report_to", "none")
    command, environment = command_line(people, run, *kept(people), *uploaded)
    with hub.serving():
        environment |= hub.environment(tmp_path / "home")
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
    assert done.returncode == 0, done.stderr[-3000:]
    pushed = hub.repositories["user/people"]["main"]
    (tmp_path / "pushed").mkdir()
    for name, content in pushed.items():
        (tmp_path / "pushed" / name).write_bytes(content)
    assert same_weights(tmp_path / "pushed", run / "checkpoint-2" / "generator")
    assert b"model-index" in pushed["README.md"]
