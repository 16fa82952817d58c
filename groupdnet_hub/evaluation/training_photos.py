"""Training photos with which pictures and photos of a split are compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from groupdnet_hub.data.splits import open_split
from groupdnet_hub.evaluation.inputs import Inputs, evenly, with_suffix
from groupdnet_hub.metrics import eight_bit
from groupdnet_hub.runs.provenance import digest


class TrainingPhotos:
    """The photos of a split, or some of them, at the size at which they are judged.

    Args:
        split: folder of the split.
        inputs: what is measured.
        suffix: end of the names of the photos to take; None for all.
        count: number of photos, evenly spread; None for all.

    Attributes:
        digest: SHA-256 of the photos' files.

    Raises:
        ValueError: for a folder that is not a split of the model's classes, or if no name has this suffix.
    """

    def __init__(self, split: Path, inputs: Inputs, suffix: str | None, count: int | None = None) -> None:
        self.data = open_split(split, inputs.system.labels, inputs.judged_size, instances=False)
        self.items = evenly(with_suffix(self.data, suffix), count)
        self.inputs = inputs
        self.digest = digest(*(Path(self.data.pairs[item][0]).read_bytes() for item in self.items))

    def batches(self) -> list[list[int]]:
        """Return the photos' indices in batches of ``--batch_size``."""
        size = self.inputs.batch_size
        starts = range(0, len(self.items), size)
        return [self.items[start : start + size] for start in starts]

    def pictures(self, items: Sequence[int]) -> Tensor:
        """Return photos uint8 [B, 3, H, W], on the system's device."""
        images = torch.stack([self.inputs.cut(self.data[item]["image"]) for item in items])
        return eight_bit(images).to(self.inputs.system.device)
