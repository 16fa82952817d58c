"""Original checkpoints: what is read, what is reported, what is refused, and the licence in the card."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from groupdnet_hub import GroupDNet
from groupdnet_hub.smis import main
from tests.helpers.shared_data import shared_folder
from tests.helpers.smis_recordings import recording, small_config


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small ADE20K networks as .pth files, the generator with DataParallel's prefix."""
    source, folder = shared_folder("parity"), tmp_path_factory.mktemp("smis")
    generator = load_file(source / "ade20k_small_netG.safetensors")
    torch.save({f"module.{key}": value for key, value in generator.items()}, folder / "latest_net_G.pth")
    torch.save(load_file(source / "ade20k_small_netE.safetensors"), folder / "latest_net_E.pth")
    (folder / "config.json").write_text(small_config("ade20k").to_json())
    return folder


def test_command_line(originals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "--generator",
        str(originals / "latest_net_G.pth"),
        "--encoder",
        str(originals / "latest_net_E.pth"),
    ]
    main([*command, "--config", str(originals / "config.json"), "--output", str(tmp_path / "model")])
    printed = capsys.readouterr().out
    assert "up_4" in printed
    assert "CC BY-NC-SA 4.0" in printed
    card = (tmp_path / "model" / "README.md").read_text()
    assert "license: cc-by-nc-sa-4.0" in card
    assert "CC BY-NC-SA 4.0" in card
    model = GroupDNet.from_pretrained(tmp_path / "model")
    tensors, _ = recording("ade20k")
    with torch.no_grad():
        codes = tensors["z1"].view(1, *model.config.code_shape)
        picture = model.decode(codes, tensors["label"][:1, 0].long())
    torch.testing.assert_close(picture[:, :, ::4, ::4], tensors["eval.image_z1_sub"], atol=2e-5, rtol=0)


def test_without_an_encoder_it_warns(originals: Path) -> None:
    with pytest.warns(UserWarning, match="encoder is untrained"):
        model = GroupDNet.from_smis(originals / "latest_net_G.pth", config=small_config("ade20k"))
    assert any("encoder is untrained" in note for note in model.card_facts["notes"])


def changed(originals: Path, folder: Path, **changes: torch.Tensor | None) -> Path:
    values = torch.load(originals / "latest_net_G.pth", weights_only=True)
    for key, value in changes.items():
        name = "module." + key.replace("__", ".")
        if value is None:
            del values[name]
        else:
            values[name] = value
    torch.save(values, folder / "changed.pth")
    return folder / "changed.pth"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stranger__weight": torch.zeros(1)}, r"stranger\.weight is not known"),
        ({"up_0__conv_0__surprise": torch.zeros(1)}, r"up_0\.conv_0\.surprise is not known"),
        ({"fc__weight": None}, r"nothing in it becomes fc\.weight"),
        ({"fc__bias": torch.zeros(3)}, r"fc\.bias has shape \(3,\) instead of \(176,\)"),
    ],
)
def test_what_does_not_fit_is_named(originals: Path, tmp_path: Path, changes: dict, message: str) -> None:
    path = changed(originals, tmp_path, **changes)
    with pytest.raises(ValueError, match=message):
        GroupDNet.from_smis(path, originals / "latest_net_E.pth", config=small_config("ade20k"))


def test_the_wrong_preset(originals: Path) -> None:
    with pytest.raises(ValueError, match="right preset"):
        GroupDNet.from_smis(
            originals / "latest_net_G.pth", originals / "latest_net_E.pth", config=small_config("deepfashion")
        )
    with pytest.raises(ValueError, match="name a preset"):
        GroupDNet.from_smis(originals / "latest_net_G.pth")


class Payload:
    """Unpickling this would run code."""

    def __reduce__(self) -> tuple:
        return (Path("executed").touch, ())


def test_code_is_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"fc.weight": Payload()}, tmp_path / "evil.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps({"fc.weight": Payload()}))
    (tmp_path / "text.pth").write_text("hello")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"\x00" * 20)
    config = small_config("deepfashion")
    for name in ("evil.pth", "old.pth", "text.pth", "broken.safetensors"):
        with pytest.raises(ValueError, match=name.split(".")[0]):
            GroupDNet.from_smis(tmp_path / name, config=config)
    with pytest.raises(ValueError, match="x is not known"):
        GroupDNet.from_smis(tmp_path / "other.safetensors", config=config)
    assert not (tmp_path / "executed").exists()


def test_bad_input_ends_with_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--generator", "absent.pth", "--preset", "deepfashion", "--output", str(tmp_path / "out")])
    assert stopped.value.code == 2
    assert "there is no file absent.pth" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
