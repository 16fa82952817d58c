"""KID of drawn pictures and photos, beside that of training photos and the same photos."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from groupdnet_hub.evaluation.inputs import Sampled
from groupdnet_hub.evaluation.sampled.parts import SampledPart
from groupdnet_hub.evaluation.training_photos import TrainingPhotos
from groupdnet_hub.metrics import kernel_distance
from groupdnet_hub.runs.sharding import run_sharded


class KidPart(SampledPart):
    """The metrics ``kid`` and ``kid_inception``.

    Args:
        network: ``TrunkFeatures`` or ``InceptionFeatures``.
        seeds: number of pictures of each label map.
        settings: other settings that the metric depends on.
        photos: as many training photos as label maps, whose distance from the photos of the maps is that of a perfect
            model; None to leave this value out.
    """

    def __init__(
        self, network: nn.Module, seeds: int, settings: dict[str, Any], photos: TrainingPhotos | None
    ) -> None:
        self.network, self.seeds, self.photos = network, seeds, photos
        self.settings = {**settings, "training_photos": None if photos is None else photos.digest}
        self._features: Tensor | None = None

    def begin(self, accelerator: Accelerator) -> None:
        """Compute the features of the training photos."""
        photos = self.photos
        if photos is None:
            return
        batches = photos.batches()

        def features(position: int) -> Tensor:
            return self._of(photos.pictures(batches[position]))

        self._features = torch.cat(run_sharded(len(batches), features, accelerator, "training photos"))

    def measure(self, sampled: Sampled) -> np.ndarray:
        """Return features of the photo, then of the pictures [1 + K, D]."""
        return self._of(torch.cat([sampled.photo[None], sampled.pictures])).numpy()

    def summarise(self, rows: np.ndarray) -> dict[str, Any]:
        """Return the kernel distance, and that of the training photos."""
        features = torch.from_numpy(rows)
        found = asdict(kernel_distance(features[:, 1:], features[:, 0]))
        photos = None
        if self._features is not None:
            count = min(len(rows), len(self._features))
            photos = asdict(kernel_distance(self._features[:count, None], features[:count, 0]))
        return {"name": self.network.kernel_name, **found, "photos": photos}

    def _of(self, pictures: Tensor) -> Tensor:
        features: Tensor = self.network(pictures)
        return features.float().cpu()
