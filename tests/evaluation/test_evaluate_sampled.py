"""Measures of several pictures of each label map, as a user runs them."""

from __future__ import annotations

import json
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from groupdnet_hub import LabelSet
from groupdnet_hub.evaluation.config import parse_evaluate_config
from groupdnet_hub.evaluation.inputs import Inputs, Sampled
from groupdnet_hub.evaluation.report import comparison
from groupdnet_hub.evaluation.sampled import choice as sampled_choice
from groupdnet_hub.evaluation.sampled.choice import class_names
from groupdnet_hub.metrics import TrunkFeatures, faces, kernel_distance
from tests.helpers.command_lines import refusal
from tests.helpers.evaluate_runs import IMAGES, SCRIPT, figures
from tests.helpers.evaluate_runs import sampled_flags as flags
from tests.helpers.processes import process_as_it_was
from tests.helpers.script_runs import run_script
from train import evaluate

pytest.importorskip("lpips")
pytest.importorskip("transformers")


def test_kid_is_of_the_pictures_that_the_seeds_draw_and_of_training_photos(
    inputs: Path, tmp_path: Path
) -> None:
    output = tmp_path / "results.json"
    given = flags(inputs, output, "--metrics", "kid")
    evaluate.main(given)
    found = figures(output)["kid"]
    judged = Inputs(parse_evaluate_config(given), Accelerator(cpu=True))
    network = TrunkFeatures("alexnet", inputs / "alexnet.safetensors")
    with torch.inference_mode():
        sampled = [judged.sampled(index, 3) for index in range(IMAGES)]
        drawn = torch.stack([network(one.pictures) for one in sampled])
        photos = torch.cat([network(one.photo[None]) for one in sampled])
    expected = kernel_distance(drawn, photos)
    assert found["value"] == pytest.approx(expected.value, rel=1e-4)
    assert found["standard_error"] == pytest.approx(expected.standard_error, rel=1e-4)
    assert (found["images"], found["samples"]) == (IMAGES, 3)
    assert found["photos"]["images"] == 4  # as many as there are training photos
    assert abs(found["photos"]["value"]) < found["value"]
    report = output.with_suffix(".md").read_text(encoding="utf-8")
    assert (
        f"| KID (AlexNet relu5, pooled) ↓ | {found['photos']['value']:.4f} ± "
        f"{found['photos']['standard_error']:.4f} | {found['value']:.4f} ± {found['standard_error']:.4f} |"
    ) in report
    assert not output.with_suffix(".parts").exists()


def test_the_same_photos_for_training_and_validation_have_no_kid(inputs: Path, tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    same = ("--train_split", "validation")
    evaluate.main(flags(inputs, output, "--metrics", "kid", *same))
    assert figures(output)["kid"]["photos"]["value"] == pytest.approx(0, abs=1e-9)


def test_pictures_of_a_map_differ_and_do_not_depend_on_how_many_there_are(inputs: Path) -> None:
    judged = Inputs(parse_evaluate_config(flags(inputs, Path("x.json"))), Accelerator(cpu=True))
    with torch.inference_mode():
        many, few = judged.sampled(1, 7).pictures, judged.sampled(1, 3).pictures
        alone = judged.draw([1])[1]
    assert many.shape == (7, 3, 64, 64)
    assert torch.equal(many[:3], few)
    assert len({picture.numpy().tobytes() for picture in many}) == 7
    assert (many[0].float() - (alone[0] + 1) * 127.5).abs().max() < 0.51 + 1e-3


def test_frames_are_judged_apart_by_the_ends_of_their_names(inputs: Path, tmp_path: Path) -> None:
    """Their pictures are those that they have among all items."""
    parse = parse_evaluate_config
    every = Inputs(parse(flags(inputs, Path("x.json"))), Accelerator(cpu=True))
    odd = Inputs(parse(flags(inputs, Path("x.json"), "--name_suffix", "3")), Accelerator(cpu=True))
    assert odd.spread(None) == [3]
    assert set(odd.present) == {3}
    with torch.inference_mode():
        assert torch.equal(odd.sampled(3, 2).pictures, every.sampled(3, 2).pictures)
    with pytest.raises(
        ValueError, match=r"none of the 5 names ends in '_upper'; the first are figure_00000, "
    ):
        evaluate.main(flags(inputs, tmp_path / "results.json", "--name_suffix", "_upper"))
    output = tmp_path / "params.json"
    evaluate.main(flags(inputs, output, "--metrics", "params"))
    with pytest.raises(ValueError, match="started with name_suffix null, not name_suffix"):
        evaluate.main(flags(inputs, output, "--metrics", "params", "--name_suffix", "3"))


def test_the_middle_of_wide_frames_is_judged(inputs: Path) -> None:
    given = flags(inputs, Path("x.json"), "--judged_aspect", "2")
    judged = Inputs(parse_evaluate_config(given), Accelerator(cpu=True))
    whole = Inputs(parse_evaluate_config(flags(inputs, Path("x.json"))), Accelerator(cpu=True))
    with torch.inference_mode():
        narrow, wide = judged.sampled(0, 1), whole.sampled(0, 1)
        photos, drawn, label = judged.draw([0, 1])
    assert photos.shape == drawn.shape == (2, 3, 64, 32)
    assert label.shape == (2, 64, 32)
    for name in ("photo", "pictures", "label"):
        assert torch.equal(getattr(narrow, name), getattr(wide, name)[..., 16:48])
    assert judged.judging_settings() == {"judged_size": [64, 64], "judged_aspect": 2.0}


def test_without_training_photos_their_distance_is_left_open(inputs: Path, tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    evaluate.main(flags(inputs, output, "--metrics", "kid", "--train_split", "nowhere"))
    assert figures(output)["kid"]["photos"] is None
    assert "| KID (AlexNet relu5, pooled) ↓ | - | 0." in output.with_suffix(".md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--kid_seeds", "0"], "--kid_seeds is 0; it must be at least 1"),
        (["--metrics", "kid", "--num_images", "1"], "a kernel distance needs at least 2"),
        (["--train_data_dir", "/nowhere"], "there is no metadata.jsonl in /nowhere/train"),
        (["--judged_aspect", "0"], "--judged_aspect is 0.0; it must lie between"),
    ],
)
def test_wrong_flags_are_named(inputs: Path, given: list[str], message: str) -> None:
    flags = ["--model", "m", "--data_dir", str(inputs / "data"), *given]
    assert message in refusal(parse_evaluate_config, flags)


# All but faces, which need a package that is not installed everywhere.
MEASURES = ("kid", "sharpness", "fixed_pattern", "memory", "tone", "chroma")


@pytest.fixture(scope="module")
def whole(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, without a stop."""
    output = tmp_path_factory.mktemp("whole") / "results.json"
    with process_as_it_was():
        evaluate.main(flags(inputs, output, "--pattern_seeds", "5", "--metrics", *MEASURES))
    return output


def test_every_measure_stands_beside_its_value_for_photos(whole: Path) -> None:
    found = figures(whole)
    assert sorted(found) == sorted(MEASURES)
    for part in ("sharpness", "memory", "tone"):
        assert found[part]["ratio"]["value"] > 0
    assert found["memory"]["training_photos"] == 4
    ratio = found["memory"]["pictures"]["value"] / found["memory"]["photos"]["value"]
    assert found["memory"]["ratio"]["value"] == pytest.approx(ratio)
    assert list(found["fixed_pattern"]["pattern"]) == ["top-clothes"]
    assert 0 <= found["chroma"]["pictures"]["value"] <= 1
    table = whole.with_suffix(".md").read_text(encoding="utf-8").split("\n\n")[1].splitlines()
    assert table[0] == "| Measure | Photos | model |"
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ")[1:] for line in table[2:]}
    assert len(rows) == len(MEASURES)
    sharpness = rows["Sharpness, of photos' (1 is right)"]
    assert sharpness[0].startswith("1 (")
    assert sharpness[1].startswith(f"{found['sharpness']['ratio']['value']:.2f} (")
    assert rows["Fixed pattern of top-clothes ↓"][0].startswith("single ")


def test_two_processes_measure_what_one_does(inputs: Path, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    given = flags(inputs, output, "--pattern_seeds", "5", "--metrics", *MEASURES)
    done = run_script(SCRIPT, given, processes=2)
    assert done.returncode == 0, done.stderr[-3000:]
    assert figures(output) == figures(whole)


def test_what_is_measured_is_not_measured_again(
    inputs: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at the third label map, it draws that and those after it, for all parts or for some alone."""
    output = tmp_path / "results.json"
    given = flags(inputs, output, "--pattern_seeds", "5", "--metrics", *MEASURES)
    drawn: list[int] = []
    sampled = Inputs.sampled

    def stops(self: Inputs, index: int, count: int) -> Sampled:
        drawn.append(index)
        if drawn == [0, 1, 2]:
            raise KeyboardInterrupt
        return sampled(self, index, count)

    monkeypatch.setattr(Inputs, "sampled", stops)
    with pytest.raises(KeyboardInterrupt):
        evaluate.main(given)
    (tmp_path / "results.parts" / "sharpness" / "000001.json").unlink()
    evaluate.main(given)
    assert drawn[3:] == [1, 2, 3, 4]
    assert figures(output) == figures(whole)


def test_faces_are_found_in_heads(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        """Sees a face in every second picture."""

        def __call__(self, pictures: torch.Tensor) -> list[bool]:
            assert pictures.shape[1:] == (3, 256, 256)
            return [number % 2 == 0 for number in range(len(pictures))]

    monkeypatch.setattr(sampled_choice, "FaceMesh", Finder)
    output = tmp_path / "results.json"
    evaluate.main(flags(inputs, output, "--metrics", "faces"))
    found = figures(output)["faces"]
    assert found["ratio"]["value"] == pytest.approx(1 / 3)  # photo, then three pictures
    assert found["photos"]["value"] == 1
    assert found["images"] >= 2
    assert "| Faces found, of photos' ↑ | 1 (100 % of heads) | 0.33 (" in output.with_suffix(".md").read_text(
        encoding="utf-8"
    )


def test_faces_without_the_package_are_refused_with_the_command(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    monkeypatch.setattr(faces, "version", lambda name: (_ for _ in ()).throw(PackageNotFoundError(name)))
    with pytest.raises(ImportError, match=r"pip install mediapipe==0\.10\.14"):
        evaluate.main(flags(inputs, tmp_path / "results.json", "--metrics", "faces"))
    assert not (tmp_path / "results.json").exists()


def test_classes_are_those_of_the_flags_or_of_people(inputs: Path, tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    given = flags(inputs, output, "--metrics", "sharpness")
    evaluate.main(given)
    settings = json.loads(output.read_text(encoding="utf-8"))["parts"]["sharpness"]["settings"]
    assert settings["garment_classes"] == ["top-clothes", "bottom-clothes"]
    with pytest.raises(ValueError, match=r"sharpness of .*started with garment_classes"):
        evaluate.main([*given, "--garment_classes", "shoes"])
    with pytest.raises(ValueError, match=r"--garment_classes: .*cape"):
        evaluate.main([*given, "--garment_classes", "cape"])
    street = LabelSet.from_names(("sky", "house", "road"))
    assert class_names("garment_classes", None, street) == ("house", "road")
    for flag in ("head_classes", "tone_classes"):
        with pytest.raises(ValueError, match=f"name those of yours with --{flag}"):
            class_names(flag, None, street)
    assert class_names("tone_classes", ["road", "sky"], street) == ("road", "sky")


def test_memory_needs_training_photos(inputs: Path) -> None:
    given = flags(inputs, Path("x.json"), "--metrics", "memory", "--train_split", "nowhere")
    assert "there is no metadata.jsonl in" in refusal(parse_evaluate_config, given)


def test_models_stand_beside_the_photos_in_one_table(whole: Path) -> None:
    found = figures(whole)
    table = comparison({"first": found, "second": {"chroma": found["chroma"]}}).split("\n\n")[1].splitlines()
    assert table[0] == "| Measure | Photos | first | second |"
    assert [line.split(" | ")[-1] == "- |" for line in table[2:]] == [True] * 5 + [False]
