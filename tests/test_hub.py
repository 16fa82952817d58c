"""Saving and loading: bit for bit, strict, atomic, and against a Hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_hub import FakeHub
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from groupdnet_hub import GroupDNet, GroupDNetConfig, LabelSet, hub

LABELS = LabelSet.from_names(("sky", "house", "road"))
CONFIG = GroupDNetConfig.for_labels(LABELS, image_size=(32, 32), width=4)


def make_model(seed: int = 0) -> GroupDNet:
    return GroupDNet(CONFIG, generator=torch.Generator().manual_seed(seed)).eval()


def weights(model: GroupDNet) -> float:
    return float(sum(p.double().abs().sum() for p in model.parameters()))


@torch.no_grad()
def picture(model: GroupDNet) -> torch.Tensor:
    label = torch.arange(32 * 32).view(1, 32, 32) // 350
    codes = model.sample_codes(generator=torch.Generator().manual_seed(1))
    return model.decode(codes, label)


def test_pictures_are_bit_identical_after_saving(tmp_path: Path) -> None:
    model = make_model()
    model.save_pretrained(tmp_path)
    loaded = GroupDNet.from_pretrained(tmp_path)
    assert torch.equal(picture(loaded), picture(model))
    assert loaded.config == model.config
    assert loaded.labels == LABELS
    assert not loaded.training
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "training.json",
    ]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_saved_as_such(tmp_path: Path, dtype: torch.dtype) -> None:
    model = make_model().to(dtype)
    model.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert file.get_tensor("decoder.fc.weight").dtype == dtype
    assert GroupDNet.from_pretrained(tmp_path, dtype="auto").dtype == dtype
    assert GroupDNet.from_pretrained(tmp_path).dtype == torch.float32
    assert GroupDNet.from_pretrained(tmp_path, dtype="bfloat16").dtype == torch.bfloat16
    reloaded = GroupDNet.from_pretrained(tmp_path, dtype="auto").state_dict()
    assert all(torch.equal(value, reloaded[key]) for key, value in model.state_dict().items())


def test_facts_and_card(tmp_path: Path) -> None:
    model = make_model()
    model.card_facts = {"data": "drawn streets", "steps": 12, "license": "mit", "metrics": {"LPIPS": 0.125}}
    model.save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    for part in (
        "license: mit",
        "drawn streets",
        "| 1 | house |",
        "0.125",
        "GroupDNetPipeline.from_pretrained",
    ):
        assert part in card
    loaded = GroupDNet.from_pretrained(tmp_path)
    assert loaded.card_facts == model.card_facts
    loaded.card_facts["steps"] = 99
    loaded.save_pretrained(tmp_path)
    assert "99" in (tmp_path / "README.md").read_text()
    (tmp_path / "README.md").write_text("My own words.")
    loaded.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "My own words."


def change_weights(folder: Path, **changes: Any) -> None:
    tensors = load_file(folder / "model.safetensors")
    for key, value in changes.items():
        name = key.replace("__", ".")
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder__fc__weight": None}, r"decoder\.fc\.weight is missing"),
        ({"stranger": torch.zeros(1)}, "stranger is not part of the model"),
        ({"decoder__fc__bias": torch.zeros(7)}, r"decoder\.fc\.bias has shape \(7,\)"),
        ({"decoder__fc__bias": torch.zeros(128, dtype=torch.int32)}, "type torch.int32"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    make_model().save_pretrained(tmp_path)
    if changes.get("decoder__fc__bias") is not None and changes["decoder__fc__bias"].dtype == torch.int32:
        changes = {"decoder__fc__bias": torch.zeros(CONFIG.fc_channels, dtype=torch.int32)}
    change_weights(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        GroupDNet.from_pretrained(tmp_path)


@pytest.mark.parametrize("kept", [0, 4, 100, 5000, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: int) -> None:
    make_model().save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match="damaged or cut off"):
        GroupDNet.from_pretrained(tmp_path)


def test_configuration_and_weights_of_different_saves(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path / "a")
    renamed = CONFIG.replace(class_names=("sea", "ship", "gull"))
    GroupDNet(renamed).save_pretrained(tmp_path / "b")
    (tmp_path / "b" / "config.json").replace(tmp_path / "a" / "config.json")
    with pytest.raises(ValueError, match="not of the same save"):
        GroupDNet.from_pretrained(tmp_path / "a")


def edit_config(folder: Path, **changes: Any) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": 2}, "format_version is 2"),
        ({"colour_of_the_sky": "blue"}, "unknown configuration keys: 'colour_of_the_sky'"),
        ({"fc_channels": 10**9}, "fc_channels is 1000000000"),
        ({"encoder_width": "wide"}, "encoder_width is 'wide'"),
        ({"image_size": [33, 32]}, "image_size"),
    ],
)
def test_a_bad_configuration_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    make_model().save_pretrained(tmp_path)
    edit_config(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        GroupDNet.from_pretrained(tmp_path)


def test_missing_folders_and_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder"):
        GroupDNet.from_pretrained(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        GroupDNet.from_pretrained(tmp_path)
    make_model().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickled")
    with pytest.raises(FileNotFoundError, match=r"pytorch_model\.bin, which is not read"):
        GroupDNet.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="dtype is 'int8'"):
        GroupDNet.from_pretrained(tmp_path, dtype="int8")


def test_a_save_that_fails_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_model(0).save_pretrained(tmp_path)

    def half_written(tensors: Any, path: Path, metadata: Any) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(hub, "save_file", half_written)
    with pytest.raises(OSError, match="no space left"):
        make_model(1).save_pretrained(tmp_path)
    assert weights(GroupDNet.from_pretrained(tmp_path)) == weights(make_model(0))
    assert len(list(tmp_path.iterdir())) == 4


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What :mod:`hub_visit` saw of a Hub with two revisions of a model and a pickled one."""
    folder = tmp_path_factory.mktemp("hub")
    make_model(0).save_pretrained(folder / "main")
    make_model(1).save_pretrained(folder / "v2")
    make_model(2).save_pretrained(folder / "local")

    def contents(name: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (folder / name).iterdir()}

    server = FakeHub()
    server.add("user/model", contents("main"))
    server.add("user/model", contents("v2"), "v2")
    server.add("user/other", contents("main"))
    server.add("user/pickled", {"config.json": contents("main")["config.json"], "pytorch_model.bin": b"x"})
    with server.serving():
        environment = {
            **os.environ,
            "HF_ENDPOINT": server.address,
            "HF_HOME": str(folder / "home"),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "PYTHONPATH": str(Path(hub.__file__).parents[1]),
        }
        environment.pop("HF_HUB_OFFLINE", None)
        done = subprocess.run(
            [
                sys.executable,
                str(Path(__file__).with_name("hub_visit.py")),
                str(folder / "local"),
                str(folder / "cache"),
            ],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout.splitlines()[-1])
    results["files pushed"] = sorted(server.repositories["user/pushed"]["main"])
    return results


def test_loading_from_the_hub(visits: dict[str, Any]) -> None:
    assert visits["main"] == weights(make_model(0))
    assert visits["training"] is True
    assert visits["v2"] == weights(make_model(1))
    assert visits["half"] == "torch.float16"
    assert visits["cached"] == "ok"


def test_misses_on_the_hub(visits: dict[str, Any]) -> None:
    assert "LocalEntryNotFoundError" in visits["not cached"]
    assert "RepositoryNotFoundError" in visits["unknown repository"]
    assert "RevisionNotFoundError" in visits["unknown revision"]
    assert "v99" in visits["unknown revision"]
    assert "FileNotFoundError" in visits["no weights"]
    assert "user/pickled has no model.safetensors" in visits["no weights"]


def test_pushing_to_the_hub(visits: dict[str, Any]) -> None:
    assert visits["pushed"] == weights(make_model(2))
    assert visits["pulled"] == visits["pushed"]
    assert visits["files pushed"] == ["README.md", "config.json", "model.safetensors", "training.json"]
