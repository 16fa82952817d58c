"""Models from a stranger: whatever is wrong is refused in words, soon, without memory, and nothing is executed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from groupdnet_hub import CostLimits, GroupDNet, GroupDNetConfig, GroupDNetPipeline, LabelSet, load_system
from groupdnet_hub.baselines import build_system, system_config, system_from_json
from groupdnet_hub.config.limits import UNLIMITED
from tests.helpers.hostile_files import LOADERS, pickles, refusal, refused, safetensors, tensor
from tests.helpers.hub_models import CONFIG, LABELS, fingerprint, make_model

WEIGHTS = "model.safetensors"
# What stands in for every value of a configuration.
STRANGE = (
    None,
    True,
    -1,
    0,
    10**9,
    10**30,
    1.5,
    float("nan"),
    float("inf"),
    "x",
    "\ud800",
    [],
    {},
    [[[]]],
    [10**9] * 9,
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "model"
    make_model().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of a saved model, to spoil."""
    return shutil.copytree(saved, tmp_path / "model")


# -- configurations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["GroupDNet", "MulNet", "GroupEnc", "VSPADE", "pix2pixHD", "BicycleGAN", "DSCGAN"]
)
def test_any_value_in_any_place_is_refused_or_works(name: str) -> None:
    values = system_config(name, LABELS, (64, 64), 4).to_dict()
    for key in values:
        for strange in STRANGE:
            text = json.dumps({**values, key: strange})
            try:
                config = system_from_json(text)
            except ValueError:
                continue
            assert system_from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe", "UTF-16 text"),
        (b"\xfa", "not UTF-8"),
        (b"[" * 200_000, "nests too deeply"),
        (b'{"a":' * 200_000, "nests too deeply"),
        (b'{"fc_channels": ' + b"9" * 10_000 + b"}", "not valid JSON"),
        (b'{"system": [], "blocks": 1}', r"system is \[\]|configuration of a \[\]|keys are missing"),
        (b'{"system": {"a": 1}}', "system is|configuration of"),
        (b'{"image_size": [8, 8], "image_size": [9, 9]}', "'image_size' occurs more than once"),
        (b'{"' + b"x" * 1_000_000 + b'": 1}', "unknown configuration keys"),
        (json.dumps(dict.fromkeys(map(str, range(100_000)))).encode(), "unknown configuration keys"),
        (b"null", "JSON object|system is"),
    ],
)
def test_texts_that_are_no_configuration(folder: Path, text: bytes, match: str) -> None:
    (folder / "config.json").write_bytes(text)
    refused(folder, match)


def test_a_giant_configuration_is_not_read(folder: Path) -> None:
    os.truncate(folder / "config.json", 2**40)
    refused(folder, "longer than 4194304 bytes")


@pytest.mark.parametrize(
    ("version", "match"),
    [
        (2, "saved by a newer groupdnet_hub, and this one reads up to 1. Upgrade it"),
        (10**30, "saved by a newer"),
        *(
            (wrong, "format_version is .*; it must be a whole number")
            for wrong in (0, -1, 1.0, True, "1", None, [1])
        ),
    ],
)
def test_other_format_versions(folder: Path, version: Any, match: str) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "format_version": version}))
    refused(folder, match)


def test_a_configuration_without_a_version_is_of_the_first(folder: Path) -> None:
    values = json.loads((folder / "config.json").read_text())
    del values["format_version"]
    save_file(load_file(folder / WEIGHTS), folder / WEIGHTS)  # without the digest, as other tools save it
    (folder / "config.json").write_text(json.dumps(values))
    assert fingerprint(GroupDNet.from_pretrained(folder)) == fingerprint(make_model())


def test_huge_networks_take_no_memory(folder: Path) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "fc_channels": 10**9}))
    refused(folder, "fc_channels is 1000000000")
    wide = [{**block, "out_channels": 30720, "hidden_channels": 30720} for block in values["blocks"]]
    (folder / "config.json").write_text(json.dumps({**values, "fc_channels": 30720, "blocks": wide}))
    refused(folder, r"asks for \d{3}\.\d GiB of memory")
    with refusal("does not fit its config.json"):
        load_system(folder, limits=UNLIMITED)
    many = LabelSet.from_names([f"class {i}" for i in range(4096)])
    config = GroupDNetConfig.for_labels(many, (16, 16), 4, prior_rank=128)
    (folder / "config.json").write_text(config.to_json())
    refused(folder, "does not fit its config.json")
    config = system_config("MulNet", many, (16, 16), 4)
    (folder / "config.json").write_text(config.to_json())
    refused(folder, "of which a model has at least [0-9]{5} tensors")


def test_a_small_file_that_asks_for_huge_pictures(folder: Path) -> None:
    config = GroupDNetConfig.for_labels(LABELS, (8192, 8192), 3)
    GroupDNet(config).save_pretrained(folder)
    assert (folder / WEIGHTS).stat().st_size < 4e6
    refused(
        folder, r"model asks for pictures of 8192x8192, and the limit is 16,777,216.*GROUPDNET_MAX_PIXELS"
    )
    with refusal(r"asks for \d\d\.\d GiB of memory for a picture, and the limit is 24"):
        GroupDNet.from_pretrained(folder, limits=CostLimits(pixels=8192 * 8192))
    raised = CostLimits(pixels=8192 * 8192, memory_gb=60)
    assert GroupDNetPipeline.from_pretrained(folder, limits=raised).model.config == config
    assert load_system(folder, limits=raised).config == config


def test_an_environment_variable_raises_the_limits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROUPDNET_MAX_PIXELS", "1023")
    refused(folder, "asks for pictures of 32x32, and the limit is 1,023")
    monkeypatch.setenv("GROUPDNET_MAX_PIXELS", "1024")
    GroupDNet.from_pretrained(folder)
    monkeypatch.setenv("GROUPDNET_MAX_MEMORY_GB", "much")
    refused(folder, "GROUPDNET_MAX_MEMORY_GB is 'much'; it must be a number above 0, such as 24")


@pytest.mark.parametrize("name", ["VSPADE", "SPADE", "pix2pixHD", "BicycleGAN", "DSCGAN", "MulNet"])
def test_any_system_that_asks_for_much(tmp_path: Path, name: str) -> None:
    config = system_config(name, LABELS, (8192, 8192), 4)
    (tmp_path / "config.json").write_text(config.to_json())
    (tmp_path / WEIGHTS).write_bytes(safetensors({}))
    with refusal("asks for pictures of 8192x8192"):
        load_system(tmp_path)


# -- weights -----------------------------------------------------------------------------------------------------


def test_truncated_at_a_hundred_places(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    random = np.random.default_rng(0)
    places = {0, 1, 7, 8, header - 1, header, header + 1, len(whole) - 1}
    places |= set(random.integers(0, header, 30).tolist()) | set(random.integers(0, len(whole), 100).tolist())
    for place in places:
        (folder / WEIGHTS).write_bytes(whole[:place])
        with refusal("damaged or cut off"):
            GroupDNet.from_pretrained(folder)


def test_flipped_bytes_are_refused_or_change_numbers_only(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    random = np.random.default_rng(1)
    for place in random.integers(0, header, 40):
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << int(random.integers(8))
        (folder / WEIGHTS).write_bytes(spoilt)
        try:
            loaded = GroupDNet.from_pretrained(folder)
        except ValueError:
            continue
        assert loaded.config == CONFIG


def with_tensors(folder: Path, **changes: torch.Tensor | None) -> None:
    tensors = load_file(folder / WEIGHTS)
    for name, value in changes.items():
        key = name.replace("__", ".")
        if value is None:
            del tensors[key]
        else:
            tensors[key] = value
    save_file(tensors, folder / WEIGHTS)


@pytest.mark.parametrize(
    "dtype",
    [torch.int8, torch.uint8, torch.int32, torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn],
)
def test_tensors_of_a_wrong_type(folder: Path, dtype: torch.dtype) -> None:
    with_tensors(folder, decoder__fc__bias=torch.zeros(CONFIG.fc_channels).to(dtype))
    refused(folder, r"decoder\.fc\.bias has the type \w+ instead of")


def test_tensors_of_a_wrong_shape_missing_and_left_over(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    for shape in ((), (0,), (1,), (2**26,), (CONFIG.fc_channels, 1)):
        with_tensors(folder, decoder__fc__bias=torch.zeros(shape, dtype=torch.float16))
        refused(folder, r"decoder\.fc\.bias has shape")
        (folder / WEIGHTS).write_bytes(whole)
    with_tensors(folder, decoder__fc__bias=None)
    refused(folder, r"decoder\.fc\.bias is missing")
    (folder / WEIGHTS).write_bytes(whole)
    with_tensors(folder, left_over=torch.zeros(2**26, dtype=torch.uint8))
    refused(folder, "left_over is not part of the model")


def zero_sized(count: int) -> bytes:
    """A header of many tensors without a value."""
    entries = (b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % i for i in range(count))
    return b"{" + b",".join(entries) + b"}"


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ((2**60).to_bytes(8, "little") + b"{}", "damaged or cut off"),
        ((2**64 - 1).to_bytes(8, "little") + b"{}", "damaged or cut off"),
        (safetensors(b" " * (17 * 2**20)), "its header is 17825792 bytes long"),
        (safetensors(b"[" * 10_000), "damaged"),
        (safetensors(zero_sized(150_000)), "far more tensors than there should be"),
        (safetensors({"a": tensor(1, end=4), "b": tensor(1, end=4)}, bytes(4)), "damaged"),
        (safetensors({"a": tensor(1, end=4), "b": tensor(1, begin=8, end=12)}, bytes(12)), "damaged"),
        (safetensors({"a": tensor(2**32, 2**32, end=4)}, bytes(4)), "damaged"),
        (safetensors({"a": tensor(-1, end=4)}, bytes(4)), "damaged"),
        (safetensors({"a": tensor(1, begin=4, end=0)}, bytes(4)), "damaged"),
        (safetensors({"a": tensor(1, end=4)}, bytes(400)), "damaged"),
        (safetensors({"a": tensor(1, dtype="OBJECT", end=4)}, bytes(4)), "damaged"),
        (safetensors({"decoder.fc.bias": tensor(0, 2**40)}), "is missing"),
        (safetensors({"__metadata__": {"format": 1}}), "damaged"),
        (b'{"a": 1}' * 10, "damaged"),
    ],
)
def test_headers_that_lie(folder: Path, content: bytes, match: str) -> None:
    (folder / WEIGHTS).write_bytes(content)
    refused(folder, match)


def test_a_file_of_a_terabyte(folder: Path) -> None:
    with (folder / WEIGHTS).open("wb") as file:
        file.write(safetensors({"a": tensor(2**38, end=2**40)}))
        file.truncate(file.tell() + 2**40)
    refused(folder, "is missing|damaged or cut off")  # the latter where so much cannot even be addressed


def test_pickles_in_disguise(folder: Path, tmp_path: Path) -> None:
    canary = tmp_path / "executed"
    for form, content in pickles(canary):
        (folder / WEIGHTS).write_bytes(content)
        for load in LOADERS:
            with refusal("a pickle under a wrong name|damaged"):
                load(folder)
        assert not canary.exists(), form
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")
    refused(
        folder,
        "pytorch_model.bin, which is not read because such files can run code",
        error=FileNotFoundError,
    )
    assert not canary.exists()


# -- what lies beside -----------------------------------------------------------------------------------------------


def test_training_facts_of_a_stranger(folder: Path) -> None:
    for content, match in (
        (b"[" * 200_000, "nests too deeply"),
        (b"[]", "JSON object"),
        (b"{", "not valid JSON"),
    ):
        (folder / "training.json").write_bytes(content)
        refused(folder, match)
    os.truncate(folder / "training.json", 2**40)
    refused(folder, "longer than")


def test_baselines_are_as_strict(tmp_path: Path) -> None:
    config = system_config("BicycleGAN", LABELS, (32, 32), 4)
    build_system(config).save_pretrained(tmp_path / "model")
    whole = (tmp_path / "model" / WEIGHTS).read_bytes()
    canary = tmp_path / "executed"
    contents = [content for _, content in pickles(canary)] + [whole[:-1], whole[: len(whole) // 2], b""]
    for content in contents:
        (tmp_path / "model" / WEIGHTS).write_bytes(content)
        with refusal("a pickle under a wrong name|damaged"):
            load_system(tmp_path / "model")
    assert not canary.exists()
    (tmp_path / "model" / WEIGHTS).write_bytes(whole)
    for changes, match in (
        ({"width": 10**9}, "width is 1000000000"),
        ({"format_version": 2}, "newer groupdnet_hub"),
    ):
        (tmp_path / "model" / "config.json").write_text(json.dumps({**config.to_dict(), **changes}))
        with refusal(match):
            load_system(tmp_path / "model")
