"""Pictures with their label maps from a stream, whose rows are read one after another and never held together."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from groupdnet_hub.data.labels import LabelSet
from groupdnet_hub.data.listing import checked_pair
from groupdnet_hub.data.paired import read_packed
from groupdnet_hub.data.rows import picture_in, undecoded
from groupdnet_hub.data.transforms.placement import Placement, Transform
from groupdnet_hub.data.turned_pairs import PairWarnings

# Workers of a loader whose first rows can be skipped.
_MOST_WORKERS = 1024


class StreamedImages(IterableDataset[dict[str, Tensor]]):
    """The items of ``PairedImages`` from a stream, such as a Hugging Face ``datasets.IterableDataset``.

    Each worker of a data loader reads a part of it: shards of its own of a data set in shards, else every n-th row.

    Args:
        rows: mappings with a picture and a label map, and optionally an ``instance`` map.
        labels: label set of the maps.
        image_size: (height, width) of the items.
        image_column, label_column: keys of the picture and of its label map.
        transform: random change of the items, as :class:`~groupdnet_hub.data.paired.PairedImages` takes it; an item's
            index is its position in the stream, or a number that no item of another part has.
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
        self.instances = instances
        # Shared, so that persistent workers of a loader see the change.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._skipped = _no_rows()
        self._part, self._stepped = (0, 1), False
        self._warnings = PairWarnings()

    @property
    def shards(self) -> int | None:
        """Number of the data set's shards; None for rows that are not in shards."""
        return getattr(self.rows, "num_shards", None)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, on which the transform and the order of a shuffled stream depend."""
        self._epoch.fill_(epoch)
        if hasattr(self.rows, "set_epoch"):
            self.rows.set_epoch(epoch)

    def skip(self, rows: Sequence[int]) -> None:
        """Leave out the first rows of what each worker reads, without decoding them, until this is called again."""
        self._skipped.zero_()
        self._skipped[: len(rows)] = torch.tensor(rows)

    def part(self, index: int, count: int) -> StreamedImages:
        """Return one of several parts, for a process that trains with others.

        A part is every ``count``-th shard, or every ``count``-th row where there are fewer shards than parts.
        """
        other = copy.copy(self)
        if count > 1:
            other._part, other._stepped = (index, count), (self.shards or 0) < count
            if not other._stepped:
                other.rows = self.rows.shard(num_shards=count, index=index)
        return other

    def untransformed(self) -> StreamedImages:
        """Return the same pictures, from the first one on, without the transform."""
        other = copy.copy(self)
        other.transform, other._skipped = Placement(), _no_rows()
        return other

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        info = get_worker_info()
        worker, workers = (0, 1) if info is None else (info.id, info.num_workers)
        rows, (part, parts) = iter(self.rows), self._part
        if self._stepped:
            rows = islice(rows, part, None, parts)
        if self.shards is None:  # datasets gives shards to workers by itself
            rows = islice(rows, worker, None, workers)
        epoch, skipped = int(self._epoch), int(self._skipped[worker])
        first = None
        for position, row in enumerate(rows):
            if first is None:
                first = (None, None, row.get("instance"))
            if position >= skipped:
                number = (position * workers + worker) * parts + part
                item = self._read(row, first, f"item {number} of the stream")
                yield self.transform(item, epoch, number, class_count=len(self.labels))

    def _read(self, row: Mapping[str, Any], first: Any, name: str) -> dict[str, Tensor]:
        for column in (self.image_column, self.label_column):
            if column not in row:
                raise ValueError(f"the data set has no column {column!r}; it has {', '.join(row)}")
        try:
            cells = (row[self.image_column], row[self.label_column], row.get("instance"))
            pair = picture_in(cells[0]), picture_in(cells[1]), picture_in(cells[2])
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        pair = checked_pair(pair, self.instances, first, name)
        return read_packed(pair, self.labels, self.image_size, name, warnings=self._warnings)


def _no_rows() -> Tensor:
    return torch.zeros(_MOST_WORKERS, dtype=torch.int64).share_memory_()
