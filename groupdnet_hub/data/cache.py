"""Pictures and maps of a data set as integers in the memory of the host or of a training device."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class CachedPictures:
    """Pictures [N, 3, H, W] and maps [N, H, W] in one tensor each, and the classes that each label map shows.

    Args:
        count: N.
        like: an item with the parts and sizes of all: ``image`` uint8, ``label`` and perhaps ``instance`` and
            ``unknown``.
        class_count: number of classes; ids of label maps are below it.
        device: device of the tensors.

    Attributes:
        parts: ``image`` uint8; ``label`` uint8, or int16 or int32 for more than 256 classes; ``instance`` int32;
            ``unknown`` bool.
        classes: int64 [N, K], ids that each label map shows, those of unknown pixels too, in rising order, where K is
            the largest number of them on one map; the rest is filled with ``class_count``. Empty before
            :meth:`finish`.
    """

    def __init__(
        self, count: int, like: Mapping[str, Tensor], class_count: int, device: torch.device
    ) -> None:
        self.class_count, self.device = class_count, device
        self.parts = {
            name: torch.empty((count, *value.shape), dtype=_cached_type(name, class_count), device=device)
            for name, value in like.items()
        }
        self._shown = torch.zeros(count, class_count, dtype=torch.bool)
        self.classes = torch.empty(0)

    @staticmethod
    def bytes_of(count: int, like: Mapping[str, Tensor], class_count: int) -> int:
        """Return the memory that ``count`` items take, in bytes."""
        return count * sum(
            value.numel() * _cached_type(name, class_count).itemsize for name, value in like.items()
        )

    @property
    def nbytes(self) -> int:
        """Memory that the items take, in bytes."""
        return sum(part.nbytes for part in self.parts.values())

    def put(self, index: int, item: Mapping[str, Tensor]) -> None:
        """Store item ``index``, whose maps are of an integer type.

        Raises:
            ValueError: if its parts differ from those of the first item, or an instance id takes more than 31 bits.
        """
        if item.keys() != self.parts.keys():
            with_map = "has an" if "instance" in item else "has no"
            raise ValueError(
                f"item {index} {with_map} instance map, unlike the first one: give all one, or none"
            )
        if "instance" in item and int(item["instance"].max()) >= 2**31:
            raise ValueError(
                f"item {index} has instance ids of 2^31 or more, which are not cached in memory: renumber them"
            )
        for name, value in item.items():
            self.parts[name][index].copy_(value)
        self._shown[index].index_fill_(0, item["label"].flatten().long(), True)

    def finish(self) -> None:
        """Set ``classes``, after the last item."""
        most = int(self._shown.sum(dim=1).max())
        ids = torch.where(self._shown, torch.arange(self.class_count), self.class_count)
        self.classes = ids.sort(dim=1).values[:, :most].contiguous().to(self.device)

    def item(self, index: int) -> dict[str, Tensor]:
        """Return one item on the CPU; do not write to it."""
        return {name: part[index].cpu() for name, part in self.parts.items()}

    def classes_of(self, index: int) -> Tensor:
        """Return the classes of one item on the CPU, int64 [K]."""
        return self.classes[index].cpu()

    def batch(self, indices: Tensor) -> dict[str, Tensor]:
        """Return items [B, ...] by their indices, int64 [B] on the same device."""
        return {name: part.index_select(0, indices) for name, part in self.parts.items()}


class FirstItems:
    """The first items that were read, until ``limit`` bytes are full."""

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0
        self._items: dict[int, dict[str, Tensor]] = {}

    def get(self, index: int) -> dict[str, Tensor] | None:
        """Return an item; None if it is not in memory."""
        return self._items.get(index)

    def put(self, index: int, item: Mapping[str, Tensor]) -> None:
        """Store an item, maps as int16 where that is exact, unless the memory is full."""
        if self._used >= self._limit:
            return
        narrow = {
            name: value
            if name in ("image", "unknown") or int(value.max()) >= 2**15
            else value.to(torch.int16)
            for name, value in item.items()
        }
        self._items[index] = narrow
        self._used += sum(value.nbytes for value in narrow.values())


def _cached_type(name: str, class_count: int) -> torch.dtype:
    if name == "image":
        return torch.uint8
    if name == "unknown":
        return torch.bool
    if name == "instance":
        return torch.int32
    return torch.uint8 if class_count <= 256 else torch.int16 if class_count <= 2**15 else torch.int32
