"""A tiny model to save and load, and what tells two of them apart."""

from __future__ import annotations

import hashlib

import torch

from groupdnet_hub import GroupDNet, GroupDNetConfig, LabelSet

LABELS = LabelSet.from_names(("sky", "house", "road"))
CONFIG = GroupDNetConfig.for_labels(LABELS, image_size=(32, 32), width=4)


def make_model(seed: int = 0) -> GroupDNet:
    return GroupDNet(CONFIG, generator=torch.Generator().manual_seed(seed)).eval()


def fingerprint(model: GroupDNet) -> str:
    """Equal for two models only if every tensor is, bit for bit."""
    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
