"""Memory: are drawn pictures nearer to a training photo than new photos are?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from groupdnet_hub.metrics.estimates import Estimate, divide, estimate, estimate_mean

# Pictures uint8 [B, 3, H, W] -> float [B, D], whose squared distances are the distances of the pictures.
Embedding = Callable[[Tensor], Tensor]
# Photos embedded at a time.
_TOGETHER = 8


@dataclass(frozen=True)
class Memory:
    """The distance of pictures to their nearest training photo: near 1 is right, less is copied.

    Attributes:
        images: how many label maps.
        ratio: the mean distance of the drawn pictures over that of the photos of the same label maps, which are no
            training photos.
        pictures, photos: these mean distances.
    """

    images: int
    ratio: Estimate
    pictures: Estimate
    photos: Estimate


class NearestPhotos:
    """Looks for the nearest of many photos.

    Only candidates are embedded, those whose descriptions are nearest; a description is a short embedding.

    Args:
        descriptions: float [N, D], on any device, what ``describe`` gives of the photos.
        photos: gives some photos by their numbers, uint8 [B, 3, H, W].
        describe, embed: on the pictures' device.
        candidates: how many for each picture.

    Raises:
        ValueError: for no photo, or no candidate.
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
        """The distance of each picture uint8 [B, 3, H, W] to the nearest photo, float64 [B].

        The candidates of all the pictures are compared with each of them.
        """
        apart = torch.cdist(self.describe(pictures).to(self.descriptions), self.descriptions)
        numbers = sorted(set(apart.topk(self.candidates, largest=False).indices.flatten().tolist()))
        embedded = self.embed(pictures)
        nearest = torch.full((len(pictures),), float("inf"), dtype=torch.float64)
        for start in range(0, len(numbers), _TOGETHER):
            for photo in self.embed(self.photos(numbers[start : start + _TOGETHER])):
                squared = (embedded - photo).square().sum(dim=1)
                nearest = torch.minimum(nearest, squared.double().cpu())
        return nearest.numpy()


def summarise_memory(rows: np.ndarray) -> Memory:
    """The figure of all label maps.

    Args:
        rows: float64 [N, 2]: for each the mean distance of its pictures, and that of its photo.
    """
    drawn, photographed = rows.T
    ratio = estimate(len(rows), lambda counts: divide(counts @ drawn, counts @ photographed))
    return Memory(len(rows), ratio, estimate_mean(drawn), estimate_mean(photographed))
