"""The networks that measure pictures, each loaded once and only where it is needed."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import nn

from groupdnet_hub.evaluation.config import EvaluateConfig
from groupdnet_hub.metrics import InceptionFeatures, LpipsEmbedding, TrunkFeatures, alexnet_lpips
from groupdnet_hub.metrics.imagenet_trunks import trunk_download
from groupdnet_hub.metrics.inception import inception_download

_LPIPS = {"mcsd", "mocd", "lpips", "memory"}


def check_downloads(settings: EvaluateConfig) -> None:
    """Refuse weights that would be downloaded and are out of reach, before anything is read or drawn.

    Raises:
        ValueError: naming the flag of a local file.
    """
    metrics = set(settings.metrics)
    if metrics & _LPIPS and settings.alexnet_weights is None:
        trunk_download("alexnet", "--alexnet_weights").check()
    if metrics & {"fid", "kid_inception"} and settings.inception_weights is None:
        inception_download().check()
    if metrics & {"frechet", "kid"} and settings.frechet_weights is None:
        trunk_download(settings.frechet_net, "--frechet_weights").check()


class Networks:
    """What the flags name, on a device."""

    def __init__(self, settings: EvaluateConfig, device: torch.device) -> None:
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
