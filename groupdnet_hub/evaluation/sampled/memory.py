"""Memory: how near drawn pictures come to their nearest training photo, beside new photos."""

from __future__ import annotations

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
    """``memory``.

    It costs a pass of AlexNet over each training photo, whose descriptions (74 KB each) all processes keep, and one
    over some 16 to 40 photos a label map.

    Args:
        network: gives descriptions and embeddings.
        seeds: pictures of each label map.
        settings: what else the figure depends on.
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

        def look(position: int) -> Tensor:
            return self.network.describe(self.photos.pictures(batches[position])).cpu()

        descriptions = torch.cat(run_sharded(len(batches), look, accelerator, "training photos"))

        def of_numbers(numbers: Any) -> Tensor:
            return self.photos.pictures([self.photos.items[number] for number in numbers])

        self._nearest = NearestPhotos(
            descriptions, of_numbers, describe=self.network.describe, embed=self.network
        )

    def measure(self, sampled: Sampled) -> np.ndarray:
        """Mean distance of the pictures to their nearest training photo, and that of the photo."""
        if self._nearest is None:
            raise RuntimeError("begin comes first")
        photo, *pictures = self._nearest.distances(torch.cat([sampled.photo[None], sampled.pictures]))
        return np.array([np.mean(pictures), photo])

    def summarise(self, rows: np.ndarray) -> dict[str, Any]:
        """The ratio, with both distances."""
        return {**asdict(summarise_memory(rows)), "training_photos": len(self.photos.items)}
