"""Options as transformers and diffusers have them: taken, or refused by the name that they have here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from groupdnet_hub import GroupDNet, GroupDNetPipeline, load_system
from tests.helpers.hub_models import CONFIG, fingerprint, make_model

LOADERS = (GroupDNet.from_pretrained, GroupDNetPipeline.from_pretrained, load_system)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with weights of two variants: those of ``fp16`` are of another model."""
    place = tmp_path_factory.mktemp("model")
    make_model(0).save_pretrained(place)
    make_model(1).half().save_pretrained(place, variant="fp16")
    return place


@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ({}, torch.float32),
        ({"torch_dtype": torch.bfloat16}, torch.bfloat16),
        ({"torch_dtype": "torch.float16"}, torch.float16),
        ({"dtype": "bfloat16", "torch_dtype": torch.bfloat16}, torch.bfloat16),
        ({"torch_dtype": "auto", "variant": "fp16"}, torch.float16),
        ({"device_map": "cpu"}, torch.float32),
        ({"device_map": {"": "cpu"}}, torch.float32),
        ({"device_map": torch.device("cpu"), "device": "cpu"}, torch.float32),
        ({"use_safetensors": True, "trust_remote_code": False, "low_cpu_mem_usage": True}, torch.float32),
        ({"revision": None, "cache_dir": None, "token": None, "local_files_only": True}, torch.float32),
    ],
)
def test_what_is_taken(folder: Path, options: dict[str, Any], dtype: torch.dtype) -> None:
    for load in LOADERS:
        loaded: Any = load(folder, **options)
        assert loaded.dtype == dtype
        assert loaded.device == torch.device("cpu")


def test_auto_is_the_accelerator_that_is_there(folder: Path) -> None:
    wanted = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    assert GroupDNet.from_pretrained(folder, device_map="auto").device.type == wanted.type


def test_variants(folder: Path, tmp_path: Path) -> None:
    assert fingerprint(GroupDNet.from_pretrained(folder)) == fingerprint(make_model(0))
    loaded = GroupDNet.from_pretrained(folder, variant="fp16", dtype="auto")
    assert fingerprint(loaded) == fingerprint(make_model(1).half())
    with pytest.raises(FileNotFoundError, match=r"no model.bf16.safetensors: its variants are 'fp16'"):
        GroupDNet.from_pretrained(folder, variant="bf16")
    with pytest.raises(ValueError, match=r"variant is '../x'; it must be a word"):
        GroupDNet.from_pretrained(folder, variant="../x")
    make_model().save_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"leave variant out to read model.safetensors"):
        GroupDNet.from_pretrained(tmp_path, variant="fp16")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"revison": "main"}, r"unknown option revison: did you mean revision\? There are dtype, "),
        ({"torch_dtpye": "float16"}, r"did you mean torch_dtype\?"),
        ({"colour": 1}, "unknown option colour: there are dtype, "),
        ({"use_auth_token": "x"}, "unknown option use_auth_token: here it is token"),
        ({"map_location": "cpu"}, "unknown option map_location: here it is device"),
        ({"quantization_config": {}}, "models are not quantised; dtype='bfloat16'"),
        ({"max_memory": {0: "1GB"}}, "one device, which device names"),
    ],
)
def test_unknown_options_are_refused_by_name(folder: Path, options: dict[str, Any], message: str) -> None:
    """Also for a folder, where no option of the Hub has an effect."""
    for load in LOADERS:
        with pytest.raises(TypeError, match=message):
            load(folder, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device_map": "balanced"}, "device_map is 'balanced', but a model lies on one device"),
        ({"device_map": {"encoder": "cpu", "decoder": 0}}, "a model lies on one device"),
        ({"device": "cpu", "device_map": "meta"}, "device is 'cpu' and device_map 'meta': give device only"),
        ({"device": "gpu"}, "device is 'gpu', which is not a device such as"),
        (
            {"dtype": "float16", "torch_dtype": "float32"},
            "torch_dtype, its old name, 'float32': give dtype only",
        ),
        ({"torch_dtype": {"default": "float16"}}, r"dtype is \{'default': 'float16'\}; it must be"),
        ({"use_safetensors": False}, "weights are read from safetensors files only"),
        ({"trust_remote_code": True}, "no code is loaded with a model"),
        ({"ignore_mismatched_sizes": True}, "transfer_classes makes a model of other classes"),
        ({"local_files_only": True, "force_download": True}, "exclude each other"),
    ],
)
def test_values_that_cannot_be_are_refused(folder: Path, options: dict[str, Any], message: str) -> None:
    for load in LOADERS:
        with pytest.raises(ValueError, match=message):
            load(folder, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there(folder: Path) -> None:
    with pytest.raises(ValueError, match="torch finds no CUDA device here: use 'cpu'"):
        GroupDNet.from_pretrained(folder, device_map="cuda")


def test_options_of_the_pipeline(folder: Path) -> None:
    pipe = GroupDNetPipeline.from_pretrained(folder, cache_bytes=0, batch_size=4)
    assert pipe.prepared_maps.limit == 0
    assert pipe.batch_size == 4
    with pytest.raises(TypeError, match="unknown option cache_bytes: it is an option of GroupDNetPipeline"):
        GroupDNet.from_pretrained(folder, cache_bytes=0)


def test_options_of_saving(tmp_path: Path) -> None:
    model = make_model()
    for one in (model, GroupDNetPipeline(model)):
        one.save_pretrained(tmp_path / "model", safe_serialization=True)
        with pytest.raises(ValueError, match="weights are saved as safetensors only"):
            one.save_pretrained(tmp_path / "model", safe_serialization=False)
        with pytest.raises(TypeError, match="a model is saved in one file"):
            one.save_pretrained(tmp_path / "model", max_shard_size="1GB")
        with pytest.raises(TypeError, match=r"unknown option commit_mesage: did you mean commit_message\?"):
            one.push_to_hub("user/model", commit_mesage="First version")
    assert GroupDNet.from_pretrained(tmp_path / "model").config == CONFIG
