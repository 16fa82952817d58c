"""The evaluation as a user runs it: the same results for any number of processes, and after a kill."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from groupdnet_hub import GroupDNet, GroupDNetConfig
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.evaluation import inputs as evaluate_inputs
from groupdnet_hub.evaluation.config import parse_evaluate_config
from groupdnet_hub.evaluation.report import report
from groupdnet_hub.evaluation.sampled.report import distance_text
from groupdnet_hub.io import downloads
from groupdnet_hub.metrics import FeatureStatistics, TrunkFeatures, eight_bit, frechet_distance
from groupdnet_hub.metrics.inception.weights import read_inception_weights
from groupdnet_hub.runs.measuring import diversity
from tests.helpers.command_lines import refusal
from tests.helpers.evaluate_runs import IMAGES, SCRIPT, figures, flags
from tests.helpers.generate_runs import save_model
from tests.helpers.inception_archive import drawn_archive, save_archive
from tests.helpers.processes import process_as_it_was
from tests.helpers.script_runs import Running, run_script
from tests.helpers.synthetic_systems import ChangesEverything
from train import evaluate

pytest.importorskip("lpips")
pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def whole(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, without a stop."""
    output = tmp_path_factory.mktemp("whole") / "results.json"
    with process_as_it_was():
        evaluate.main(flags(inputs, output))
    return output


def test_everything_is_measured(whole: Path, inputs: Path) -> None:
    found = figures(whole)
    assert sorted(found) == ["classes", "frechet", "lpips", "macs", "params", "segmentation"]
    assert found["classes"]["images"] == found["lpips"]["images"] == 3
    assert 0 < found["classes"]["image_mean"]["mcsd"]["value"] < found["lpips"]["lpips"]["value"]
    assert list(found["classes"]["image_mean"]["csd"]) == list(FIGURE_LABELS.names)
    low, high = found["lpips"]["lpips"]["interval"]
    assert low <= found["lpips"]["lpips"]["value"] <= high
    assert found["frechet"]["images"] == found["segmentation"]["images"] == IMAGES
    assert found["segmentation"]["ignored"] == ["background"]
    assert 0 < found["segmentation"]["pixel_accuracy"]["value"] < 1
    model = GroupDNet.from_pretrained(inputs / "model")
    assert found["params"] == sum(parameter.numel() for parameter in model.parameters())
    assert not whole.with_suffix(".parts").exists()


def test_photos_are_segmented_as_well(whole: Path) -> None:
    """What the segmentation model scores on the photos themselves is what pictures can be measured by."""
    photos = figures(whole)["segmentation"]["photos"]
    assert 0 < photos["miou"]["value"] < 1
    assert photos["miou"] != figures(whole)["segmentation"]["miou"]
    assert "mIoU of the photos" in whole.with_suffix(".md").read_text(encoding="utf-8")


def test_pictures_are_judged_at_a_size_of_choice(inputs: Path, tmp_path: Path) -> None:
    """Models of several sizes are compared by pictures of one; the photos are read at that size, not enlarged."""
    output = tmp_path / "large.json"
    small = ["--sheet_rows", "0", "--metrics", "frechet", "miou"]
    large = flags(inputs, output, *small, "--judged_size", "48", "64")
    evaluate.main(large)
    judged = evaluate_inputs.Inputs(parse_evaluate_config(large), Accelerator(cpu=True))
    network = TrunkFeatures("alexnet", inputs / "alexnet.safetensors")
    statistics = FeatureStatistics(), FeatureStatistics()
    with torch.inference_mode():
        for start in range(0, IMAGES, 2):
            photos, drawn, label = judged.draw(list(range(start, min(start + 2, IMAGES))))
            assert photos.shape[1:] == drawn.shape[1:] == (3, 48, 64)
            assert label.shape[1:] == (48, 64)
            assert torch.equal(photos[0], judged.judged[start]["image"])
            assert drawn.abs().max() <= 1
            for total, pictures in zip(statistics, (photos, drawn), strict=True):
                total.update(network(eight_bit(pictures)))
    assert figures(output)["frechet"]["value"] == pytest.approx(frechet_distance(*statistics), rel=1e-4)
    with pytest.raises(ValueError, match="started with judged_size"):
        evaluate.main(flags(inputs, output, *small))


def test_the_report_has_the_papers_row_and_a_line_for_each_class(whole: Path) -> None:
    lines = whole.with_suffix(".md").read_text().splitlines()
    titles, row = ([cell.strip() for cell in lines[i].strip("|").split("|")] for i in (0, 2))
    by_title = dict(zip(titles, row, strict=True))
    found = {"fps": {"fps": 1.0}, **figures(whole)}
    value = found["classes"]["image_mean"]["mcsd"]["value"]
    assert by_title["mCSD ↑"].startswith(f"{value:.4f} (")
    assert by_title["Model"] == "model"
    title = f"(AlexNet relu5, pooled), n = {IMAGES} ↓"  # values of another n do not compare
    assert by_title[f"Frechet distance {title}"] == f"{found['frechet']['value']:.2f}"
    assert by_title[f"KID {title}"] == distance_text(found["frechet"]["kid"])
    note = f"A Frechet distance of n = {IMAGES} pictures, fewer than 2,048, is biased upwards"
    assert sum(line.startswith(note) for line in lines) == 1
    assert not any("FID" in title for title in titles)
    for title in ("mOCD ↓", "mCSD, region mean ↑", "mOCD, masked pictures ↓", "LPIPS ↑", "mIoU ↑", "FPS ↑"):
        assert by_title[title]
    assert by_title["# Para (M) ↓"] == f"{found['params'] / 1e6:.1f}"
    for left_out in ("classes", "segmentation"):  # one is enough for a line each
        table = report("model", {**found, left_out: None}).split("\n\n")[2].splitlines()
        assert [line.split("|")[1].strip() for line in table[2:]] == list(FIGURE_LABELS.names)


def test_each_class_has_a_contact_sheet_of_what_was_measured(whole: Path, inputs: Path) -> None:
    folder = whole.with_suffix(".sheets")
    present = figures(whole)["classes"]["shown_in"]
    names = {path.stem.split("-", 1)[1] for path in folder.iterdir()}
    assert names == {name for name, count in present.items() if count}
    with Image.open(folder / "001-hair.png") as sheet:
        rows = min(2, present["hair"])
        assert sheet.size == (3 * 32, rows * 32)
        tiles = [torch.tensor(list(sheet.crop((x, 0, x + 32, 32)).tobytes())) for x in (0, 32, 64)]
    assert not torch.equal(tiles[1], tiles[2])


def test_two_processes_find_what_one_finds(inputs: Path, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    done = run_script(SCRIPT, flags(inputs, output), processes=2)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr.count("is biased upwards") == 1
    one, two = figures(whole), figures(output)
    # Sums of features are added in another order; their digits differ after the twelfth.
    assert two["frechet"].pop("value") == pytest.approx(one["frechet"].pop("value"), rel=1e-9)
    assert two == one
    for sheet in whole.with_suffix(".sheets").iterdir():
        assert (output.with_suffix(".sheets") / sheet.name).read_bytes() == sheet.read_bytes()
    row = output.with_suffix(".md").read_text().splitlines()[2]
    assert row in done.stdout


def test_killed_it_resumes_where_it_was(inputs: Path, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    running = Running(SCRIPT, flags(inputs, output))
    rows = tmp_path / "results.parts" / "classes"
    while running.poll() is None and not (rows.is_dir() and any(rows.glob("[0-9]*.json"))):
        time.sleep(0.002)
    running.kill()
    before = {path: path.read_bytes() for path in rows.glob("[0-9]*.json")}
    assert 1 <= len(before) < 3
    assert json.loads(output.read_text())["parts"]["classes"]["result"] is None
    (rows / ".000004.json.1.partial").write_text("[cut off")
    # What is there is not measured again: a figure that no measurement gives goes into the result.
    changed = next(iter(before))
    row = torch.tensor(json.loads(changed.read_text()), dtype=torch.float64)
    row[1, 1] += 3
    changed.write_text(json.dumps(row.tolist()))
    evaluate.main(flags(inputs, output, "--sheet_rows", "0"))
    one, two = figures(whole), figures(output)
    hair = [found.pop("classes")["image_mean"]["csd"]["hair"]["value"] for found in (one, two)]
    assert hair[1] == pytest.approx(hair[0] + 1)
    assert two == one
    assert not rows.parent.exists()


def test_a_finished_part_stays_and_another_metric_is_added(
    inputs: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "results.json"
    evaluate.main(flags(inputs, output, "--sheet_rows", "0", "--metrics", "lpips", "miou"))
    assert sorted(figures(output)) == ["lpips", "segmentation"]

    def never(*_: object, **__: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(diversity, "measure_image", never)
    evaluate.main(flags(inputs, output, "--sheet_rows", "0"))
    assert {**figures(output), "frechet": 0} == {**figures(whole), "frechet": 0}


def test_fid_is_the_same_with_either_file_of_weights(inputs: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch_fidelity")
    save_archive(drawn_archive(), tmp_path / "inception.pt")
    torch.save(read_inception_weights(tmp_path / "inception.pt"), tmp_path / "inception.pth")
    output = tmp_path / "results.json"

    def measure(weights: str) -> dict[str, Any]:
        more = ("--inception_weights", str(tmp_path / weights), "--num_images", "3", "--kid_seeds", "1")
        metrics = ("--sheet_rows", "0", "--metrics", "fid", "kid_inception", "miou")
        with pytest.warns(UserWarning, match=rf"{weights} has other weights"):
            evaluate.main(flags(inputs, output, *metrics, *more))
        return figures(output)

    found = measure("inception.pt")
    fid, kid = found["fid"], found["kid_inception"]
    assert fid["name"] == "Frechet distance (Inception of other weights)"
    assert fid["kid"]["name"] == kid["name"] == "KID (Inception of other weights)"
    assert fid["value"] > 0
    assert fid["images"] == fid["kid"]["images"] == kid["images"] == found["segmentation"]["images"] == 3
    # KID beside the Frechet distance is of the first picture of each label map, as here.
    assert fid["kid"]["samples"] == kid["samples"] == 1
    assert fid["kid"]["value"] == pytest.approx(kid["value"], rel=1e-3)
    # The other file makes the same network, so that all parts are finished.
    (tmp_path / "inception.pt").unlink()
    assert measure("inception.pth") == found
    text = output.with_suffix(".md").read_text()
    title = "(Inception of other weights), n = 3 ↓ |"
    assert text.startswith(f"| Model | Frechet distance {title} KID {title}")


def test_weights_out_of_reach_are_told_before_anything_is_read(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch_fidelity")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(downloads, "unreachable", lambda _: "Name or service not known")
    monkeypatch.setattr(evaluate, "Inputs", None)  # what reads the model and the data
    settings = parse_evaluate_config(flags(inputs, tmp_path / "results.json"))
    without_miou = {"segmentation_model": None, "segmentation_labels": None}
    for changed, flag in (
        ({"metrics": ("lpips",), "alexnet_weights": None}, "alexnet_weights"),
        ({"metrics": ("memory",), "alexnet_weights": None}, "alexnet_weights"),
        ({"metrics": ("fid",)}, "inception_weights"),
        ({"metrics": ("kid_inception",)}, "inception_weights"),
        ({"metrics": ("kid",), "frechet_weights": None}, "frechet_weights"),
        ({"metrics": ("frechet",), "frechet_weights": None}, "frechet_weights"),
    ):
        expected = rf"cannot be downloaded from .*\(Name or service not known\): name a local .*--{flag}"
        with pytest.raises(ValueError, match=expected):
            evaluate.Evaluation(replace(settings, **without_miou, **changed), Accelerator(cpu=True))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (["--seed", "1"], "started with seed 0, not seed 1"),
        (["--batch_size", "3"], "started with batch_size 2, not batch_size 3"),
        (["--num_pairs", "3"], "classes of .*started with num_pairs 2, not num_pairs 3"),
        (["--num_images", "4"], "frechet of .*started with num_images null, not num_images 4"),
    ],
)
def test_another_setting_is_refused(inputs: Path, whole: Path, changed: list[str], message: str) -> None:
    before = whole.read_bytes()
    with pytest.raises(ValueError, match=message):
        evaluate.main(flags(inputs, whole, *changed))
    assert whole.read_bytes() == before


def test_other_inputs_are_refused(inputs: Path, whole: Path, tmp_path: Path) -> None:
    other = save_model(tmp_path / "model", seed=2)
    with pytest.raises(ValueError, match=r"started with model \w{8}\.\.\., not model \w{8}\.\.\."):
        evaluate.main(flags(inputs, whole, "--model", str(other)))
    shutil.copytree(inputs / "data", tmp_path / "data")
    photo = next((tmp_path / "data" / "validation" / "images").iterdir())
    Image.new("RGB", (48, 48)).save(photo)
    with pytest.raises(ValueError, match="started with data"):
        evaluate.main(flags(inputs, whole, "--data_dir", str(tmp_path / "data")))
    shutil.copytree(inputs / "segmenter", tmp_path / "segmenter")
    table = json.loads((inputs / "table.json").read_text())
    table["labels"]["hat"] = "hair"
    (tmp_path / "table.json").write_text(json.dumps(table))
    with pytest.raises(ValueError, match=r"segmentation of .*started with segmentation labels"):
        evaluate.main(flags(inputs, whole, "--segmentation_labels", str(tmp_path / "table.json")))
    (tmp_path / "mine.json").write_text('{"mine": 1}')
    with pytest.raises(ValueError, match=r"mine\.json is not a results file"):
        evaluate.main(flags(inputs, tmp_path / "mine.json"))
    photo.write_bytes(b"\x89PNG\r\n\x1a\n")
    new = flags(inputs, tmp_path / "new.json", "--data_dir", str(tmp_path / "data"))
    with pytest.raises(ValueError, match=rf"^item \d+ \(images/{photo.name}, .* damaged"):
        evaluate.main(new)
    missing = next(path for path in photo.parent.iterdir() if path != photo)
    missing.unlink()
    with pytest.raises(ValueError, match=r"^2 of \d+ items cannot be read:\n") as error:
        evaluate.main(new)
    assert photo.name in str(error.value)
    assert missing.name in str(error.value)
    assert not (tmp_path / "new.json").exists()


def test_a_system_without_class_codes_splits_one_set_of_pairs(
    inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the script: mCSD + mOCD is its LPIPS, and mCSD that over the number of classes."""

    class ChangingModule(torch.nn.Module, ChangesEverything):
        labels = FIGURE_LABELS
        config = GroupDNetConfig.for_labels(FIGURE_LABELS, image_size=(32, 32), width=8)

    monkeypatch.setattr(evaluate_inputs, "load_system", lambda *_, **__: ChangingModule())
    output = tmp_path / "results.json"
    evaluate.main(flags(inputs, output, "--metrics", "mcsd", "mocd", "lpips", "miou"))
    found = figures(output)
    lpips = found["lpips"]["lpips"]["value"]
    image_mean = {
        name: part["value"] for name, part in found["classes"]["image_mean"].items() if name[0] == "m"
    }
    assert image_mean["mcsd"] + image_mean["mocd"] == pytest.approx(lpips, abs=1e-9)
    assert image_mean["mcsd"] == pytest.approx(lpips / len(FIGURE_LABELS), rel=1e-6)
    assert (output.with_suffix(".sheets") / "001-hair.png").is_file()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--split", "nowhere"], "there is no metadata.jsonl in"),
        (["--alexnet_weights", "/nowhere"], "--alexnet_weights: there is no file /nowhere"),
        (["--num_pairs", "0"], "--num_pairs is 0; it must be at least 1"),
        (["--num_images", "0"], "--num_images is 0"),
        (["--judged_size", "64", "64", "64"], "takes one side, or height and width"),
        (["--judged_size", "4"], "of 16 pixels or more"),
        (["--sheet_rows", "-1"], "--sheet_rows is -1"),
        (["--seed", "-1"], "--seed is -1"),
        (["--metrics", "miou"], "miou needs --segmentation_model"),
        (["--segmentation_labels", __file__], "are for miou, which is not among --metrics"),
        (["--segmentation_model", "user/name"], "are for miou, which is not among --metrics"),
        (["--metrics", "fid", "--num_images", "1"], "needs at least 2"),
        (["--output", "results"], "it must be a file NAME.json"),
    ],
)
def test_wrong_flags_are_named(inputs: Path, given: list[str], message: str) -> None:
    flags = ["--model", "m", "--data_dir", str(inputs / "data"), *given]
    assert message in refusal(parse_evaluate_config, flags)


def test_a_bad_input_ends_with_one_line(inputs: Path, tmp_path: Path) -> None:
    done = run_script(SCRIPT, flags(inputs, tmp_path / "results.json", "--model", str(tmp_path)))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("evaluate.py: the folder")
    assert "Traceback" not in done.stderr
