"""Training photos that pictures and photos of a split are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from groupdnet_hub.evaluation.inputs import Inputs, evenly, with_suffix
from groupdnet_hub.generation.inputs import paired_images
from groupdnet_hub.metrics import eight_bit
from groupdnet_hub.runs.provenance import digest


class TrainingPhotos:
    """The photos of a split, or some of them, at the size judged at.

    Args:
        split: folder of the split.
        inputs: what is measured.
        suffix: only those whose names end so.
        count: how many, evenly spread; all for ``None``.

    Attributes:
        digest: changes with the photos' files.

    Raises:
        ValueError: for a folder that is no split of the model's classes, or where no name ends so.
    """

    def __init__(self, split: Path, inputs: Inputs, suffix: str | None, count: int | None = None) -> None:
        self.data = paired_images(split, inputs.system, inputs.judged_size)
        self.items = evenly(with_suffix(self.data, suffix), count)
        self.inputs = inputs
        self.digest = digest(*(Path(self.data.pairs[item][0]).read_bytes() for item in self.items))

    def batches(self) -> list[list[int]]:
        """Their numbers, ``--batch_size`` at a time."""
        size = self.inputs.batch_size
        starts = range(0, len(self.items), size)
        return [self.items[start : start + size] for start in starts]

    def pictures(self, items: Sequence[int]) -> Tensor:
        """uint8 [B, 3, H, W], on the system's device."""
        images = torch.stack([self.inputs.cut(self.data[item]["image"]) for item in items])
        return eight_bit(images).to(self.inputs.system.device)
