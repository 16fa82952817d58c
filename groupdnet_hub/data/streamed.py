"""Pictures with their label maps, streamed: rows that are read as they come and never all at hand."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.utils.data import IterableDataset

from groupdnet_hub.data.labels import LabelSet
from groupdnet_hub.data.paired import read_packed
from groupdnet_hub.data.transforms.placement import Placement


class StreamedImages(IterableDataset[dict[str, Tensor]]):
    """The items of ``PairedImages`` from a stream, such as a Hugging Face ``datasets.IterableDataset``.

    It is to be read by one process: a data loader with several workers would give every item several times.

    Args:
        rows: mappings with a picture and a label map, perhaps an ``instance`` map.
        labels: the label set of the maps.
        image_size: (height, width) of the items.
        placement: fields of :class:`~groupdnet_hub.data.transforms.placement.Placement`, such as
            ``random_flip=True``; an item's number is its place in the stream.
    """

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]],
        labels: LabelSet,
        image_size: tuple[int, int],
        *,
        image_column: str = "image",
        label_column: str = "label",
        **placement: Any,
    ) -> None:
        self.rows, self.labels, self.image_size = rows, labels, image_size
        self.image_column, self.label_column = image_column, label_column
        self.placement, self.epoch = Placement(**placement), 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, on which the random moves and the order of a shuffled stream depend."""
        self.epoch = epoch
        if hasattr(self.rows, "set_epoch"):
            self.rows.set_epoch(epoch)

    def unmoved(self) -> StreamedImages:
        """The same pictures as they come."""
        other = copy.copy(self)
        other.placement = Placement()
        return other

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for place, row in enumerate(self.rows):
            for column in (self.image_column, self.label_column):
                if column not in row:
                    raise ValueError(f"the data set has no column {column!r}; it has {', '.join(row)}")
            pair = (row[self.image_column], row[self.label_column], row.get("instance"))
            item = read_packed(pair, self.labels, self.image_size, f"item {place} of the stream")
            yield self.placement(item, self.epoch, place, class_count=len(self.labels))
