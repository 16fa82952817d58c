"""Pictures with their label maps from a stream, whose rows are read one after another and never held together."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor
from torch.utils.data import IterableDataset

from groupdnet_hub.data.labels import LabelSet
from groupdnet_hub.data.listing import checked_pair
from groupdnet_hub.data.paired import read_packed
from groupdnet_hub.data.rows import picture_in, undecoded
from groupdnet_hub.data.transforms.placement import Placement, Transform
from groupdnet_hub.data.turned_pairs import PairWarnings


class StreamedImages(IterableDataset[dict[str, Tensor]]):
    """The items of ``PairedImages`` from a stream, such as a Hugging Face ``datasets.IterableDataset``.

    Read it in one process: a data loader with several workers would give every item several times.

    Args:
        rows: mappings with a picture and a label map, and optionally an ``instance`` map.
        labels: label set of the maps.
        image_size: (height, width) of the items.
        image_column, label_column: keys of the picture and of its label map.
        transform: random change of the items, as :class:`~groupdnet_hub.data.paired.PairedImages` takes it; an item's
            index is its position in the stream.
        instances: whether items have instance maps, as ``PairedImages`` takes it.
    """

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]],
        labels: LabelSet,
        image_size: tuple[int, int],
        *,
        image_column: str = "image",
        label_column: str = "label",
        transform: Transform | None = None,
        instances: bool | None = None,
    ) -> None:
        self.rows = undecoded(rows, (image_column, label_column, "instance"))
        self.labels, self.image_size = labels, image_size
        self.image_column, self.label_column = image_column, label_column
        self.transform: Transform = Placement() if transform is None else transform
        self.instances, self.epoch = instances, 0
        self._warnings = PairWarnings()

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, on which the transform and the order of a shuffled stream depend."""
        self.epoch = epoch
        if hasattr(self.rows, "set_epoch"):
            self.rows.set_epoch(epoch)

    def untransformed(self) -> StreamedImages:
        """Return the same pictures without the transform."""
        other = copy.copy(self)
        other.transform = Placement()
        return other

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        first = None
        for position, row in enumerate(self.rows):
            for column in (self.image_column, self.label_column):
                if column not in row:
                    raise ValueError(f"the data set has no column {column!r}; it has {', '.join(row)}")
            name = f"item {position} of the stream"
            try:
                cells = (row[self.image_column], row[self.label_column], row.get("instance"))
                pair = picture_in(cells[0]), picture_in(cells[1]), picture_in(cells[2])
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
            if first is None:
                first = (None, None, pair[2])
            pair = checked_pair(pair, self.instances, first, name)
            item = read_packed(pair, self.labels, self.image_size, name, warnings=self._warnings)
            yield self.transform(item, self.epoch, position, class_count=len(self.labels))
