"""Memorisation: the distance of drawn pictures from their nearest training photo, beside that of new photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from groupdnet_hub.evaluation.inputs import Sampled
from groupdnet_hub.evaluation.sampled.parts import SampledPart
from groupdnet_hub.evaluation.training_photos import TrainingPhotos
from groupdnet_hub.metrics import LpipsEmbedding, NearestPhotos, summarise_memory
from groupdnet_hub.runs.sharding import run_sharded


class MemoryPart(SampledPart):
    """The metric ``memory``.

    It costs a pass of AlexNet over each training photo, whose descriptions (74 KB each) are in the memory of all
    processes, and one over about 16 to 40 photos per label map.

    Args:
        network: network of descriptions and embeddings.
        seeds: number of pictures of each label map.
        settings: other settings that the metric depends on.
        photos: all training photos.
    """

    def __init__(
        self, network: LpipsEmbedding, seeds: int, settings: dict[str, Any], photos: TrainingPhotos
    ) -> None:
        self.network, self.seeds, self.photos = network, seeds, photos
        self.settings = {**settings, "training_photos": photos.digest}
        self._nearest: NearestPhotos | None = None

    def begin(self, accelerator: Accelerator) -> None:
        """Describe the training photos."""
        batches = self.photos.batches()

        def describe(position: int) -> Tensor:
            return self.network.describe(self.photos.pictures(batches[position])).cpu()

        descriptions = torch.cat(run_sharded(len(batches), describe, accelerator, "training photos"))

        def photos_at(positions: Sequence[int]) -> Tensor:
            return self.photos.pictures([self.photos.items[position] for position in positions])

        self._nearest = NearestPhotos(
            descriptions, photos_at, describe=self.network.describe, embed=self.network
        )

    def measure(self, sampled: Sampled) -> np.ndarray:
        """Return the mean distance of the pictures from their nearest training photo, and that of the photo."""
        if self._nearest is None:
            raise RuntimeError("begin comes first")
        photo, *pictures = self._nearest.distances(torch.cat([sampled.photo[None], sampled.pictures]))
        return np.array([np.mean(pictures), photo])

    def summarise(self, rows: np.ndarray) -> dict[str, Any]:
        """Return the ratio, with both distances."""
        return {**asdict(summarise_memory(rows)), "training_photos": len(self.photos.items)}
