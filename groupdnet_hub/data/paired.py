"""Pictures with their label maps, from a folder or from rows of a Hugging Face data set."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from groupdnet_hub.data.cache import CachedPictures, FirstItems
from groupdnet_hub.data.label_maps import read_instance_map, read_partial_label_map
from groupdnet_hub.data.labels import LabelSet, resize_map
from groupdnet_hub.data.listing import (
    FolderPairs,
    Pair,
    RowPairs,
    data_folder_problem,
    is_split,
    with_instances,
)
from groupdnet_hub.data.transforms.moves import Moves, MoveTable, move_batch
from groupdnet_hub.data.transforms.placement import Placement, Transform
from groupdnet_hub.data.turned_pairs import PairWarnings, check_pair
from groupdnet_hub.data.unknown import mark_unknown
from groupdnet_hub.io.images import photo_to_bytes, read_photo

# Items that a worker process reads before it returns them.
_READ_BATCH = 16


def read_label_set(folder: str | os.PathLike[str], split: str = "train") -> LabelSet:
    """Read ``classes.json`` of a data set folder, in the folder itself or in its split.

    Raises:
        ValueError: for a missing or invalid file; the message says so where the folder is itself a split.
    """
    folder = Path(folder)
    for place in (folder, folder / split):
        if (place / "classes.json").is_file():
            return LabelSet.from_file(place / "classes.json")
    problem = data_folder_problem(folder, split)
    if problem is not None and (is_split(folder) or not folder.is_dir()):
        raise ValueError(problem)
    raise ValueError(f"there is no classes.json in {folder} or its folder {split}")


class PairedImages(Dataset[dict[str, Tensor]]):
    """Pictures with their label maps, resized to one size.

    An item is a dictionary: ``image`` float32 [3, H, W] in [-1, 1], ``label`` int64 [H, W], and, where the data has
    it, ``instance`` int64 [H, W]. Where the label set ignores something there is ``unknown`` bool [H, W], true at
    unknown pixels; the photo is not changed there, and ``label`` holds a class
    (:func:`groupdnet_hub.data.unknown.fill_unknown`). :meth:`cache` reads all of them at once into the memory of a
    device; items and batches stay the same.

    Args:
        pairs: picture, label map and instance map or None, each as the strict readers take them.
        labels: label set of the maps.
        image_size: (height, width) of the items.
        cache_bytes: size of the memory in which items stay that were read once, the first ones until it is full. Each
            worker process of a loader has its own.
        transform: random change of each item, different in each epoch, such as
            ``Placement(random_flip=True, random_shift=0.1, seed=3)``; see
            :class:`groupdnet_hub.data.transforms.placement.Transform`. By default none.
        instances: whether items have instance maps: True refuses data without, False leaves them out. By default all
            items of the data have one, or none has.

    Attributes:
        given: the pairs, with all instance maps that there are.
        pairs: the pairs of the items.

    Raises:
        ValueError: for files of which some or all lack the instance maps that items are to have.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        labels: LabelSet,
        image_size: tuple[int, int],
        *,
        cache_bytes: int = 0,
        transform: Transform | None = None,
        instances: bool | None = None,
    ) -> None:
        self.given, self.instances = pairs, instances
        self.pairs, self.labels, self.image_size = with_instances(pairs, instances), labels, image_size
        self.transform: Transform = Placement() if transform is None else transform
        # Shared, so that persistent workers of a loader see the change.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._read_items = FirstItems(cache_bytes)
        self._warnings = PairWarnings()
        self.cached: CachedPictures | None = None

    @classmethod
    def from_folder(
        cls,
        folder: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        image_size: tuple[int, int],
        *,
        split: str = "train",
        labels: LabelSet | None = None,
        cache_bytes: int = 0,
        transform: Transform | None = None,
        instances: bool | None = None,
    ) -> PairedImages:
        """Open ``folder/SPLIT`` with ``metadata.jsonl``, ``images/`` and ``labels/``, and ``folder/classes.json``.

        Args:
            folder: one folder, or several of the same classes, whose pictures follow one another.
            image_size: (height, width) of the items.
            split: name of the split's folder.
            labels: label set of the maps; by default that of the first ``classes.json``. Maps of all folders are read
                by it.
            cache_bytes: as the constructor takes it.
            transform: as the constructor takes it.
            instances: as the constructor takes it.

        Raises:
            ValueError: for a missing part, or folders of different classes; the message names it.
        """
        roots = [Path(folder)] if isinstance(folder, (str, os.PathLike)) else [Path(one) for one in folder]
        for root in roots:
            problem = data_folder_problem(root, split)
            if problem is not None:
                raise ValueError(problem)
        labels = read_label_set(roots[0], split) if labels is None else labels
        for root in roots[1:]:
            own = read_label_set(root, split)
            if replace(own, ignore=()) != replace(labels, ignore=()):
                raise ValueError(f"{root} holds other classes than {roots[0]}")
            more = [value for value in own.ignore if value not in labels.ignore]
            if more:
                raise ValueError(
                    f"{root} ignores {', '.join(map(str, more))} in label maps, and {roots[0]} does not: let both "
                    'classes.json have the same "ignore", or give --ignore_id'
                )
        pairs = FolderPairs([root / split for root in roots])
        return cls(
            pairs, labels, image_size, cache_bytes=cache_bytes, transform=transform, instances=instances
        )

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
        transform: Transform | None = None,
    ) -> PairedImages:
        """Take rows of a Hugging Face ``datasets.Dataset`` (also its ``imagefolder``), with files or PIL pictures.

        Args:
            rows: mappings with a picture and a label map, and optionally an ``instance`` map.
            labels: label set of the maps.
            image_size: (height, width) of the items.
            image_column: key of the picture.
            label_column: key of its label map.
            cache_bytes: as the constructor takes it.
            transform: as the constructor takes it.

        Raises:
            ValueError: for a column that the rows lack.
        """
        pairs = RowPairs(rows, image_column, label_column)
        return cls(pairs, labels, image_size, cache_bytes=cache_bytes, transform=transform)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, on which the transform depends."""
        self._epoch.fill_(epoch)

    def untransformed(self) -> PairedImages:
        """Return the same pictures without the transform; what was read is shared."""
        other = copy.copy(self)
        other.transform = Placement()
        return other

    def cache(
        self, device: torch.device, *, workers: int = 0, progress: Callable[[Any], Iterable[Any]] = iter
    ) -> None:
        """Read all pictures and maps into the memory of ``device``, as integers.

        In the host's memory they are shared with the workers of loaders that are started later.

        Args:
            device: device of the tensors.
            workers: number of processes that read.
            progress: wrapper of the iterable of batches that are read, such as ``tqdm``.

        Raises:
            ValueError: for a file that cannot be read.
        """
        first = self._packed(0)
        if isinstance(self.transform, Placement):
            self.transform.check("instance" in first)
        cached = CachedPictures(len(self), first, len(self.labels), device)
        items = _PackedItems(self)
        generator = torch.Generator()  # not the global one, which others draw from
        loader = DataLoader(items, _READ_BATCH, num_workers=workers, collate_fn=list, generator=generator)
        index = 0
        for read in progress(loader):
            for item in read:
                cached.put(index, item)
                index += 1
        cached.finish()
        self.cached = cached

    def cache_size(self) -> int:
        """Return the memory that :meth:`cache` takes, in bytes, computed from the first item."""
        return CachedPictures.bytes_of(len(self), self._packed(0), len(self.labels))

    def label(self, index: int) -> Tensor:
        """Return the label map of one item, without the transform: int64 [H, W].

        Raises:
            ValueError: for a file that cannot be read.
        """
        return self._maps(index)["label"].long()

    def known_label(self, index: int) -> Tensor:
        """Return :meth:`label` with :data:`groupdnet_hub.data.unknown.UNKNOWN` at unknown pixels."""
        maps = self._maps(index)
        return mark_unknown(maps["label"].long(), maps.get("unknown"))

    def _maps(self, index: int) -> dict[str, Tensor]:
        if self.cached is not None:
            return self.cached.item(index)
        label_map, tell = self.pairs[index][1], self._warnings.two_readings
        label, unknown = read_partial_label_map(label_map, self.labels, tell=tell)
        return _resized(label, unknown, self.labels, self.image_size)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int | tuple[int, int]) -> dict[str, Tensor]:
        """Return an item. ``(index, time)`` changes it differently each time it is seen in an epoch, counted from 0."""
        index, number = self._transform_index(index)
        classes = None if self.cached is None else self.cached.classes_of(index)
        return self.transform(
            self._packed(index), int(self._epoch), number, class_count=len(self.labels), classes=classes
        )

    def moves(self, index: int | tuple[int, int]) -> tuple[int, Moves]:
        """Return an item's index in the data set, and its moves in the present epoch.

        Raises:
            ValueError: for a transform other than :class:`~groupdnet_hub.data.transforms.placement.Placement`, of
                which the moves of a batch are not known.
        """
        if not isinstance(self.transform, Placement):
            raise ValueError("cached batches need a Placement as the transform: read the items one by one")
        index, number = self._transform_index(index)
        return index, self.transform.moves(int(self._epoch), number)

    def batch(self, table: MoveTable) -> dict[str, Tensor]:
        """Return a batch of cached items as ``default_collate`` would make it, on the device of the cache.

        Args:
            table: the items' moves, on that device; the host waits for nothing.

        Raises:
            ValueError: if the data set is not cached.
        """
        if self.cached is None:
            raise ValueError("the pictures are not cached on a device yet: call cache()")
        indices = table.indices
        batch = self.cached.batch(indices)
        return move_batch(batch, table, self.cached.classes.index_select(0, indices), len(self.labels))

    def _transform_index(self, index: int | tuple[int, int]) -> tuple[int, int]:
        """Return an item's index in the data set, and the one that its transform depends on."""
        index, time = index if isinstance(index, tuple) else (index, 0)
        return index, index + time * len(self)

    def _packed(self, index: int) -> dict[str, Tensor]:
        """Return an item without the transform, its image uint8, on the CPU."""
        if self.cached is not None:
            return self.cached.item(index)
        item = self._read_items.get(index)
        if item is None:
            pair = self.pairs[index]
            item = read_packed(pair, self.labels, self.image_size, f"item {index}", warnings=self._warnings)
            self._read_items.put(index, item)
        return item


class _PackedItems(Dataset[dict[str, Tensor]]):
    """The items of a data set without the transform, images uint8."""

    def __init__(self, data: PairedImages) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.data._packed(index)


class MoveTables(Dataset[tuple[int, Moves]]):
    """The moves of a data set's items in place of the items, in batches for :meth:`PairedImages.batch`.

    Its indices are those of the data set, so that a loader's order is that of the items.
    """

    def __init__(self, data: PairedImages) -> None:
        self.data = data

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int | tuple[int, int]) -> tuple[int, Moves]:
        return self.data.moves(index)

    def collate(self, items: Sequence[tuple[int, Moves]]) -> MoveTable:
        """Build the table of a batch, as the ``collate_fn`` of a ``DataLoader``."""
        indices, moves = zip(*items, strict=True)
        return MoveTable.of(moves, indices, self.data.image_size)


def read_packed(
    pair: Pair,
    labels: LabelSet,
    image_size: tuple[int, int],
    name: str,
    *,
    warnings: PairWarnings,
) -> dict[str, Tensor]:
    """Read one item of :class:`PairedImages`, its ``image`` uint8.

    Args:
        pair: picture, label map and instance map or None.
        labels: label set of the map.
        image_size: (height, width) of the item.
        name: name of the item in messages.
        warnings: those of the data set.

    Raises:
        ValueError: for files that cannot be read, and a picture and a label map of different sizes, or turned against
            each other.
    """
    picture, label_map, instance_map = pair
    try:
        doubt = check_pair(pair)
        if doubt is not None:
            warnings.turned(doubt)
        photo = read_photo(picture)
        label, unknown = read_partial_label_map(label_map, labels, tell=warnings.two_readings)
        size = (photo.height, photo.width)
        if label.shape != size:
            raise ValueError(
                f"the picture is {photo.height}x{photo.width} (height x width) and its label map "
                f"{label.shape[0]}x{label.shape[1]}"
            )
        item = {
            "image": photo_to_bytes(photo, image_size),
            **_resized(label, unknown, labels, image_size),
        }
        if instance_map is not None:
            instance = read_instance_map(instance_map, size=size)
            item["instance"] = torch.from_numpy(resize_map(instance, image_size))
    except ValueError as error:
        files = ", ".join(
            "/".join(part.parts[-2:]) for part in (picture, label_map) if isinstance(part, Path)
        )
        raise ValueError(f"{name}{f' ({files})' if files else ''}: {error}") from None
    return item


def _resized(
    label: np.ndarray, unknown: np.ndarray, labels: LabelSet, size: tuple[int, int]
) -> dict[str, Tensor]:
    """Return the maps of an item: ``label``, and ``unknown`` where the label set ignores something."""
    maps = {"label": torch.from_numpy(resize_map(label, size))}
    if labels.ignore:
        maps["unknown"] = torch.from_numpy(resize_map(unknown, size)).bool()
    return maps
