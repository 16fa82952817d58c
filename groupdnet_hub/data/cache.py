"""Pictures and maps of a data set kept in memory as whole numbers, of the host or of a training device."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class KeptPictures:
    """Pictures [N, 3, H, W] and maps [N, H, W] in one tensor each, and the classes that each label map shows.

    Args:
        count: N.
        like: an item, whose parts and sizes are those of all: ``image`` uint8, ``label`` and perhaps ``instance``.
        class_count: ids of label maps are below it.
        device: where they are kept.

    Attributes:
        parts: ``image`` uint8; ``label`` uint8, or int16 or int32 for more than 256 classes; ``instance`` int32.
        classes: int64 [N, K], once all are there: the ids that each label map shows, in rising order, K being the
            most that any shows; the rest is filled with ``class_count``.
    """

    def __init__(
        self, count: int, like: Mapping[str, Tensor], class_count: int, device: torch.device
    ) -> None:
        self.class_count, self.device = class_count, device
        self.parts = {
            name: torch.empty((count, *value.shape), dtype=_kept_type(name, class_count), device=device)
            for name, value in like.items()
        }
        self._shown = torch.zeros(count, class_count, dtype=torch.bool)
        self.classes = torch.empty(0)

    @staticmethod
    def bytes_of(count: int, like: Mapping[str, Tensor], class_count: int) -> int:
        """How much memory ``count`` items take."""
        return count * sum(
            value.numel() * _kept_type(name, class_count).itemsize for name, value in like.items()
        )

    @property
    def nbytes(self) -> int:
        """How much memory they take."""
        return sum(part.nbytes for part in self.parts.values())

    def put(self, index: int, item: Mapping[str, Tensor]) -> None:
        """Keep one item, whose maps are of whole numbers.

        Raises:
            ValueError: if its parts are others than the first one's, or an instance id takes more than 31 bits.
        """
        if item.keys() != self.parts.keys():
            with_map = "has an" if "instance" in item else "has no"
            raise ValueError(
                f"item {index} {with_map} instance map, unlike the first one: give all one, or none"
            )
        if "instance" in item and int(item["instance"].max()) >= 2**31:
            raise ValueError(
                f"item {index} has instance ids of 2^31 or more, which are not kept in memory: number them anew"
            )
        for name, value in item.items():
            self.parts[name][index].copy_(value)
        self._shown[index].index_fill_(0, item["label"].flatten().long(), True)

    def finish(self) -> None:
        """Make ``classes`` ready, after the last item."""
        most = int(self._shown.sum(dim=1).max())
        ids = torch.where(self._shown, torch.arange(self.class_count), self.class_count)
        self.classes = ids.sort(dim=1).values[:, :most].contiguous().to(self.device)

    def item(self, index: int) -> dict[str, Tensor]:
        """One item on the CPU; not to be written to."""
        return {name: part[index].cpu() for name, part in self.parts.items()}

    def classes_of(self, index: int) -> Tensor:
        """The classes of one item on the CPU, int64 [K]."""
        return self.classes[index].cpu()

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        """Items [B, ...] by their numbers, int64 [B] on the same device."""
        return {name: part.index_select(0, indices) for name, part in self.parts.items()}


def _kept_type(name: str, class_count: int) -> torch.dtype:
    if name == "image":
        return torch.uint8
    if name == "instance":
        return torch.int32
    return torch.uint8 if class_count <= 256 else torch.int16 if class_count <= 2**15 else torch.int32
