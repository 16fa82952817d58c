"""The networks that measure pictures, each loaded once and only where it is needed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from groupdnet_hub.metrics import (
    FEATURE_NETS,
    InceptionFeatures,
    LpipsEmbedding,
    TrunkFeatures,
    alexnet_lpips,
)
from groupdnet_hub.metrics.imagenet_trunks import trunk_download
from groupdnet_hub.metrics.inception import inception_download
from groupdnet_hub.runs.settings import Settings, existing_file, option

_LPIPS = {"mcsd", "mocd", "lpips", "memory"}


@dataclass(frozen=True, kw_only=True)
class MeasuringSettings(Settings):
    """Networks that measure pictures."""

    alexnet_weights: str | None = option(
        None,
        "AlexNet trunk of LPIPS, a safetensors file; by default torchvision downloads",
        check=existing_file,
        on_resume="free",
    )
    inception_weights: str | None = option(
        None,
        "weights of FID's Inception: torch-fidelity's .pth, or NVIDIA's TorchScript archive .pt, whose code is not "
        "run; by default the former is downloaded",
        check=existing_file,
        on_resume="free",
    )
    frechet_net: str = option(
        "vgg16", "features of frechet and kid", choices=tuple(FEATURE_NETS), on_resume="free"
    )
    frechet_weights: str | None = option(
        None,
        "their trunk, a safetensors file; by default torchvision downloads",
        check=existing_file,
        on_resume="free",
    )


def check_downloads(settings: MeasuringSettings, metrics: Collection[str]) -> None:
    """Refuse weights that would be downloaded and are out of reach, before anything is read or drawn.

    Args:
        settings: names local files of weights.
        metrics: names of what is measured.

    Raises:
        ValueError: naming the flag of a local file.
    """
    if _LPIPS & set(metrics) and settings.alexnet_weights is None:
        trunk_download("alexnet", "--alexnet_weights").check()
    if {"fid", "kid_inception"} & set(metrics) and settings.inception_weights is None:
        inception_download().check()
    if {"frechet", "kid"} & set(metrics) and settings.frechet_weights is None:
        trunk_download(settings.frechet_net, "--frechet_weights").check()


class Networks:
    """What the flags name, on a device."""

    def __init__(self, settings: MeasuringSettings, device: torch.device) -> None:
        self.settings, self.device = settings, device

    @cached_property
    def lpips_maps(self) -> nn.Module:
        """LPIPS at each pixel."""
        return alexnet_lpips(self.settings.alexnet_weights, spatial=True).to(self.device)

    @cached_property
    def lpips_embedding(self) -> LpipsEmbedding:
        """Network of memory."""
        return LpipsEmbedding(self.settings.alexnet_weights).to(self.device)

    @cached_property
    def inception(self) -> InceptionFeatures:
        """Network of fid and kid_inception."""
        return InceptionFeatures(self.settings.inception_weights).to(self.device)

    @cached_property
    def trunk(self) -> TrunkFeatures:
        """Network of frechet and kid."""
        return TrunkFeatures(self.settings.frechet_net, self.settings.frechet_weights).to(self.device)
