"""Weights that are NaN or infinite are refused where they are loaded, with the tensor's name and their number."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from groupdnet_hub import AppearanceCodes, GroupDNet, load_system
from groupdnet_hub.baselines import build_system, system_config
from groupdnet_hub.convert.smis import read_checkpoint
from groupdnet_hub.hub.discriminator_file import DISCRIMINATOR_FILE
from groupdnet_hub.io.finite import check_finite
from groupdnet_hub.metrics.imagenet_trunks import imagenet_trunk
from groupdnet_hub.metrics.inception.weights import read_inception_weights
from groupdnet_hub.metrics.lpips import LpipsEmbedding
from groupdnet_hub.models.discriminator import MultiScaleDiscriminator
from groupdnet_hub.training.state.discriminator_state import take_up, weights_to_save
from tests.helpers.hostile_files import refusal, refused
from tests.helpers.hub_models import CONFIG, LABELS, make_model
from tests.helpers.inception_archive import drawn_archive, save_archive
from tests.helpers.small_parser import save_small_parser

WEIGHTS = "model.safetensors"
BIAS = "decoder.fc.bias"
TOLD = rf"{BIAS} in .* holds 2 values that are NaN and 1 that are infinite, of {CONFIG.fc_channels}: "


def spoil(path: Path, name: str, metadata: dict[str, str] | None = None) -> int:
    """Put two NaN and an infinity into a tensor of a file; return its number of values."""
    tensors = load_file(path)
    tensors[name].view(-1)[[0, 1, 3]] = torch.tensor(
        [math.nan, math.nan, -math.inf], dtype=tensors[name].dtype
    )
    save_file(tensors, path, metadata)
    return tensors[name].numel()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_a_model(tmp_path: Path, dtype: torch.dtype) -> None:
    make_model().to(dtype).save_pretrained(tmp_path)
    spoil(tmp_path / WEIGHTS, BIAS)
    refused(tmp_path, TOLD)
    with refusal(TOLD):
        GroupDNet.from_pretrained(tmp_path, dtype="auto")


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["decoder.blocks.0.norm_0.norm.running_var"]),
        ({"prior_codes": 4}, ["prior.mean", "prior.std"]),
        ({"prior_rank": 2}, ["prior.mean", "prior.factor"]),
    ],
)
def test_statistics_and_priors_of_a_model(tmp_path: Path, options: dict[str, int], names: list[str]) -> None:
    for name in names:
        GroupDNet(CONFIG.replace(**options)).save_pretrained(tmp_path)
        spoil(tmp_path / WEIGHTS, name)
        refused(tmp_path, rf"{name} in .* holds 2 values that are NaN")


def test_another_system(tmp_path: Path) -> None:
    build_system(system_config("BicycleGAN", LABELS, (32, 32), 4)).save_pretrained(tmp_path)
    name = next(key for key in load_file(tmp_path / WEIGHTS) if key.endswith("bias"))
    tensors = load_file(tmp_path / WEIGHTS)
    tensors[name].view(-1)[0] = math.inf
    save_file(tensors, tmp_path / WEIGHTS)
    with refusal(f"{name} in .* holds 0 values that are NaN and 1 that are infinite"):
        load_system(tmp_path)


def test_values_that_another_precision_cannot_hold(tmp_path: Path) -> None:
    make_model().save_pretrained(tmp_path)
    tensors = load_file(tmp_path / WEIGHTS)
    tensors[BIAS][:2] = torch.tensor([1e5, -2e5])
    save_file(tensors, tmp_path / WEIGHTS)
    with refusal(f"{BIAS} in .* holds 2 values of {CONFIG.fc_channels} beyond 65504, the largest of float16"):
        GroupDNet.from_pretrained(tmp_path, dtype="float16")
    assert GroupDNet.from_pretrained(tmp_path, dtype="bfloat16").decoder.fc.bias.isfinite().all()


def test_a_discriminator(tmp_path: Path) -> None:
    config = CONFIG.replace(discriminator_width=4, discriminator_norm="none")
    discriminator, model = MultiScaleDiscriminator(config), make_model()
    model.discriminator_to_save = weights_to_save(discriminator, config)
    model.save_pretrained(tmp_path)
    path = tmp_path / DISCRIMINATOR_FILE
    with safe_open(path, "pt") as file:
        metadata, name = file.metadata(), next(key for key in file.keys() if key.endswith("bias"))  # noqa: SIM118
    spoil(path, name, metadata)
    with refusal(f"{name} in {DISCRIMINATOR_FILE} of .* holds 2 values that are NaN and 1 that are infinite"):
        take_up(discriminator, str(tmp_path), config, {})


def test_codes(tmp_path: Path) -> None:
    codes = AppearanceCodes(make_model().sample_codes(generator=torch.Generator().manual_seed(0))[0], LABELS)
    path = tmp_path / "codes.safetensors"
    codes.save(path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    spoil(path, "codes", metadata)
    with refusal(r"codes in codes\.safetensors holds 2 values that are NaN and 1 that are infinite"):
        AppearanceCodes.load(path)


def test_files_of_other_projects(tmp_path: Path) -> None:
    tensors = {"module.a": torch.tensor([1.0, math.nan]), "module.b": torch.ones(2)}
    torch.save(tensors, tmp_path / "net.pth")
    save_file(tensors, tmp_path / "net.safetensors")
    for name in ("net.pth", "net.safetensors"):
        with refusal(f"module.a in {name} holds 1 values that are NaN and 0 that are infinite, of 2"):
            read_checkpoint(tmp_path / name)


def test_a_parser(tmp_path: Path) -> None:
    from groupdnet_hub.metrics import LabelTable, Segmenter

    folder, names = (
        save_small_parser(tmp_path / "parser", LABELS.names),
        dict(zip(LABELS.names, range(3), strict=True)),
    )
    table = LabelTable(LABELS, names, frozenset())
    Segmenter(str(folder), table)
    name = next(key for key in load_file(folder / WEIGHTS) if key.endswith("classifier.bias"))
    tensors = load_file(folder / WEIGHTS)
    tensors[name][0] = math.nan
    save_file(tensors, folder / WEIGHTS, {"format": "pt"})
    with pytest.raises(ValueError, match=f"{name} in the weights of .* holds 1 values that are NaN"):
        Segmenter(str(folder), table)


def test_a_parser_to_go_on_training(tmp_path: Path) -> None:
    pytest.importorskip("timm", reason="training parsers needs timm")
    from groupdnet_hub.parser.network import load_parser

    folder = save_small_parser(tmp_path / "parser", LABELS.names)
    name = next(key for key in load_file(folder / WEIGHTS) if key.endswith("classifier.weight"))
    spoil(folder / WEIGHTS, name, {"format": "pt"})
    with pytest.raises(ValueError, match=f"{name} in the weights of .* holds 2 values that are NaN and 1"):
        load_parser(folder, LABELS, (64, 64))


def test_the_encoder_of_a_new_parser(tmp_path: Path) -> None:
    pytest.importorskip("timm", reason="training parsers needs timm")
    from groupdnet_hub.parser.network import new_parser

    path, told = (
        tmp_path / "encoder.safetensors",
        "conv_stem.weight in encoder.safetensors holds 2 values that",
    )
    with torch.random.fork_rng(devices=[]):
        encoder: Any = new_parser(LABELS, width=8, encoder="efficientnet_lite0").backbone._backbone
        save_file(encoder.state_dict(), path)
        spoil(path, "conv_stem.weight")
        with pytest.raises(ValueError, match=told):
            new_parser(LABELS, path, width=8, encoder="efficientnet_lite0")


@pytest.mark.parametrize("net", ["alexnet", "vgg16", "vgg19"])
def test_a_trunk(tmp_path: Path, net: str) -> None:
    pytest.importorskip("torchvision", reason="trunks are torchvision's")
    path, shape = tmp_path / f"{net}.safetensors", (64, 3, 11, 11) if net == "alexnet" else (64, 3, 3, 3)
    save_file({"features.0.weight": torch.ones(shape), "features.0.bias": torch.ones(64)}, path)
    imagenet_trunk(net, 1, path)
    spoil(path, "features.0.bias")
    with refusal(rf"0.bias in {net}.safetensors holds 2 values that are NaN and 1 that are infinite, of 64"):
        imagenet_trunk(net, 1, path)


def test_the_trunk_of_lpips(tmp_path: Path) -> None:
    pytest.importorskip("lpips", reason="LPIPS is of the package lpips")
    torchvision = pytest.importorskip("torchvision", reason="trunks are torchvision's")
    path = tmp_path / "alexnet.safetensors"
    with torch.random.fork_rng(devices=[]):
        trunk = torchvision.models.alexnet(weights=None).features[:12]
    save_file({f"features.{key}": value for key, value in trunk.state_dict().items()}, path)
    spoil(path, "features.10.weight")
    with pytest.raises(ValueError, match=r"10.weight in alexnet.safetensors holds 2 values that are NaN"):
        LpipsEmbedding(path)


def test_the_network_of_fid(tmp_path: Path) -> None:
    network = drawn_archive()
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] = math.nan
    save_archive(network, tmp_path / "inception.pt")
    with pytest.raises(
        ValueError, match=r"in inception.pt holds 1 values that are NaN and 0 that are infinite"
    ):
        read_inception_weights(tmp_path / "inception.pt")


@pytest.mark.parametrize(
    "size", [{"height": 100_000, "width": 100_000}, {"shortest_edge": 5000}, {"height": 0, "width": 64}]
)
def test_a_parser_that_enlarges_without_bounds(tmp_path: Path, size: dict[str, Any]) -> None:
    import transformers

    from groupdnet_hub.metrics import LabelTable, Segmenter

    folder = save_small_parser(tmp_path / "parser", LABELS.names)
    transformers.SegformerImageProcessor(size=size).save_pretrained(folder)
    table = LabelTable(LABELS, dict(zip(LABELS.names, range(3), strict=True)), frozenset())
    with pytest.raises(ValueError, match=r"wants pictures whose .* it must be from 1 to 4096 pixels"):
        Segmenter(str(folder), table)


def test_what_is_finite_passes() -> None:
    largest = torch.tensor([torch.finfo(torch.float16).max])
    check_finite("a", largest, "file", torch.float16)
    check_finite("a", largest.half(), "file", torch.bfloat16)
    check_finite("empty", torch.zeros(0), "file")
    check_finite("counter", torch.tensor(2**62), "file", torch.float16)
