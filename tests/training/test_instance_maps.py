"""Data with instance maps, models with and without their edges, and data of which some items lack them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from torch import Tensor

from groupdnet_hub import GroupDNet, PairedImages
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from tests.helpers.command_lines import train_settings
from tests.helpers.instance_maps import figures_with_instances
from tests.helpers.network_models import make_model

pytest.importorskip("accelerate")
from groupdnet_hub.training.build import build_model
from groupdnet_hub.training.kit.data import pack_data
from tests.helpers.train_runs import train_here
from train import evaluate, generate
from train.tools import fit_prior

FLAGS = ("--perceptual_net", "none", "--max_train_steps", "1")
NOTE = "the data have instance maps, which this model ignores: --instance_edges makes a new model"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("instances") / "data"
    return figures_with_instances(folder, 4, splits=("train", "validation"))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return figures_with_instances(tmp_path_factory.mktemp("mixed") / "data", 4, without=1)


@pytest.fixture(scope="module")
def with_edges(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that ``--instance_edges`` made for the classes of the data."""
    output = tmp_path_factory.mktemp("edges")
    said = train_here(data, output, *FLAGS, "--instance_edges")
    assert "instance maps" not in said
    return output / "model"


def test_a_model_without_edges_ignores_them_and_says_so_once(data: Path, mixed: Path, tmp_path: Path) -> None:
    for number, folder in enumerate((data, mixed)):
        said = train_here(folder, tmp_path / str(number), *FLAGS)
        assert said.count(NOTE) == 1
        assert not GroupDNet.from_pretrained(tmp_path / str(number) / "model").config.instance_edges


def test_a_flag_makes_a_model_with_edges(with_edges: Path) -> None:
    assert GroupDNet.from_pretrained(with_edges).config.instance_edges


@pytest.mark.parametrize("cache", ["none", "memory"])
def test_edges_need_all_instance_maps_before_the_first_step(mixed: Path, tmp_path: Path, cache: str) -> None:
    flags = (*FLAGS, "--instance_edges", "--cache_data", cache, "--check_data", "none")
    message = r"draws instance edges: 1 of 4 items has no instance map .*: train/images/figure_00003\.png$"
    with pytest.raises(ValueError, match=message):
        train_here(mixed, tmp_path / "out", *flags)
    assert not (tmp_path / "out").exists()


def test_rivals_have_edges_too(data: Path) -> None:
    settings = train_settings(
        data, "--resolution", "32", "--width", "8", "--model", "SPADE", "--instance_edges"
    )
    assert build_model(settings, FIGURE_LABELS)[0].config.instance_edges


def test_a_prior_of_the_nearest_decoded_pictures_uses_them(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(8, (32, 32), instance_edges=True, prior_codes=4)
    items = PairedImages.from_folder(data, (32, 32), labels=FIGURE_LABELS)
    batch = [torch.stack([items[i][name] for i in range(4)]) for name in ("image", "label", "instance")]
    with pytest.raises(ValueError, match="nearest below 1 decodes: give each batch its instance map too"):
        model.fit_prior([tuple(batch[:2])], nearest=0.5)
    decode, decoded = model.decode, []

    def recorded(codes: Tensor, label: Tensor, instance: Tensor | None = None) -> Tensor:
        decoded.append(instance)
        return decode(codes, label, instance)

    monkeypatch.setattr(model, "decode", recorded)
    model.fit_prior([tuple(part[:3] for part in batch), tuple(part[3:] for part in batch)], nearest=0.5)
    assert torch.equal(torch.cat(decoded), batch[2])
    model.fit_prior([tuple(batch)])
    fitted = model.prior.mean.clone()
    model.fit_prior([tuple(batch[:2])])
    assert torch.equal(fitted, model.prior.mean)
    assert len(decoded) == 2


@pytest.mark.parametrize("nearest", ["0.5", "1"])
def test_fit_prior_of_a_model_with_edges(data: Path, with_edges: Path, tmp_path: Path, nearest: str) -> None:
    flags = ["--model", str(with_edges), "--data_dir", str(data), "--output_dir", str(tmp_path / "out")]
    fit_prior.main([*flags, "--prior_codes", "2", "--nearest", nearest])
    assert GroupDNet.from_pretrained(tmp_path / "out").config.prior_codes == 2


def test_fit_prior_of_data_that_lack_some(mixed: Path, with_edges: Path, tmp_path: Path) -> None:
    flags = ["--model", str(with_edges), "--data_dir", str(mixed), "--output_dir", str(tmp_path / "out")]
    with pytest.raises(ValueError, match="1 of 4 items has no instance map"):
        fit_prior.main([*flags, "--prior_codes", "2", "--nearest", "0.5"])
    fit_prior.main([*flags, "--prior_codes", "2"])  # encoding alone needs none


@pytest.mark.parametrize("name", ["data", "mixed"])
def test_other_commands_on_the_same_data(
    name: str, request: pytest.FixtureRequest, with_edges: Path, tmp_path: Path
) -> None:
    """A model without edges reads data of which some or all have instance maps; one with edges needs all."""
    folder: Path = request.getfixturevalue(name)
    make_model(
        config=GroupDNet.from_pretrained(with_edges).config.replace(instance_edges=False)
    ).save_pretrained(tmp_path / "plain")
    for model in (tmp_path / "plain", with_edges):
        output = str(tmp_path / model.parent.name)
        runs = {
            evaluate.main: [
                "--data_dir",
                str(folder),
                "--split",
                "train",
                "--metrics",
                "params",
                "--sheet_rows",
                "1",
                "--output",
                f"{output}.json",
            ],
            generate.main: [
                "--label_dir",
                str(folder / "train"),
                "--output_dir",
                output,
                "--gallery_dir",
                str(folder / "train"),
            ],
        }
        for main, flags in runs.items():
            if name == "mixed" and model == with_edges:
                with pytest.raises(
                    ValueError, match="draws instance edges: 1 of 4 items has no instance map"
                ):
                    main(["--model", str(model), *flags])
            else:
                main(["--model", str(model), *flags])


def test_a_kit_holds_what_the_data_hold(mixed: Path, tmp_path: Path) -> None:
    """Also where some items lack instance maps, a name breaks lines for Python, and the listing has a BOM."""
    shutil.copytree(mixed, tmp_path / "data")
    split = tmp_path / "data" / "train"
    (split / "images" / "figure_00003.png").rename(split / "images" / "a\u2028b.png")
    text = (split / "metadata.jsonl").read_text().replace("images/figure_00003", "images/a\u2028b")
    (split / "metadata.jsonl").write_text(text, encoding="utf-8-sig")
    assert pack_data(tmp_path / "data", tmp_path / "kit") == {"train": 4}
    given, packed = (
        PairedImages.from_folder(tmp_path / name, (32, 32), instances=False) for name in ("data", "kit")
    )
    assert [pair[2] is None for pair in given.given] == [pair[2] is None for pair in packed.given]
    assert packed.given[3][0].name == "a\u2028b.png"
    assert torch.equal(given[3]["image"], packed[3]["image"])
