"""The networks that measure pictures, each loaded once and only where it is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import nn

from groupdnet_hub.metrics import (
    FEATURE_NETS,
    InceptionFeatures,
    LpipsEmbedding,
    TrunkFeatures,
    alexnet_lpips,
)
from groupdnet_hub.runs.scripts import first_line
from groupdnet_hub.runs.settings import Settings, existing_file, option

Network = TypeVar("Network", bound=nn.Module)


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
        "Inception of FID, a file; by default torch-fidelity's is downloaded",
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


class Networks:
    """What the flags name, on a device.

    Raises:
        ValueError: for a file that does not hold the weights, and weights that cannot be downloaded; it names the flag.
    """

    def __init__(self, settings: MeasuringSettings, device: torch.device) -> None:
        self.settings, self.device = settings, device

    @cached_property
    def lpips_maps(self) -> nn.Module:
        """LPIPS at each pixel."""
        return self._load("alexnet_weights", lambda file: alexnet_lpips(file, spatial=True))

    @cached_property
    def lpips_embedding(self) -> LpipsEmbedding:
        """Network of memory."""
        return self._load("alexnet_weights", LpipsEmbedding)

    @cached_property
    def inception(self) -> InceptionFeatures:
        """Network of fid and kid_inception."""
        return self._load("inception_weights", InceptionFeatures)

    @cached_property
    def trunk(self) -> TrunkFeatures:
        """Network of frechet and kid."""
        return self._load("frechet_weights", lambda file: TrunkFeatures(self.settings.frechet_net, file))

    def _load(self, flag: str, make: Callable[[str | None], Network]) -> Network:
        file: str | None = getattr(self.settings, flag)
        try:
            return make(file).to(self.device)
        except OSError as error:  # urllib's are of this kind
            if file is not None:
                raise
            raise ValueError(
                f"weights that measure pictures cannot be downloaded ({first_line(error)}): give a file of them by "
                f"--{flag}"
            ) from None
