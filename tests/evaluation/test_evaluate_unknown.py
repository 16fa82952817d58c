"""The evaluation of label maps with unknown pixels: what photos show there changes no figure."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image

from groupdnet_hub import GroupDNet, LabelSet
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.unknown import UNKNOWN
from groupdnet_hub.evaluation.config import parse_evaluate_config
from groupdnet_hub.evaluation.inputs import Inputs
from groupdnet_hub.evaluation.report import unknown_text
from tests.helpers.evaluate_runs import figures, flags, sampled_flags
from tests.helpers.partial_maps import write_partial_figures
from tests.helpers.processes import process_as_it_was
from train import compare_models, evaluate

pytest.importorskip("lpips")
pytest.importorskip("transformers")

MAPS = 3
SAMPLED = ("kid", "sharpness", "fixed_pattern", "memory", "tone", "chroma")
VOID = ("--ignore_id", "255")


def partial_data(folder: Path, scramble: int, size: int) -> Path:
    """Photos for measuring and for training, both with noise at unknown pixels, of the size at which they are judged.

    A photo of another size would be resized first, which mixes pixels with their neighbours.
    """
    write_partial_figures(folder, MAPS, scramble=scramble, size=size)
    write_partial_figures(folder, 4, split="train", seed=9, scramble=scramble, size=size)
    return folder


@pytest.fixture(scope="module")
def measured(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, bool], Path]:
    """The results on data with this noise, each measured once."""
    folder = tmp_path_factory.mktemp("measured")

    def run(scramble: int, sampled: bool) -> Path:
        size = 64 if sampled else 32
        data, output = folder / f"{scramble}_{size}", folder / f"results_{scramble}_{size}.json"
        if not data.exists():
            partial_data(data, scramble, size)
        if not output.exists():
            of = sampled_flags if sampled else flags
            more = ("--metrics", *SAMPLED) if sampled else ()
            with process_as_it_was():
                evaluate.main(of(inputs, output, "--data_dir", str(data), *VOID, *more))
        return output

    return run


def test_noise_at_unknown_pixels_changes_no_figure(measured: Callable[[int, bool], Path]) -> None:
    one, other = (figures(measured(scramble, False)) for scramble in (1, 2))
    of_photos = [found["segmentation"].pop("photos") for found in (one, other)]
    assert one == other
    assert one["segmentation"]["confusion"] == other["segmentation"]["confusion"]
    # The segmentation model sees photos as they are, so that its answer beside unknown pixels may differ.
    assert all(0 < found["pixel_accuracy"]["value"] < 1 for found in of_photos)


def test_nor_any_measure_of_several_pictures(measured: Callable[[int, bool], Path]) -> None:
    one, other = (figures(measured(scramble, True)) for scramble in (1, 2))
    assert sorted(one) == sorted(SAMPLED)
    assert one == other


def test_scores_count_the_known_pixels(measured: Callable[[int, bool], Path]) -> None:
    output = measured(1, False)
    maps = sorted((output.parent / "1_32" / "validation" / "labels").iterdir())
    ids = np.stack([np.asarray(Image.open(path)) for path in maps])
    scored = int(((ids != 0) & (ids != 255)).sum())  # the table leaves background out
    assert np.sum(figures(output)["segmentation"]["confusion"]) == scored
    assert (ids == 255).sum() == 2 * 16 * 16


def test_results_and_report_say_how_many_there_are(measured: Callable[[int, bool], Path]) -> None:
    output = measured(1, False)
    content = json.loads(output.read_text())
    assert content["unknown_pixels"] == {
        "ignore": [255],
        "maps": 2,
        "fraction": pytest.approx(1 / 6, rel=0.01),
        "left_out": 0,
    }
    said = "16.7 % of the pixels were left out: 2 label maps have unknown pixels (255)."
    assert said in output.with_suffix(".md").read_text()
    assert output.with_suffix(".sheets").is_dir()


def test_the_flag_is_a_condition_of_the_results(
    inputs: Path, measured: Callable[[int, bool], Path], tmp_path: Path
) -> None:
    data = measured(1, False).parent / "1_32"
    with pytest.raises(ValueError, match="255 is not a class id"):
        evaluate.main(flags(inputs, tmp_path / "none.json", "--data_dir", str(data)))
    with process_as_it_was(), pytest.raises(ValueError, match="started with ignore"):
        evaluate.main(flags(inputs, measured(1, False), "--data_dir", str(data), *VOID, "7"))


@pytest.fixture
def described(inputs: Path, tmp_path: Path) -> Callable[..., Inputs]:
    """What is measured, of data whose ``classes.json`` ignores something."""

    def read(*ignore: object, **changed: str) -> Inputs:
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        write_partial_figures(tmp_path / "data", MAPS, scramble=1)
        LabelSet(FIGURE_LABELS.names, FIGURE_LABELS.palette, ignore).to_file(
            tmp_path / "data" / "classes.json"
        )
        for name, change in changed.items():
            path = tmp_path / "data" / "validation" / "labels" / f"{name}.png"
            if change == "void":
                Image.fromarray(np.full((48, 48), 255, np.uint8)).save(path)
        given = flags(inputs, tmp_path / "out.json", "--data_dir", str(tmp_path / "data"))
        return Inputs(parse_evaluate_config(given), Accelerator(cpu=True))

    return read


def test_classes_json_says_what_is_unknown(described: Callable[..., Inputs]) -> None:
    found = described(255)
    assert found.unknown is not None
    assert (found.unknown.maps, found.unknown.left_out) == (2, 0)
    sampled = found.sampled(1, 2)
    unknown = sampled.label == UNKNOWN
    assert int(unknown.sum()) == 16 * 16
    assert (sampled.photo[:, unknown] == 128).all()
    assert (sampled.pictures[:, :, unknown] == 128).all()
    assert not (sampled.photo[:, ~unknown] == 128).all()
    photos, _, label = found.draw([0, 1])
    assert (label[0] >= 0).all()
    assert torch.equal(label[1], sampled.label)
    assert not (photos[1][:, unknown] == 0).all(), "full, for the segmentation model"


def test_a_class_may_stand_for_unknown_pixels(described: Callable[..., Inputs]) -> None:
    """It is on no map; a map that shows nothing else is left out."""
    found = described(255, 0, figure_00002="void")
    assert found.ignored_classes == (0,)
    assert found.unknown is not None
    assert found.unknown.left_out == 1
    assert found.chosen == [0, 1]
    assert all(0 not in classes for classes in found.present.values())


def test_a_class_that_stands_for_unknown_pixels_has_no_figures(inputs: Path, tmp_path: Path) -> None:
    write_partial_figures(tmp_path / "data", MAPS)
    output, metrics = tmp_path / "results.json", ("--metrics", "mcsd", "mocd", "miou", "--sheet_rows", "1")
    evaluate.main(flags(inputs, output, "--data_dir", str(tmp_path / "data"), *VOID, "0", *metrics))
    found = figures(output)
    assert found["classes"]["image_mean"]["csd"]["background"]["value"] is None
    assert found["classes"]["image_mean"]["csd"]["hair"]["value"] is not None
    assert found["classes"]["shown_in"]["background"] == 0
    assert found["segmentation"]["iou"]["background"]["value"] is None
    assert "| background | 0 of 3 | - | - |" in output.with_suffix(".md").read_text()
    assert "000-background.png" not in {path.name for path in output.with_suffix(".sheets").iterdir()}


def test_without_any_nothing_is_told(described: Callable[..., Inputs], inputs: Path, tmp_path: Path) -> None:
    given = flags(inputs, tmp_path / "out.json")
    assert Inputs(parse_evaluate_config(given), Accelerator(cpu=True)).unknown is None
    assert unknown_text(None) == ""
    none = {"ignore": [255, [1, 2, 3]], "maps": 0, "fraction": 0.0, "left_out": 0}
    assert "No pixel of the label maps is unknown (holds 255, [1, 2, 3])" in unknown_text(none)
    one = {"ignore": [255], "maps": 1, "fraction": 0.00004, "left_out": 2}
    assert "less than 0.1 % of the pixels were left out: 1 label map has unknown pixels" in unknown_text(one)
    assert "2 without a known pixel were left out as a whole" in unknown_text(one)


def test_a_models_own_list_serves_data_without_classes(inputs: Path, tmp_path: Path) -> None:
    model = GroupDNet.from_pretrained(inputs / "model")
    GroupDNet(model.config.replace(ignore=(255,))).save_pretrained(tmp_path / "model")
    write_partial_figures(tmp_path / "data", MAPS)
    (tmp_path / "data" / "classes.json").unlink()
    given = flags(inputs, tmp_path / "out.json", "--data_dir", str(tmp_path / "data"))
    with pytest.raises(ValueError, match="255 is not a class id"):
        Inputs(parse_evaluate_config(given), Accelerator(cpu=True))
    given += ["--model", str(tmp_path / "model")]
    found = Inputs(parse_evaluate_config(given), Accelerator(cpu=True)).unknown
    assert found is not None
    assert found.maps == 2


def test_models_are_compared_without_them(inputs: Path, tmp_path: Path) -> None:
    data: Any = tmp_path / "data"
    write_partial_figures(data, MAPS)
    given = ["--models", f"one={inputs / 'model'}", f"two={inputs / 'other'}", "--data_dir", str(data)]
    given += ["--output_dir", str(tmp_path / "out"), "--sheet_maps", "2", "--sheet_columns", "2"]
    with pytest.raises(ValueError, match="255 is not a class id"):
        compare_models.main([*given, "--sheets_only"])
    compare_models.main([*given, "--sheets_only", *VOID])
    assert len(list((tmp_path / "out" / "sheets").iterdir())) == 2
