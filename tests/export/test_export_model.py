"""Exported files compute what PyTorch does, for any batch; what differs, or is refused, leaves nothing behind."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import groupdnet_hub.export.model as export_module
from groupdnet_hub import GroupDNet
from groupdnet_hub.__main__ import main
from groupdnet_hub.baselines.registry import build_system, system_config
from groupdnet_hub.data.labels import label_picture
from groupdnet_hub.export import export_model, formats
from groupdnet_hub.export.description import DESCRIPTION_FILE
from groupdnet_hub.export.graphs import Graph
from groupdnet_hub.export.verification import DiffersError
from groupdnet_hub.io.atomic import CannotWriteError
from groupdnet_hub.io.images import tensor_to_picture
from tests.helpers.network_models import generator, make_model, maps
from tests.helpers.pages import ROOT, blocks
from tests.helpers.smis_recordings import PRESET_NAMES, small_config

SIZE = (8, 8)


def small_model(**fields: object) -> GroupDNet:
    return make_model(3, SIZE, 2, **fields)


def with_fitted_prior(model: GroupDNet) -> GroupDNet:
    image = 2 * torch.rand(4, 3, *SIZE, generator=generator()) - 1
    model.fit_prior([(image, maps("noise", 4, 3, SIZE))])
    return model


def check_files(folder: Path, model: GroupDNet) -> dict[str, Any]:
    """Run ONNX files as a stranger does who knows ``export.json`` only; return what it holds."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs groupdnet-hub[export]")
    told: dict[str, Any] = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))
    height, width = told["image_size"]
    rng = np.random.default_rng(0)
    sessions = {
        name: onnxruntime.InferenceSession(folder / file["file"]) for name, file in told["files"].items()
    }
    for batch in (1, 3, 8):
        label = rng.integers(0, len(told["classes"]), (batch, height, width))
        image = rng.uniform(-1, 1, (batch, 3, height, width)).astype(np.float32)
        mean, logvar = sessions["encoder"].run(["mean", "logvar"], {"image": image, "label": label})
        posterior = model.encode(torch.from_numpy(image), torch.from_numpy(label))
        np.testing.assert_allclose(mean, posterior.mean, rtol=0, atol=1e-4)
        np.testing.assert_allclose(logvar, posterior.logvar, rtol=0, atol=1e-4)
        inputs = {"codes": mean, "label": label}
        instance = None
        if any(port["name"] == "instance" for port in told["files"]["decoder"]["inputs"]):
            instance = rng.integers(0, 3, label.shape)
            inputs["instance"] = instance
        (found,) = sessions["decoder"].run(["image"], inputs)
        ids = None if instance is None else torch.from_numpy(instance)
        np.testing.assert_allclose(
            found, model.decode(posterior.mean, torch.from_numpy(label), ids), rtol=0, atol=1e-4
        )
    return told


@pytest.fixture(scope="module")
def onnx_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model with a fitted prior and an order of classes, exported by the command of its card."""
    pytest.importorskip("onnxscript", reason="needs groupdnet-hub[export]")
    folder = tmp_path_factory.mktemp("exported")
    model = with_fitted_prior(small_model(prior_codes=3, class_order=(2, 0, 1)))
    model.card_facts = {"license": "cc0-1.0"}
    model.save_pretrained(folder / "model")
    (command,) = blocks(folder / "model" / "README.md", "bash")
    name, *words = shlex.split(command)
    assert name == "groupdnet"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", list(sys.argv))
        patch.setattr(sys, "path", list(sys.path))
        main(words)
    return folder


@pytest.fixture
def quick_format(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """In place of ``torch-export``, a format that writes empty files and computes what is expected; those loaded."""
    graphs, loaded = {}, []

    def write(graph: Graph, inputs: object, path: Path) -> None:
        graphs[path] = graph
        path.touch()

    def load(path: Path) -> formats.Run:
        loaded.append(path)
        return lambda inputs: list(graphs[path].expected(*inputs))

    found = formats.Format(".pt2", (), None, write, load)
    monkeypatch.setattr(export_module, "FORMATS", {"torch-export": found})
    return loaded


@torch.no_grad()
def test_onnx_files_need_no_more_than_their_description(onnx_folder: Path) -> None:
    model = GroupDNet.from_pretrained(onnx_folder / "model")
    told = check_files(onnx_folder / "exported", model)
    assert told["opset"] == 18
    assert told["license"] == "cc0-1.0"
    assert [entry["name"] for entry in told["classes"]] == list(model.labels.names)
    assert [tuple(entry["colour"]) for entry in told["classes"]] == list(model.labels.palette)
    assert told["verified"] == {"batch_sizes": [1, 3, 8], "tolerance": 1e-4}
    image, label = told["files"]["encoder"]["inputs"]
    assert (image["range"], label["range"]) == ([-1, 1], [0, 2])
    assert sorted(os.listdir(onnx_folder / "exported")) == [
        "decoder.onnx", "encoder.onnx", "export.json", "prior.onnx",
    ]  # fmt: skip


@torch.no_grad()
def test_the_opset_is_that_of_the_files(onnx_folder: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="needs groupdnet-hub[export]")
    for path in (onnx_folder / "exported").glob("*.onnx"):
        found = onnx.load(path)
        onnx.checker.check_model(found)
        assert [entry.version for entry in found.opset_import if entry.domain == ""] == [18]


@torch.no_grad()
def test_the_prior_takes_random_numbers(onnx_folder: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs groupdnet-hub[export]")
    model = GroupDNet.from_pretrained(onnx_folder / "model")
    seeded = generator(3)
    u = torch.rand(5, 3, generator=seeded)
    noise = torch.randn(5, *model.config.code_shape, generator=seeded)
    session = onnxruntime.InferenceSession(onnx_folder / "exported" / "prior.onnx")
    (found,) = session.run(None, {"uniform": u.numpy(), "noise": noise.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), model.sample_codes(5, generator=generator(3)))


@torch.no_grad()
def test_the_lines_of_the_card_draw_without_pytorch(onnx_folder: Path) -> None:
    """As they stand there, in a process of its own: what PyTorch draws with the same random numbers."""
    model = GroupDNet.from_pretrained(onnx_folder / "model")
    label = maps("noise", 1, 3, SIZE)
    label_picture(label[0], model.labels).save(onnx_folder / "mask.png")
    lines = blocks(onnx_folder / "model" / "README.md", "python")[1]
    lines += "import sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", lines], cwd=onnx_folder, check=True, timeout=300)
    rng = np.random.default_rng(0)
    u = torch.from_numpy(rng.random((1, 3), np.float32))
    noise = torch.from_numpy(rng.standard_normal((1, *model.config.code_shape), np.float32))
    expected = tensor_to_picture(model.decode(model.prior(u, noise), label)[0])
    found = Image.open(onnx_folder / "picture.png")
    difference = np.subtract(np.asarray(found, np.int16), np.asarray(expected, np.int16))
    assert np.ptp(np.asarray(found)) > 50
    assert np.abs(difference).max() <= 1


@torch.no_grad()
def test_torch_export_files_run(tmp_path: Path) -> None:
    """With instance edges, in half precision, and with a prior of principal directions."""
    model = with_fitted_prior(small_model(instance_edges=True, prior_rank=2)).half()
    exported = export_model(model, tmp_path / "out", format="torch-export")
    assert {path.name for path in exported.files.values()} == {"encoder.pt2", "decoder.pt2", "prior.pt2"}
    assert json.loads(exported.description.read_text())["opset"] is None
    single = model.float()
    codes, label = single.sample_codes(3, generator=generator()), maps("noise", 3, 3, SIZE)
    instance = maps("cells", 3, 5, SIZE)
    found = torch.export.load(exported.files["decoder"]).module()(codes, label, instance)
    torch.testing.assert_close(found, single.decode(codes, label, instance), rtol=0, atol=1e-4)


@pytest.mark.usefixtures("quick_format")
def test_exporting_changes_no_model(tmp_path: Path) -> None:
    model = small_model().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    export_model(model, tmp_path / "out", format="torch-export")
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("where", ["value", "shape", "nan"])
def test_a_file_that_differs_is_not_left_behind(
    where: str, quick_format: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one = export_module.FORMATS["torch-export"]

    def altered(path: Path) -> formats.Run:
        run = one.load(path)
        if path.stem == "encoder":
            return run
        if where == "shape":
            return lambda inputs: [output[:1] for output in run(inputs)]
        return lambda inputs: [output + (float("nan") if where == "nan" else 2e-4) for output in run(inputs)]

    monkeypatch.setattr(export_module, "FORMATS", {"torch-export": dataclasses.replace(one, load=altered)})
    with pytest.raises(DiffersError, match=r"the exported decoder.*nothing was written"):
        export_model(small_model(), tmp_path / "out", format="torch-export")
    assert [path.stem for path in quick_format] == ["encoder", "decoder"]
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("quick_format")
def test_a_full_disk_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_module, "description_text", full)
    with pytest.raises(CannotWriteError, match="the disk is full"):
        export_model(small_model(), tmp_path / "out", format="torch-export")
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("quick_format")
def test_another_export_is_replaced_only_if_so_asked(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = with_fitted_prior(small_model(prior_codes=2))
    export_model(first, out, format="torch-export")
    (out / "mine.txt").write_text("kept")
    with pytest.raises(
        ValueError, match=r"out is not empty; it holds decoder\.pt2, .*--overwrite_output_dir"
    ):
        export_model(small_model(), out, format="torch-export")
    assert (out / "prior.pt2").is_file()
    export_model(small_model(), out, format="torch-export", overwrite=True)
    # This model has no fitted prior: that of the other one would draw codes of another model.
    assert sorted(os.listdir(out)) == ["decoder.pt2", "encoder.pt2", "export.json", "mine.txt"]


def test_folders_without_an_export_are_never_written_to(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").touch()
    with pytest.raises(ValueError, match=r"photos is not empty; it holds a\.png: choose another folder"):
        export_model(small_model(), tmp_path / "photos", format="torch-export")
    with pytest.raises(ValueError, match="no export to overwrite"):
        export_model(small_model(), tmp_path / "photos", format="torch-export", overwrite=True)
    with pytest.raises(ValueError, match="is a file: choose a folder"):
        export_model(small_model(), tmp_path / "photos" / "a.png", format="torch-export")


def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="format is 'tflite'; it must be onnx or torch-export"):
        export_model(small_model(), tmp_path / "out", format="tflite")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="absent"):
        export_model(tmp_path / "absent", tmp_path / "out", format="torch-export")
    labels = small_model().labels
    build_system(system_config("SPADE", labels, (32, 32), 8)).save_pretrained(tmp_path / "spade")
    with pytest.raises(ValueError, match="spade is a SPADE: only a GroupDNet is exported, since"):
        export_model(tmp_path / "spade", tmp_path / "out", format="torch-export")
    assert not (tmp_path / "out").exists()


def test_weights_that_no_onnx_file_holds_are_refused_before_it_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript", reason="needs groupdnet-hub[export]")
    monkeypatch.setattr(formats, "_ONNX_BYTES", 2**24)
    with pytest.raises(ValueError, match=r"the encoder has .* GiB of weights.*torch-export"):
        export_model(small_model(), tmp_path / "out")
    assert os.listdir(tmp_path) == []


def test_missing_packages_are_named_before_anything_is_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == "onnxruntime" else name)
    with pytest.raises(ImportError, match=r"needs onnxruntime: pip install 'groupdnet-hub\[export\]'"):
        export_model(tmp_path / "absent", tmp_path / "out")


OPTIONS: list[dict[str, Any]] = [
    {"split_mode": "mask"},
    {"split_mode": "none"},
    {"split_mode": "none", "encoder_grouped": False},
    {"latent_mode": "vector"},
    {"norm_kind": "group"},
    {"spectral_norm": False},
    {"separate_networks": True},
    {"fusion_layers": 2},
    {"prior_rank": 2},
    {"code_placement": "box", "encoder_colours": True, "code_filling": "nearest"},
]


@pytest.mark.slow
@pytest.mark.parametrize("format", formats.FORMATS)
@pytest.mark.parametrize("fields", OPTIONS, ids=str)
def test_every_option_of_the_networks(
    fields: dict[str, Any], format: formats.FormatName, tmp_path: Path
) -> None:
    export_model(small_model(**fields), tmp_path / "out", format=format)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESET_NAMES)
@torch.no_grad()
def test_narrow_presets(name: str, tmp_path: Path) -> None:
    model = make_model(config=small_config(name))
    export_model(model, tmp_path / "torch-export", format="torch-export")
    export_model(model, tmp_path / "onnx")
    check_files(tmp_path / "onnx", model)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model", "models/people16"])
@torch.no_grad()
def test_bundled_models(name: str, tmp_path: Path) -> None:
    model = GroupDNet.from_pretrained(ROOT / "space" / name)
    export_model(model, tmp_path / "torch-export", format="torch-export")
    export_model(model, tmp_path / "onnx")
    told = check_files(tmp_path / "onnx", model)
    assert told["files"]["prior"]["inputs"][0]["distribution"] == "uniform"
