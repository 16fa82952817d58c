"""A loss on what else changes when one class's code is exchanged: not in the paper, for cleaner redrawing.

Each training picture's codes all come from that picture, so that nothing in Eq. 6 keeps the code of one class out of
the regions of others.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from groupdnet_hub.data.labels import shown_classes
from groupdnet_hub.training.augment.class_choice import choose
from groupdnet_hub.training.shared_stream import RunSeed, SharedStream, StreamId


class Exchange(Protocol):
    """Where a class's other code comes from: :class:`ClassExchange`, or :class:`.code_memory.CodeMemory`."""

    def redraw(self, codes: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes [B, C, z, h, w] of maps [B, H, W] with one class of each exchanged, and the classes [B].

        Unknown pixels of the maps are marked (:func:`groupdnet_hub.data.unknown.mark_unknown`).
        """

    def remember(self, codes: Tensor, label: Tensor) -> None:
        """Keep the codes of a batch, once they were redrawn or are not to be."""


class ClassExchange(SharedStream):
    """Gives each picture of a batch the code of one class of the picture before it.

    Args:
        num_classes: of the label maps.
    """

    stream_id = StreamId.CLASS_EXCHANGE

    def __init__(self, num_classes: int, seed: RunSeed) -> None:
        super().__init__(seed)
        self.num_classes = num_classes

    def choose(self, label: Tensor) -> Tensor:
        """Return, for each label map [B, H, W], a random class [B] that the one before it shows as well.

        Where they share none, it is a class of its own map.
        """
        draws = self.uniform(len(label), device=label.device)
        shown = shown_classes(label, self.num_classes)
        shared = shown & shown.roll(1, dims=0)
        return choose(torch.where(shared.any(dim=1, keepdim=True), shared, shown), draws)

    def redraw(self, codes: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Exchange as :meth:`Exchange.redraw` does, with the codes of the picture before."""
        classes = self.choose(label)
        return exchanged(codes, classes), classes

    def remember(self, codes: Tensor, label: Tensor) -> None:
        """Keep nothing: donors are in the batch itself."""


def exchanged(codes: Tensor, classes: Tensor) -> Tensor:
    """Return codes [B, C, z, h, w] with those of ``classes`` [B] taken from the item before (the first: the last)."""
    items = torch.arange(len(codes), device=codes.device)
    mixed = codes.clone()
    mixed[items, classes] = codes.roll(1, dims=0)[items, classes]
    return mixed


def is_outside(label: Tensor, classes: Tensor) -> Tensor:
    """Return where label maps [B, H, W] show another class than ``classes`` [B]; unknown pixels, -1, show none."""
    return (label != classes[:, None, None]) & (label >= 0)


def change_outside(before: Tensor, after: Tensor, label: Tensor, classes: Tensor) -> Tensor:
    """Return the mean absolute difference of pictures [B, 3, H, W] outside of one class of each label map, a scalar."""
    outside = is_outside(label, classes)[:, None]
    difference = (after.float() - before.float()).abs() * outside
    return difference.sum() / (before.shape[1] * outside.sum()).clamp(min=1)
