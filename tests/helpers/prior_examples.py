"""Configurations and posteriors for the tests of priors."""

from __future__ import annotations

import torch
from torch import Tensor

from groupdnet_hub import GroupDNetConfig
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.models.encoder import Gaussian


def small_config(**fields: object) -> GroupDNetConfig:
    return GroupDNetConfig.for_labels(FIGURE_LABELS, image_size=(32, 32), width=4, **fields)


def encoded(codes: Tensor, std: float = 0.0) -> Gaussian:
    """Posteriors around codes; exp(-inf) is exactly 0."""
    return Gaussian(codes, torch.full_like(codes, std).log() * 2)
