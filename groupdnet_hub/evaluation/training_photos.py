"""Training photos with which pictures and photos of a split are compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from groupdnet_hub.evaluation.inputs import Inputs, with_suffix
from groupdnet_hub.runs.measuring.items import evenly
from groupdnet_hub.runs.provenance import digest


class TrainingPhotos:
    """The photos of a split, or some of them, at the size at which they are judged.

    Args:
        split: folder of the split.
        inputs: what is measured.
        suffix: end of the names of the photos to take; None for all.
        count: number of photos, evenly spread; None for all.

    Attributes:
        digest: SHA-256 of the photos' files, and of their label maps' where some pixels may be unknown.

    Raises:
        ValueError: for a folder that is not a split of the model's classes, or if no name has this suffix.
    """

    def __init__(self, split: Path, inputs: Inputs, suffix: str | None, count: int | None = None) -> None:
        self.data = inputs.open(split, inputs.judged_size)
        self.items = evenly(with_suffix(self.data, suffix), count)
        self.inputs = inputs
        # Which pixels are unknown changes photos too.
        ignore = tuple(map(str, self.data.labels.ignore))
        files = (file for item in self.items for file in self.data.pairs[item][: 2 if ignore else 1])
        self.digest = digest(*(Path(file).read_bytes() for file in files), *ignore)

    def batches(self) -> list[list[int]]:
        """Return the photos' indices in batches of ``--batch_size``."""
        size = self.inputs.batch_size
        starts = range(0, len(self.items), size)
        return [self.items[start : start + size] for start in starts]

    def pictures(self, items: Sequence[int]) -> Tensor:
        """Return photos uint8 [B, 3, H, W], grey at their unknown pixels, on the system's device."""
        photos = [self.inputs.known_photo(self.data[item]) for item in items]
        return torch.stack(photos).to(self.inputs.system.device)
