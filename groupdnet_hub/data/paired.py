"""Pictures with their label maps: a folder, or rows of a Hugging Face data set."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from groupdnet_hub.data.cache import KeptPictures
from groupdnet_hub.data.label_maps import read_instance_map, read_label_map
from groupdnet_hub.data.labels import LabelSet, resize_label_map
from groupdnet_hub.data.listing import FolderPairs, Pair, RowPairs
from groupdnet_hub.data.transforms.moves import Moves, MoveTable, moved
from groupdnet_hub.data.transforms.placement import Placement
from groupdnet_hub.io.images import photo_to_bytes, read_photo

# Items that a worker process reads before it hands them over.
_READ_AT_ONCE = 16


def read_label_set(folder: str | os.PathLike[str], split: str = "train") -> LabelSet:
    """The ``classes.json`` of a data set folder, in the folder itself or in its split.

    Raises:
        ValueError: if there is none, or it is not one.
    """
    for place in (Path(folder), Path(folder) / split):
        if (place / "classes.json").is_file():
            return LabelSet.from_file(place / "classes.json")
    raise ValueError(f"there is no classes.json in {Path(folder)} or its folder {split}")


class PairedImages(Dataset[dict[str, Tensor]]):
    """Pictures with their label maps, resized to one size.

    An item is a dictionary: ``image`` float32 [3, H, W] in [-1, 1], ``label`` int64 [H, W], and, where the data
    has them, ``instance`` int64 [H, W]. All may be read at once and kept on a device, see :meth:`keep`; items and
    batches are the same then.

    Args:
        pairs: picture, label map and instance map or None, each as the strict readers take them.
        labels: the label set of the maps.
        image_size: (height, width) of the items.
        cache_bytes: how much memory may keep items that were read once; the first ones stay, until it is full. Each
            worker process of a loader keeps its own.
        placement: ``random_flip=True``, ``random_shift=0.1``, ``seed=3`` and the other fields of
            :class:`groupdnet_hub.data.transforms.placement.Placement`: how items are moved, each epoch anew.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        labels: LabelSet,
        image_size: tuple[int, int],
        *,
        cache_bytes: int = 0,
        **placement: Any,
    ) -> None:
        self.pairs, self.labels, self.image_size = pairs, labels, image_size
        self.placement = Placement(**placement)
        # Shared, so that a loader's workers that live on into the next epoch see the change.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._cache = _Cache(cache_bytes)
        self.kept: KeptPictures | None = None

    @classmethod
    def from_folder(
        cls,
        folder: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        image_size: tuple[int, int],
        *,
        split: str = "train",
        labels: LabelSet | None = None,
        cache_bytes: int = 0,
        **placement: Any,
    ) -> PairedImages:
        """``folder/SPLIT`` with ``metadata.jsonl``, ``images/`` and ``labels/``; ``folder/classes.json``.

        Several folders of the same classes give the pictures of one after those of another.

        Raises:
            ValueError: where a part is missing, or folders differ in their classes; the message names it.
        """
        roots = [Path(folder)] if isinstance(folder, (str, os.PathLike)) else [Path(one) for one in folder]
        for root in roots:
            if not (root / split).is_dir():
                raise ValueError(f"there is no folder {split} in {root}")
        labels = read_label_set(roots[0], split) if labels is None else labels
        for root in roots[1:]:
            if read_label_set(root, split) != labels:
                raise ValueError(f"{root} holds other classes than {roots[0]}")
        pairs = FolderPairs([root / split for root in roots])
        return cls(pairs, labels, image_size, cache_bytes=cache_bytes, **placement)

    @classmethod
    def from_rows(
        cls,
        rows: Sequence[Mapping[str, Any]],
        labels: LabelSet,
        image_size: tuple[int, int],
        *,
        image_column: str = "image",
        label_column: str = "label",
        cache_bytes: int = 0,
        **placement: Any,
    ) -> PairedImages:
        """Rows of a Hugging Face ``datasets.Dataset`` (also its ``imagefolder``), decoded to PIL pictures."""
        pairs = RowPairs(rows, image_column, label_column)
        return cls(pairs, labels, image_size, cache_bytes=cache_bytes, **placement)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch on which the random moves depend."""
        self._epoch.fill_(epoch)

    def unmoved(self) -> PairedImages:
        """The same pictures as they are in their files; what was read is shared."""
        other = copy.copy(self)
        other.placement = Placement()
        return other

    def keep(
        self, device: torch.device, *, workers: int = 0, show: Callable[[Any], Iterable[Any]] = iter
    ) -> None:
        """Read all pictures and maps, and keep them on ``device`` as whole numbers.

        In the host's memory they are shared by the workers of loaders that are started from now on.

        Args:
            workers: processes that read them.
            show: told of the batches that are read, such as ``tqdm``.

        Raises:
            ValueError: for a file that cannot be read.
        """
        first = self._packed(0)
        self.placement.check("instance" in first)
        kept = KeptPictures(len(self), first, len(self.labels), device)
        items = _PackedItems(self)
        generator = torch.Generator()  # not the global one, which others draw from
        loader = DataLoader(items, _READ_AT_ONCE, num_workers=workers, collate_fn=list, generator=generator)
        place = 0
        for read in show(loader):
            for item in read:
                kept.put(place, item)
                place += 1
        kept.finish()
        self.kept = kept

    def bytes_to_keep(self) -> int:
        """How much memory :meth:`keep` takes, from the first item's parts."""
        return KeptPictures.bytes_of(len(self), self._packed(0), len(self.labels))

    def label(self, index: int) -> Tensor:
        """The label map of one item by itself, not moved: int64 [H, W].

        Raises:
            ValueError: for a file that cannot be read.
        """
        if self.kept is not None:
            return self.kept.item(index)["label"].long()
        label = torch.from_numpy(read_label_map(self.pairs[index][1], self.labels))
        return resize_label_map(label[None], self.image_size)[0]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int | tuple[int, int]) -> dict[str, Tensor]:
        """An item. ``(index, time)`` moves it otherwise for each ``time`` that it is seen in an epoch, 0 the first."""
        index, number = self._number(index)
        classes = None if self.kept is None else self.kept.classes_of(index)
        return self.placement(
            self._packed(index), int(self._epoch), number, class_count=len(self.labels), classes=classes
        )

    def moves(self, index: int | tuple[int, int]) -> tuple[int, Moves]:
        """The place of an item in the data set, and how it is moved in the present epoch."""
        index, number = self._number(index)
        return index, self.placement.moves(int(self._epoch), number)

    def batch(self, table: MoveTable) -> dict[str, Tensor]:
        """Items that are kept, as ``default_collate`` would make a batch of them, on the device that they are kept on.

        Args:
            table: their moves, on that device; the host waits for nothing.

        Raises:
            ValueError: if they are not kept.
        """
        if self.kept is None:
            raise ValueError("the pictures are not kept on a device yet: call keep()")
        indices = table.indices
        batch = self.kept.batch(indices)
        return moved(batch, table, self.kept.classes.index_select(0, indices), len(self.labels))

    def _number(self, index: int | tuple[int, int]) -> tuple[int, int]:
        """An item's place in the data set, and what its moves depend on."""
        index, time = index if isinstance(index, tuple) else (index, 0)
        return index, index + time * len(self)

    def _packed(self, index: int) -> dict[str, Tensor]:
        """An item as it lies in its files, its image uint8, on the CPU."""
        if self.kept is not None:
            return self.kept.item(index)
        item = self._cache.get(index)
        if item is None:
            item = read_packed(self.pairs[index], self.labels, self.image_size, f"item {index}")
            self._cache.put(index, item)
        return item


class _PackedItems(Dataset[dict[str, Tensor]]):
    """The items of a data set as they lie in their files."""

    def __init__(self, data: PairedImages) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.data._packed(index)


class MoveTables(Dataset[tuple[int, Moves]]):
    """A data set's moves in place of its items, in batches for :meth:`PairedImages.batch`.

    It takes what the data set takes for an index, so that a loader's order is that of the items.
    """

    def __init__(self, data: PairedImages) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int | tuple[int, int]) -> tuple[int, Moves]:
        return self.data.moves(index)

    def collate(self, items: Sequence[tuple[int, Moves]]) -> MoveTable:
        """A batch of them, for a ``DataLoader``'s ``collate_fn``."""
        indices, moves = zip(*items, strict=True)
        return MoveTable.of(moves, indices, self.data.image_size)


def read_packed(pair: Pair, labels: LabelSet, image_size: tuple[int, int], name: str) -> dict[str, Tensor]:
    """One item of :class:`PairedImages`, its ``image`` uint8.

    Args:
        name: how messages call it.

    Raises:
        ValueError: for files that cannot be read, or do not fit each other.
    """
    picture, label_map, instance_map = pair
    try:
        photo = read_photo(picture)
        label = torch.from_numpy(read_label_map(label_map, labels))
        size = (photo.height, photo.width)
        if tuple(label.shape) != size:
            raise ValueError(
                f"the picture is {photo.height}x{photo.width} (height x width) and its label map "
                f"{label.shape[0]}x{label.shape[1]}"
            )
        item = {
            "image": photo_to_bytes(photo, image_size),
            "label": resize_label_map(label[None], image_size)[0],
        }
        if instance_map is not None:
            instance = torch.from_numpy(read_instance_map(instance_map, size=size))
            item["instance"] = resize_label_map(instance[None], image_size)[0]
    except ValueError as error:
        files = ", ".join(
            "/".join(part.parts[-2:]) for part in (picture, label_map) if isinstance(part, Path)
        )
        raise ValueError(f"{name}{f' ({files})' if files else ''}: {error}") from None
    return item


class _Cache:
    """Items that were read, the first ones, until ``limit`` bytes are full."""

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0
        self._items: dict[int, dict[str, Tensor]] = {}

    def get(self, index: int) -> dict[str, Tensor] | None:
        return self._items.get(index)

    def put(self, index: int, item: Mapping[str, Tensor]) -> None:
        if self._used >= self._limit:
            return
        narrow = {
            name: value if name == "image" or int(value.max()) >= 2**15 else value.to(torch.int16)
            for name, value in item.items()
        }
        self._items[index] = narrow
        self._used += sum(value.nbytes for value in narrow.values())
