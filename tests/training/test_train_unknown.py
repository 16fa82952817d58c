"""Training on label maps with unknown pixels, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from groupdnet_hub import GroupDNet, GroupDNetConfig, LabelSet, grow, transfer_classes
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from tests.helpers.unknown_maps import ignore_in, repaint, write_bordered

pytest.importorskip("accelerate")
from groupdnet_hub.training.build import build_model
from groupdnet_hub.training.data.pictures import build_labels
from tests.helpers.command_lines import train_settings
from tests.helpers.train_runs import train_here

SHORT = ["--perceptual_net", "none", "--max_train_steps", "2", "--validation_steps", "1"]


@pytest.fixture(scope="module")
def bordered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn people with 255 at outlines, of which classes.json says nothing."""
    folder = tmp_path_factory.mktemp("bordered")
    write_bordered(folder, 4, (32, 32))
    return folder


def test_unknown_pixels_are_refused_unless_they_are_told(bordered: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r'255 is not a class id.*"ignore": \[255\].*, or --ignore_id 255 to'
    ):
        train_here(bordered, tmp_path, *SHORT)


MOVED = ["--random_flip", "--random_shift", "0.1", "--simplified_maps", "0.5", "--balanced_sampling", "0.5"]
RUNS = {
    "all extras": [
        *MOVED,
        *("--gradient_accumulation_steps", "2", "--use_ema", "--prior_codes", "2", "--diffaugment"),
        *("--class_order", "likeness", "--recoloured_classes", "top-clothes", "--l1_weight", "1"),
        *("--class_balance", "0.5", "--redraw_weight", "10", "--redraw_memory", "4", "--r1_weight", "1"),
    ],
    "plain": ["--plain_step", "--prior_rank", "2", "--cache_data", "none"],
    "segmentation": ["--discriminator", "segmentation", "--gradient_accumulation_steps", "2", *MOVED],
    "stream": ["--dataset_name", "imagefolder", "--streaming", "--random_flip"],
    "BicycleGAN": ["--model", "BicycleGAN", "--width", "8", "--gradient_accumulation_steps", "2"],
}


@pytest.mark.parametrize("run", RUNS)
def test_a_run_is_the_same_whatever_photos_show_at_unknown_pixels(tmp_path: Path, run: str) -> None:
    """All that it writes: weights, previews, a fitted prior."""
    if run == "stream":
        pytest.importorskip("datasets")
    written = []
    for name in ("one", "other"):
        write_bordered(tmp_path / name, 6, (32, 32))
        write_bordered(tmp_path / name, 3, (32, 32), split="validation")
        if name == "other":
            repaint(tmp_path / name, 0)
        train_here(
            tmp_path / name,
            tmp_path / "run" / name,
            *SHORT,
            "--ignore_id",
            "255",
            *RUNS[run],
            "--save_discriminator",
        )
        found = sorted((tmp_path / "run" / name).glob("model/*.safetensors"))
        assert len(found) == 2
        written.append([load_file(path) for path in found])
        grids = sorted((tmp_path / "run" / name / "samples").iterdir())
        written[-1].append({path.name: torch.from_numpy(np.array(Image.open(path))) for path in grids})
    for one, other in zip(*written, strict=True):
        assert one.keys() == other.keys()
        assert [key for key, value in one.items() if not torch.equal(value, other[key])] == []


@pytest.mark.parametrize("where", ["flag", "classes.json", "--classes"])
def test_they_are_trained_on_and_the_model_keeps_what_it_ignores(
    bordered: Path, tmp_path: Path, where: str
) -> None:
    flags = [*SHORT, "--ignore_id", "255", "#010203"]
    data = bordered
    if where != "flag":
        data = tmp_path / "data"
        write_bordered(data, 4, (32, 32))
        if where == "--classes":
            FIGURE_LABELS.to_file(tmp_path / "classes.json")
            ignore_in(tmp_path, 255, [1, 2, 3])
            flags = [*SHORT, "--classes", str(tmp_path / "classes.json")]
        else:
            ignore_in(data, 255, [1, 2, 3])
            flags = SHORT
    run = tmp_path / "run"
    train_here(data, run, *flags, "--prior_codes", "2", "--use_ema", "--balanced_sampling", "0.5")
    assert json.loads((run / "model" / "config.json").read_text())["ignore"] == [255, [1, 2, 3]]
    model = GroupDNet.from_pretrained(run / "model")
    assert model.labels.ignore == (255, (1, 2, 3))
    # Unknown pixels have a colour of their own in a grid's label maps, and are grey in its photos.
    grid = np.asarray(Image.open(run / "samples" / "0000002.png").convert("RGB"))
    written = np.asarray(Image.open(sorted(data.glob("train/labels/*.png"))[0]))
    label, photo = grid[:32, :32], grid[:32, 32:64]
    assert (label[written == 255] == (1, 2, 3)).all()
    assert (abs(photo[written == 255].astype(int) - 127) <= 1).all()
    assert photo[written != 255].std() > 10


def test_the_flag_adds_to_classes_json(tmp_path: Path) -> None:
    write_bordered(tmp_path, 1, (32, 32))
    ignore_in(tmp_path, 254)
    labels = build_labels(train_settings(tmp_path, "--ignore_id", "255", "#010203", "254"))
    assert labels == LabelSet(FIGURE_LABELS.names, FIGURE_LABELS.palette, (254, 255, (1, 2, 3)))
    with pytest.raises(ValueError, match=r"--ignore_id: ignore holds the colour .* of class 0: list its id"):
        build_labels(train_settings(tmp_path, "--ignore_id", f"#{bytes(FIGURE_LABELS.palette[0]).hex()}"))


def ignoring(*values: int) -> LabelSet:
    return LabelSet(FIGURE_LABELS.names, FIGURE_LABELS.palette, values)


@pytest.mark.parametrize("flags", [[], ["--grow"]])
@pytest.mark.parametrize("values", [(), (254, 0)])
def test_a_pretrained_model_ignores_what_the_data_do_and_what_it_did(
    tmp_path: Path, flags: list[str], values: tuple[int, ...]
) -> None:
    old = GroupDNet(GroupDNetConfig.for_labels(ignoring(255), (32, 32), 4))
    old.save_pretrained(tmp_path / "model")
    settings = train_settings(tmp_path, "--pretrained_model_name_or_path", str(tmp_path / "model"), *flags)
    model, _ = build_model(settings, ignoring(*values))
    assert model.labels.ignore == model.config.ignore == (*values, 255)
    assert model.labels.names == old.labels.names
    if not flags:
        before = load_file(tmp_path / "model" / "model.safetensors")
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_a_model_ignored_is_forgotten_where_it_is_a_class_now(tmp_path: Path) -> None:
    classes = LabelSet(("sky", "road"), ((0, 0, 0), (7, 7, 7)), (255, 2, (9, 9, 9)))
    old = GroupDNetConfig.for_labels(classes, (32, 32), 4)
    GroupDNet(old).save_pretrained(tmp_path / "model")
    flags = ["--pretrained_model_name_or_path", str(tmp_path / "model"), "--init_class", "car=road"]
    labels = LabelSet(("sky", "road", "car"), ((0, 0, 0), (9, 9, 9), (1, 2, 3)), (254,))
    assert build_model(train_settings(tmp_path, *flags), labels)[0].config.ignore == (254, 255)
    (tmp_path / "config.json").write_text(old.to_json())
    model, _ = build_model(
        train_settings(tmp_path, "--config", str(tmp_path / "config.json")), LabelSet.from_names(["a", "b"])
    )
    assert model.config.ignore == (255, 2, (9, 9, 9))


def test_larger_models_and_those_of_other_classes_know_what_is_ignored() -> None:
    old = GroupDNet(GroupDNetConfig.for_labels(ignoring(255), (32, 32), 4))
    assert grow(old).config.ignore == (255,)
    more = LabelSet((*FIGURE_LABELS.names, "bag"), (*FIGURE_LABELS.palette, (1, 2, 3)), (254,))
    new, _ = transfer_classes(old, more)
    assert new.config.ignore == new.labels.ignore == (254,)
