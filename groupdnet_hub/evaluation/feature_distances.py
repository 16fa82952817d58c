"""The distances of drawn pictures and photos by the features of one network: Frechet's, and KID beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from groupdnet_hub.metrics import FeatureStatistics, frechet_distance, kernel_distance
from groupdnet_hub.runs.measuring.items import evenly

# Below, the bias of a Frechet distance is told: the 2,048 features of FID's network have no covariance of full rank.
FULL_RANK = 2048
# KID is not biased for few pictures, and its cost grows with their square.
_KID_PICTURES = 2048


class FeatureDistances:
    """Features of pairs of a photo and the picture drawn on its label map, shard by shard.

    Args:
        indices: items that all shards together measure; KID takes up to 2,048 of them, evenly spread.
    """

    def __init__(self, indices: Sequence[int]) -> None:
        self.photos, self.pictures = FeatureStatistics(), FeatureStatistics()
        self._kept = frozenset(evenly(indices, _KID_PICTURES))
        self._pairs: dict[int, Tensor] = {}

    def update(self, indices: Sequence[int], photos: Tensor, pictures: Tensor) -> None:
        """Add the features [B, D] of the photos and the pictures of some items.

        Raises:
            ValueError: for values that are not finite.
        """
        self.photos.update(photos)
        self.pictures.update(pictures)
        pairs = torch.stack([photos, pictures], dim=1).float().cpu()
        self._pairs |= {
            index: pair for index, pair in zip(indices, pairs, strict=True) if index in self._kept
        }

    def merge(self, other: FeatureDistances) -> None:
        """Add another shard."""
        self.photos.merge(other.photos)
        self.pictures.merge(other.pictures)
        self._pairs |= other._pairs

    def result(self, network: nn.Module) -> dict[str, Any]:
        """Return the Frechet distance, and the fields of KID with its name.

        Args:
            network: the network whose features these are, ``InceptionFeatures`` or ``TrunkFeatures``.

        Raises:
            ValueError: for fewer than two items.
        """
        value = frechet_distance(self.photos, self.pictures)
        pairs = torch.stack([self._pairs[index] for index in sorted(self._pairs)])
        kid = kernel_distance(pairs[:, 1:], pairs[:, 0])
        return {
            "name": network.distance_name,
            "value": value,
            "images": self.pictures.count,
            "kid": {"name": network.kernel_name, **asdict(kid)},
        }


def small_sample_note(count: int) -> str | None:
    """Return what a Frechet distance of so few pictures is worth; None for 2,048 or more."""
    if count >= FULL_RANK:
        return None
    return (
        f"a Frechet distance of n = {count:,} pictures, fewer than {FULL_RANK:,}, is biased upwards: pictures as good "
        "as photos would not score 0, and only values of the same n compare. KID, beside it, has no such bias"
    )
