"""A system, and the label maps and photos of a split that it is measured on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from groupdnet_hub import PairedImages
from groupdnet_hub.baselines import System
from groupdnet_hub.data.unknown import UNKNOWN, grey_unknown, mark_unknown
from groupdnet_hub.metrics import Redrawing, eight_bit
from groupdnet_hub.runs.sharding import picture_seed

# Random streams of a label map's codes: of pairs that differ in a class, and of single pictures, of which each has the
# number after the one before.
_REDRAWN, _DRAWN = 0, 1


class MeasuredItems:
    """A system and the items of a split, each with codes that depend on the seed and its index alone.

    Args:
        system: system that draws.
        data: items at its size, not moved.
        seed: seed of all codes.
        batch_size: pictures drawn at a time.

    Attributes:
        chosen: indices of the items that are measured; by default all.
        ignored_classes: ids of the classes that stand for unknown pixels.
    """

    def __init__(self, system: System, data: PairedImages, *, seed: int, batch_size: int) -> None:
        self.system, self.data, self.seed, self.batch_size = system, data, seed, batch_size
        self.chosen = list(range(len(data)))
        self.ignored_classes = tuple(id_ for id_ in data.labels.ignored_ids if id_ < len(system.labels))

    def spread(self, count: int | None) -> list[int]:
        """Return the indices of ``count`` items, evenly spread over the chosen; all for None, or if there are fewer."""
        return evenly(self.chosen, count)

    def batches(self, indices: Sequence[int]) -> list[list[int]]:
        """Return indices in batches, the same for any number of processes."""
        size = self.batch_size
        return [list(indices[start : start + size]) for start in range(0, len(indices), size)]

    def label(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Return a label map int64 [H, W], and its instance map for a system that needs one."""
        return self.maps(self.data[index])

    def redrawing(self, index: int) -> Redrawing:
        """Return the pictures of an item that differ in one class."""
        item = self.data[index]
        label, instance = self.maps(item)
        seed = picture_seed(self.seed, index, _REDRAWN)
        return Redrawing(self.system, label, seed, instance, self.batch_size, item.get("unknown"))

    def draw(self, indices: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Draw a picture of each item.

        Returns:
            (photos, pictures, label maps): float [B, 3, H, W] in [-1, 1] twice, on the system's device, and int64
            [B, H, W] with UNKNOWN at unknown pixels. Photos and pictures are full.
        """
        items, drawn = self.drawn(indices)
        photos = torch.stack([item["image"] for item in items]).to(drawn.device)
        known = [mark_unknown(item["label"], item.get("unknown")) for item in items]
        return photos, drawn, torch.stack(known)

    def drawn(self, indices: Sequence[int]) -> tuple[list[dict[str, Tensor]], Tensor]:
        """Return items, and a picture of each, float [B, 3, H, W] in [-1, 1], at the system's size."""
        items = [self.data[index] for index in indices]
        maps = [self.maps(item) for item in items]
        label = torch.stack([one for one, _ in maps])
        instances = [instance for _, instance in maps if instance is not None]
        codes = [self.codes(index, 0, one) for index, one in zip(indices, label, strict=True)]
        pictures = self.system.decode(torch.cat(codes), label, torch.stack(instances) if instances else None)
        return items, pictures

    def codes(self, index: int, number: int, label: Tensor) -> Tensor:
        """Return codes [1, ...] of picture ``number`` of an item."""
        seed = picture_seed(self.seed, index, _DRAWN + number)
        size = (label.shape[0], label.shape[1])
        return self.system.sample_codes(1, generator=torch.Generator().manual_seed(seed), label_size=size)

    def maps(self, item: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Return the label map of an item int64 [H, W], and its instance map for a system that needs one."""
        instance = item.get("instance") if self.system.config.instance_edges else None
        return item["label"], instance


def compared(photos: Tensor, drawn: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Return photos and pictures as whole pictures are compared: uint8, grey at unknown pixels.

    Args:
        photos: float [B, 3, H, W] in [-1, 1].
        drawn: the same of the pictures.
        label: int64 [B, H, W] with UNKNOWN at unknown pixels.
    """
    unknown = label == UNKNOWN
    return eight_bit(grey_unknown(photos, unknown)), eight_bit(grey_unknown(drawn, unknown))


def evenly(numbers: Sequence[int], count: int | None) -> list[int]:
    """Return ``count`` of the numbers, evenly spread; all for None, or if there are fewer."""
    total = len(numbers)
    count = total if count is None else min(count, total)
    return [numbers[i * total // count] for i in range(count)]
