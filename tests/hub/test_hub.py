"""Saving and loading in folders: bit for bit, strict, atomic."""

from __future__ import annotations

import ast
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from groupdnet_hub import GroupDNet
from groupdnet_hub.hub import mixin as hub
from tests.helpers.hub_models import CONFIG, LABELS, fingerprint, make_model


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
        ({"decoder__fc__bias": torch.zeros(CONFIG.fc_channels, dtype=torch.int32)}, "has the type I32"),
        ({"decoder__fc__bias": torch.zeros(CONFIG.fc_channels, dtype=torch.complex64)}, "has the type C64"),
        (
            {"decoder__fc__weight": None, "a": torch.zeros(1), "b": torch.zeros(1), "c": torch.zeros(1)},
            "is missing; a is not part of the model; b is not part of the model, and 1 more",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    make_model().save_pretrained(tmp_path)
    change_weights(tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        GroupDNet.from_pretrained(tmp_path)


def test_auto_refuses_mixed_types(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path)
    change_weights(tmp_path, decoder__fc__bias=torch.zeros(CONFIG.fc_channels, dtype=torch.float16))
    with pytest.raises(ValueError, match="mixes the types F16, F32: name the dtype"):
        GroupDNet.from_pretrained(tmp_path, dtype="auto")
    assert GroupDNet.from_pretrained(tmp_path).dtype == torch.float32


def test_a_loaded_model_does_not_change_with_its_file(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path)
    loaded = GroupDNet.from_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    size = path.stat().st_size
    with path.open("r+b") as file:  # over the same bytes on disk, as rsync --inplace or cp do
        file.write(bytes(size))
    assert fingerprint(loaded) == fingerprint(make_model())


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
    with pytest.raises(FileNotFoundError, match="is a file"):
        GroupDNet.from_pretrained(tmp_path / "config.json")
    with pytest.raises(ValueError, match="dtype is 'int8'"):
        GroupDNet.from_pretrained(tmp_path, dtype="int8")


@pytest.mark.parametrize("failing", ["save_file", "model_card", "facts"])
def test_a_save_that_fails_leaves_the_old_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    make_model(0).save_pretrained(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other = GroupDNet(CONFIG.replace(class_names=("sea", "ship", "gull")))

    def half_written(tensors: Any, path: Path, metadata: Any) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left")

    def no_card(*_: Any) -> str:
        raise OSError("no space left")

    if failing == "facts":
        other.card_facts = {"loss": torch.ones(1)}
    else:
        monkeypatch.setattr(hub, failing, half_written if failing == "save_file" else no_card)
    with pytest.raises((OSError, ValueError), match=r"no space left|card_facts cannot be saved"):
        other.save_pretrained(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert fingerprint(GroupDNet.from_pretrained(tmp_path)) == fingerprint(make_model(0))


def test_a_save_cut_off_between_two_files_is_the_new_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_model(0).save_pretrained(tmp_path)
    other = GroupDNet(CONFIG.replace(class_names=("sea", "ship", "gull")))
    replace = os.replace

    def replace_weights_only(source: Path, target: Path) -> None:
        if target.name == "model.safetensors":
            replace(source, target)
            raise OSError("killed")

    monkeypatch.setattr(os, "replace", replace_weights_only)
    with pytest.raises(OSError, match="killed"):
        other.save_pretrained(tmp_path)
    assert fingerprint(GroupDNet.from_pretrained(tmp_path)) == fingerprint(other)
    monkeypatch.undo()
    make_model(1).save_pretrained(tmp_path)  # and the next one puts everything into its place
    assert {path.name for path in tmp_path.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "training.json",
    }
    assert fingerprint(GroupDNet.from_pretrained(tmp_path)) == fingerprint(make_model(1))


def test_files_of_different_saves_are_told_apart(tmp_path: Path) -> None:
    make_model(0).save_pretrained(tmp_path / "one")
    GroupDNet(CONFIG.replace(class_names=("sea", "ship", "gull"))).save_pretrained(tmp_path / "other")
    os.replace(tmp_path / "other" / "config.json", tmp_path / "one" / "config.json")
    with pytest.raises(ValueError, match="not of the same save"):
        GroupDNet.from_pretrained(tmp_path / "one")


def test_files_have_the_permissions_of_the_user(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        make_model().save_pretrained(tmp_path)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o640}


def test_a_card_survives_any_text(tmp_path: Path) -> None:
    model = GroupDNet(CONFIG.replace(class_names=("a|b", 'the "big" house', "road")))
    model.card_facts = {
        "license": "other: #1\nevil: yes",
        "data": "x|y\nz",
        "metrics": {"a|b": 1},
        "notes": "One.",
    }
    model.save_pretrained(tmp_path / 'my "model"')
    card = ModelCard.load(tmp_path / 'my "model"' / "README.md")
    assert card.data.license == "other: #1\nevil: yes"
    assert card.data.to_dict().get("evil") is None
    assert card.data.library_name == "groupdnet_hub"
    for part in (r"| 0 | a\|b |", r"| Data | x\|y z |", r"| a\|b | 1 |", "- One.", "## Limitations"):
        assert part in card.text
    usage = card.text.split("```python")[1].split("```")[0]
    assert "'my \"model\"'" in ast.unparse(ast.parse(usage))
    model.card_facts = {"metrics": [1]}
    with pytest.raises(ValueError, match="must be a dictionary"):
        model.save_pretrained(tmp_path)
