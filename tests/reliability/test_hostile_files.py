"""Codes, looks, checkpoints of other projects and trunks from a stranger: refused in words, nothing executed."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from groupdnet_hub import AppearanceCodes, GroupDNet, GroupDNetConfig, LabelSet, Look, PairedImages
from groupdnet_hub.data.label_maps import read_label_map
from groupdnet_hub.io.foreign_weights import read_foreign_tensors
from groupdnet_hub.io.tensors import header_length, open_tensors
from groupdnet_hub.metrics.imagenet_trunks import imagenet_trunk
from tests.helpers.hostile_files import Payload, peak_memory, pickles, refusal, safetensors, tensor
from tests.helpers.shared_data import ROOT

LABELS = LabelSet.from_names(("sky", "house", "road"))
DESCRIBED = json.dumps({"names": LABELS.names, "palette": LABELS.palette})
FROZEN_LOOK = ROOT / "tests" / "fixtures" / "format_1" / "look"


def codes_file(path: Path, labels: str = DESCRIBED, **tensors: torch.Tensor) -> Path:
    save_file(tensors, path, {"format": "groupdnet-codes-1", "labels": labels})
    return path


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.float64, torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn]
)
def test_codes_of_another_type(tmp_path: Path, dtype: torch.dtype) -> None:
    path = codes_file(tmp_path / "codes.safetensors", codes=torch.zeros(3, 2, 1, 1).to(dtype))
    with refusal("must hold one tensor, codes"):
        AppearanceCodes.load(path)


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        ("[" * 100_000, "nests too deeply"),
        ("[]", "damaged or not a codes file"),
        ('{"names": 1, "palette": 2}', "names is 1"),
        ('{"names": ["a"], "palette": [[0, 0, 0]]}', "codes have shape"),
        ('{"names": ["a", "a", "b"], "palette": [[0,0,0],[1,1,1],[2,2,2]]}', "'a' more than once"),
        ('{"names": [[], 1, {}], "palette": [[0,0,0],[1,1,1],[2,2,2]]}', "not a name"),
        ("{", "not valid JSON"),
    ],
)
def test_codes_with_another_label_set(tmp_path: Path, labels: str, match: str) -> None:
    path = codes_file(tmp_path / "codes.safetensors", labels, codes=torch.zeros(3, 2, 1, 1))
    with refusal(match):
        AppearanceCodes.load(path)


def test_codes_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "codes.safetensors"
    canary = tmp_path / "executed"
    for _, content in pickles(canary):
        path.write_bytes(content)
        with refusal("a pickle under a wrong name|damaged"):
            AppearanceCodes.load(path)
    codes_file(path, codes=torch.zeros(3, 2, 1, 1), more=torch.zeros(1))
    with refusal("must hold one tensor, codes"):
        AppearanceCodes.load(path)
    with path.open("wb") as file:  # a gigabyte of zeros, of which nothing is on the disk
        metadata = {"format": "groupdnet-codes-1", "labels": DESCRIBED}
        file.write(safetensors({"__metadata__": metadata, "codes": tensor(2**28, 1, 1, 1, end=2**30)}))
        file.truncate(file.tell() + 2**30)
    with refusal("at most 67108864 float32 values"):
        AppearanceCodes.load(path)
    path.unlink()
    os.mkfifo(path)
    with refusal("there is no codes file"):
        AppearanceCodes.load(path)
    assert not canary.exists()


@pytest.mark.parametrize("name", ["look.json", "codes.safetensors", "mask.png", "image.png"])
def test_a_look_without_a_whole_file(tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(FROZEN_LOOK, tmp_path / "look")
    whole = (folder / name).read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"[" * 100_000, os.urandom(200)):
        (folder / name).write_bytes(content)
        with refusal("."):
            Look.load(folder)
    (folder / name).unlink()
    with refusal("."):
        Look.load(folder)
    (tmp_path / "private").write_bytes(whole)
    (folder / name).symlink_to(tmp_path / "private")
    with refusal(f"{name} of .* is a link out of its folder"):
        Look.load(folder)


@pytest.mark.parametrize("seed", ["x", 1.5, True, [], "9" * 5000])
def test_a_look_with_another_seed(tmp_path: Path, seed: Any) -> None:
    folder = shutil.copytree(FROZEN_LOOK, tmp_path / "look")
    text = json.dumps({"format": 1, "seed": seed})
    (folder / "look.json").write_text(text.replace('"999', "999").replace('999"', "999"))
    with refusal("seed|not a saved look"):
        Look.load(folder)


# -- checkpoints of other projects -------------------------------------------------------------------------------


def test_foreign_checkpoints_run_nothing(tmp_path: Path) -> None:
    canary = tmp_path / "executed"
    config = GroupDNetConfig.for_labels(LABELS, (16, 16), 1)
    for form, content in pickles(canary):
        (tmp_path / "net_G.pth").write_bytes(content)
        with refusal("net_G.pth cannot be read as tensors"):
            GroupDNet.from_smis(tmp_path / "net_G.pth", config=config)
        assert not canary.exists(), form
        (tmp_path / "net_G.safetensors").write_bytes(content)
        with refusal("a pickle under a wrong name|damaged"):
            GroupDNet.from_smis(tmp_path / "net_G.safetensors", config=config)
    assert not canary.exists()


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2**22)}, tmp_path / "plain.pth")
    assert read_foreign_tensors(tmp_path / "plain.pth")["a"].shape == (2**22,)
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name))
    assert (tmp_path / "bomb.pth").stat().st_size < 2**20
    with refusal("unpacks to more than its size"):
        read_foreign_tensors(tmp_path / "bomb.pth")


def test_storages_that_lie_and_tensors_that_are_none(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(4)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "lies.pth", "w") as lies,
    ):
        for name in plain.namelist():
            content = plain.read(name)
            if name.endswith("data.pkl"):  # 4 values become 2**27
                assert content.count(b"K\x04") == 2
                content = content.replace(b"K\x04", b"J\x00\x00\x00\x08")
            lies.writestr(name, content)
    with refusal("lies.pth"):
        read_foreign_tensors(tmp_path / "lies.pth")
    for values in (
        [torch.zeros(1)],
        {"a": 1},
        {"a": torch.zeros(2, 2).to_sparse()},
        {"a": torch.zeros(2, 2, device="meta")},
        torch.zeros(3),
    ):
        torch.save(values, tmp_path / "other.pth")
        with refusal("other.pth"):
            read_foreign_tensors(tmp_path / "other.pth")


def test_trunks_of_a_stranger(tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    canary = tmp_path / "executed"
    path = tmp_path / "alexnet.safetensors"
    for _, content in list(pickles(canary))[-2:]:
        path.write_bytes(content)
        with refusal("a pickle under a wrong name|damaged"):
            imagenet_trunk("alexnet", 12, path)
    assert not canary.exists()
    save_file({"features.0.weight": torch.zeros(1)}, path)
    with refusal(r"lacks features\.0\.bias"):
        imagenet_trunk("alexnet", 12, path)


def test_the_watch_sees_what_unpickling_would_do(tmp_path: Path) -> None:
    torch.save({"a": Payload(tmp_path / "executed")}, tmp_path / "harmful.pth")

    def careless() -> None:
        with refusal("too late"):
            torch.load(tmp_path / "harmful.pth", weights_only=False)
            raise ValueError("refused too late")

    with pytest.raises(AssertionError):
        careless()
    assert (tmp_path / "executed").exists()


# -- pictures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_small_file_of_millions_of_pixels_takes_no_gigabytes(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "map.png"
    picture = Image.new(mode, (4096, 4096), (9, 9, 9) if mode == "RGB" else 3)
    picture.putpixel((4095, 4095), (0, 0, 0) if mode == "RGB" else 0)
    picture.save(path)
    assert path.stat().st_size < 100_000
    with refusal(r"not in the palette|is not a class id", megabytes=700, seconds=5):
        read_label_map(path, LABELS)
    Image.new("RGB", (4096, 4096), LABELS.palette[2]).save(path)
    before = peak_memory(reset=True)
    assert read_label_map(path, LABELS).min() == 2
    assert (peak_memory() - before) / 2**20 < 512


# -- data sets ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../private.png", "images/../../private.png", "", 5, None, "a\0b"]
)
def test_a_data_set_names_its_own_files_only(tmp_path: Path, name: Any) -> None:
    (tmp_path / "train").mkdir()
    line = json.dumps({"file_name": name, "label_file_name": "a.png"})
    (tmp_path / "train" / "metadata.jsonl").write_text(line)
    with refusal("line 1 of .*metadata.jsonl"):
        PairedImages.from_folder(tmp_path, (8, 8), labels=LABELS)


def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path: Path) -> None:
    """640 bytes are 0x0280, and a pickle of protocol 2 begins with 0x80 0x02."""
    path = tmp_path / "weights.safetensors"
    for metadata in range(700):
        save_file({"x": torch.ones(1)}, path, {"m": "." * metadata})
        if path.read_bytes()[:2] == b"\x80\x02":
            break
    assert header_length(path, path.name) == 640
    with open_tensors(path, path.name) as file:
        assert file.read("x") == 1
