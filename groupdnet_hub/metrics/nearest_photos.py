"""Memorisation: are drawn pictures closer to a training photo than new photos are?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from groupdnet_hub.metrics.estimates import Estimate, divide, estimate, estimate_mean

# Maps pictures uint8 [B, 3, H, W] to float [B, D], whose squared distances are the distances of the pictures.
Embedding = Callable[[Tensor], Tensor]
# Photos embedded at a time.
_BATCH = 8


@dataclass(frozen=True)
class Memory:
    """The distance of pictures from their nearest training photo: near 1 as in new photos, less if copied.

    Attributes:
        images: number of label maps.
        ratio: mean distance of the drawn pictures over that of the photos of the same label maps, which are not
            training photos.
        pictures, photos: these mean distances.
    """

    images: int
    ratio: Estimate
    pictures: Estimate
    photos: Estimate


class NearestPhotos:
    """Search for the nearest of many photos.

    Only candidates are embedded, the photos with the nearest descriptions; a description is a short embedding.

    Args:
        descriptions: float [N, D], on any device, results of ``describe`` for the photos.
        photos: function that returns photos uint8 [B, 3, H, W] by their indices.
        describe, embed: short and full embedding, on the pictures' device.
        candidates: number of candidates per picture.

    Raises:
        ValueError: without photos or candidates.
    """

    def __init__(
        self,
        descriptions: Tensor,
        photos: Callable[[Sequence[int]], Tensor],
        *,
        describe: Embedding,
        embed: Embedding,
        candidates: int = 16,
    ) -> None:
        if not len(descriptions) or candidates < 1:
            raise ValueError(
                f"{len(descriptions)} photos and {candidates} candidates: give at least one of each"
            )
        self.descriptions, self.photos, self.describe, self.embed = descriptions, photos, describe, embed
        self.candidates = min(candidates, len(descriptions))

    def distances(self, pictures: Tensor) -> np.ndarray:
        """Return the distance of each picture uint8 [B, 3, H, W] from the nearest photo, float64 [B].

        Each picture is compared with the candidates of all of them.
        """
        apart = torch.cdist(self.describe(pictures).to(self.descriptions), self.descriptions)
        numbers = sorted(set(apart.topk(self.candidates, largest=False).indices.flatten().tolist()))
        embedded = self.embed(pictures)
        nearest = torch.full((len(pictures),), float("inf"), dtype=torch.float64)
        for start in range(0, len(numbers), _BATCH):
            for photo in self.embed(self.photos(numbers[start : start + _BATCH])):
                squared = (embedded - photo).square().sum(dim=1)
                nearest = torch.minimum(nearest, squared.double().cpu())
        return nearest.numpy()


def summarise_memory(rows: np.ndarray) -> Memory:
    """Return the metric over all label maps.

    Args:
        rows: float64 [N, 2]: mean distance of the pictures of each, and distance of its photo.
    """
    drawn, photographed = rows.T
    ratio = estimate(len(rows), lambda counts: divide(counts @ drawn, counts @ photographed))
    return Memory(len(rows), ratio, estimate_mean(drawn), estimate_mean(photographed))
