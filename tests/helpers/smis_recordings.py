"""The recordings of the original networks: configurations of the small variants, weights and inputs."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from groupdnet_hub.config.decoder_layout import (
    encoder_multipliers,
    modulation_like_ade20k,
    modulation_like_cityscapes,
    modulation_like_deepfashion,
)
from groupdnet_hub.config.groupdnet import GroupDNetConfig
from groupdnet_hub.config.presets import numbered_palette
from tests.helpers.shared_data import shared_folder

PRESET_NAMES = ("deepfashion", "cityscapes", "ade20k")


def discriminator_key(key: str) -> str | None:
    """Return a key of the original discriminator as one of ``MultiScaleDiscriminator``; None where there is none."""
    part = re.fullmatch(r"discriminator_(\d)\.model(\d)\.0\.(?:0\.)?(.+)", key)
    if part is None:
        return None
    scale, layer, rest = part[1], int(part[2]), part[3]
    name = {0: "first", 4: "last"}.get(layer, f"middle.{layer - 1}")
    return f"scales.{scale}.{name}.{'weight' if rest == 'weight_orig' else rest}"


def small_config(name: str) -> GroupDNetConfig:
    """The configuration of the small recorded variant of a preset."""
    full = GroupDNetConfig.preset(name)
    if name == "deepfashion":
        C, fc, size = 8, 64, (256, 256)
        blocks = modulation_like_deepfashion((64, 64, 64, 32, 16, 8, 4), (8, 8, 4, 4, 2, 2, 1))
        encoder_width = 16
    elif name == "cityscapes":
        C, fc, size = 7, 112, (256, 512)
        blocks = modulation_like_cityscapes((112, 112, 112, 56, 28, 14, 7), (7, 7, 4, 4, 2, 2, 1), C)
        encoder_width = 14
    else:
        C, fc, size = 11, 176, (256, 256)
        blocks = modulation_like_ade20k((176, 128, 64, 64, 32, 16, 8), (11, 16, 16, 8, 4, 2, 1), C)
        encoder_width = 44
    return full.replace(
        class_names=tuple(f"label-{i}" for i in range(C)),
        palette=numbered_palette(C),
        image_size=size,
        blocks=blocks,
        fc_channels=fc,
        encoder_width=encoder_width,
        encoder_multipliers=encoder_multipliers(6),
        class_slots=C,
        discriminator_width=8,
    )


def recording(name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(tensors, figures) of a small variant."""
    folder = shared_folder("parity")
    figures = json.loads((folder / f"{name}_small.json").read_text())
    return load_file(folder / f"{name}_small_io.safetensors"), figures


def inputs(tensors: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor | None]:
    """(image [-1, 1], label, instance) of a recording."""
    image = (tensors["image_u8"].float() / 255 - 0.5) / 0.5
    instance = tensors["instance_u8"][:, 0].long() if "instance_u8" in tensors else None
    return image, tensors["label"][:, 0].long(), instance


def strided(tensor: Tensor, cells: int) -> Tensor:
    """The recordings' subsampling: about ``cells`` rows and columns."""
    H, W = tensor.shape[-2:]
    return tensor[..., :: max(1, H // cells), :: max(1, W // cells)]


def stream(seed: str, key: str) -> np.random.RandomState:
    """The random stream of one tensor of the recordings."""
    return np.random.RandomState(zlib.crc32(f"{seed}:{key}".encode()) & 0xFFFFFFFF)


def recipe_state_dict(shapes: Mapping[str, Any], seed: str) -> dict[str, Tensor]:
    """Weights of the full-width recordings, made from a seed (recipe.py of the recordings)."""
    new: dict[str, np.ndarray] = {}
    for key, shape in shapes.items():
        random, leaf = stream(seed, key), key.rsplit(".", 1)[-1]
        shape = tuple(shape)
        if leaf in ("weight", "weight_orig"):
            gain = 0.3 if ("mlp_gamma" in key or "mlp_beta" in key) else 1.0
            fan = np.sqrt(int(np.prod(shape[1:])))
            new[key] = (random.standard_normal(shape) * (gain / fan)).astype(np.float32)
        elif leaf in ("bias", "running_mean"):
            new[key] = (random.standard_normal(shape) * 0.1).astype(np.float32)
        elif leaf == "running_var":
            new[key] = (0.5 + random.random_sample(shape)).astype(np.float32)
        elif leaf == "num_batches_tracked":
            new[key] = np.zeros(shape, np.int64)
    for key in shapes:
        if key.endswith("weight_u"):
            matrix = new[key[:-1] + "orig"].astype(np.float64)
            matrix = matrix.reshape(matrix.shape[0], -1)
            u = stream(seed, key).standard_normal(matrix.shape[0])
            u /= np.linalg.norm(u)
            for _ in range(3):
                v = matrix.T @ u
                v /= max(np.linalg.norm(v), 1e-12)
                u = matrix @ v
                u /= max(np.linalg.norm(u), 1e-12)
            new[key] = u.astype(np.float32)
            new[key[:-1] + "v"] = v.astype(np.float32)
    return {key: torch.from_numpy(np.asarray(value)) for key, value in new.items()}


def recipe_labels(seed: str, count: int, classes: int, height: int, width: int, absent: int) -> Tensor:
    """int64 [count, H, W]: a random class per cell of 16 x 16 pixels, one class never drawn."""
    allowed = np.array([c for c in range(classes) if c != absent])
    drawn = stream(seed, "label").randint(0, len(allowed), (count, height // 16, width // 16))
    return torch.from_numpy(np.repeat(np.repeat(allowed[drawn], 16, 1), 16, 2)).long()


def recipe_image(seed: str, count: int, height: int, width: int) -> Tensor:
    """[count, 3, H, W] in [-1, 1]."""
    random = stream(seed, "image")
    low = random.randint(0, 256, (count, 3, height // 8, width // 8))
    image = np.repeat(np.repeat(low, 8, 2), 8, 3) + random.randint(-20, 21, (count, 3, height, width))
    pixels = torch.from_numpy(np.clip(image, 0, 255).astype(np.uint8))
    return (pixels.float() / 255 - 0.5) / 0.5


def recipe_noise(seed: str, key: str, shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise of a recorded run."""
    return torch.from_numpy(stream(seed, key).standard_normal(shape).astype(np.float32))
