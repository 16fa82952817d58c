"""Pictures with their label maps: a folder, or rows of a Hugging Face data set."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from groupdnet_hub.images import photo_to_tensor, read_photo
from groupdnet_hub.label_maps import read_instance_map, read_label_map
from groupdnet_hub.labels import LabelSet, resize_label_map
from groupdnet_hub.placement import Placement
from groupdnet_hub.strict_json import parse_json, shown

# A picture and its label map, each anything that the strict readers take; the instance map may be missing.
Pair = tuple[Any, Any, Any]


def read_label_set(folder: str | os.PathLike[str], split: str = "train") -> LabelSet:
    """The ``classes.json`` of a data set folder, in the folder itself or in its split.

    Raises:
        ValueError: if there is none, or it is not one.
    """
    for place in (Path(folder), Path(folder) / split):
        if (place / "classes.json").is_file():
            return LabelSet.from_file(place / "classes.json")
    raise ValueError(f"there is no classes.json in {Path(folder)} or its folder {split}")


class _FolderPairs(Sequence[Pair]):
    """Files named by ``SPLIT/metadata.jsonl`` (file_name, label_file_name, perhaps instance_file_name) of some folders,
    one folder after another."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.pairs: list[tuple[Path, Path, Path | None]] = []
        for folder in folders:
            self._add(folder)

    def _add(self, folder: Path) -> None:
        before = len(self.pairs)
        listing = folder / "metadata.jsonl"
        if not listing.is_file():
            raise ValueError(f"there is no metadata.jsonl in {folder}: is this a split of a paired data set?")
        for number, line in enumerate(listing.read_text(encoding="utf-8").splitlines(), start=1):
            if not line.strip():
                continue
            try:
                entry = parse_json(line, "the line")
                names = (entry["file_name"], entry["label_file_name"], entry.get("instance_file_name"))
            except (ValueError, KeyError, TypeError, AttributeError):
                raise ValueError(
                    f"line {number} of {listing} is not a JSON object with file_name and label_file_name"
                ) from None
            picture, label, instance = names
            for name in names[:2] if instance is None else names:
                if not _lies_inside(name):
                    raise ValueError(
                        f"line {number} of {listing} names the file {shown(name)}; names are those of files below "
                        "this folder, such as 'images/a.jpg'"
                    )
            self.pairs.append((folder / picture, folder / label, folder / instance if instance else None))
        if len(self.pairs) == before:
            raise ValueError(f"{listing} names no picture")

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: Any) -> Any:
        return self.pairs[index]


def _lies_inside(name: object) -> bool:
    if not isinstance(name, str) or not name or "\0" in name:
        return False
    return not PurePath(name).is_absolute() and ".." not in PurePath(name).parts


class _RowPairs(Sequence[Pair]):
    """Rows of a table with a picture column and a label column (a Hugging Face ``datasets.Dataset``)."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], image_column: str, label_column: str) -> None:
        first = rows[0]
        for column in (image_column, label_column):
            if column not in first:
                raise ValueError(f"the data set has no column {column!r}; it has {', '.join(first)}")
        self.rows, self.image_column, self.label_column = rows, image_column, label_column

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        row = self.rows[index]
        return row[self.image_column], row[self.label_column], row.get("instance")


class PairedImages(Dataset[dict[str, Tensor]]):
    """Pictures with their label maps, resized to one size.

    An item is a dictionary: ``image`` float32 [3, H, W] in [-1, 1], ``label`` int64 [H, W], and, where the data
    has them, ``instance`` int64 [H, W].

    Args:
        pairs: picture, label map and instance map or None, each as the strict readers take them.
        labels: the label set of the maps.
        image_size: (height, width) of the items.
        cache_bytes: how much memory may keep items that were read once; the first ones stay, until it is full. Each
            worker process of a loader keeps its own.
        placement: ``random_flip=True``, ``random_shift=0.1``, ``seed=3`` and the other fields of
            :class:`groupdnet_hub.placement.Placement`: how items are moved, each epoch anew.
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
        pairs = _FolderPairs([root / split for root in roots])
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
        pairs = _RowPairs(rows, image_column, label_column)
        return cls(pairs, labels, image_size, cache_bytes=cache_bytes, **placement)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch on which the random moves depend."""
        self._epoch.fill_(epoch)

    def unmoved(self) -> PairedImages:
        """The same pictures as they are in their files; what was read is shared."""
        other = copy.copy(self)
        other.placement = Placement()
        return other

    def label(self, index: int) -> Tensor:
        """The label map of one item by itself, not moved: int64 [H, W].

        Raises:
            ValueError: for a file that cannot be read.
        """
        label = torch.from_numpy(read_label_map(self.pairs[index][1], self.labels))
        return resize_label_map(label[None], self.image_size)[0]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int | tuple[int, int]) -> dict[str, Tensor]:
        """An item. ``(index, time)`` moves it otherwise for each ``time`` that it is seen in an epoch, 0 the first."""
        index, time = index if isinstance(index, tuple) else (index, 0)
        item = self._cache.get(index)
        if item is None:
            item = read_pair(self.pairs[index], self.labels, self.image_size, f"item {index}")
            self._cache.put(index, item)
        return self.placement(item, int(self._epoch), index + time * len(self))


def read_pair(pair: Pair, labels: LabelSet, image_size: tuple[int, int], name: str) -> dict[str, Tensor]:
    """One item of :class:`PairedImages`.

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
            "image": photo_to_tensor(photo, image_size),
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
    """Items kept as bytes: a picture's values are those of 8 bits, and come back exactly."""

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0
        self._items: dict[int, dict[str, Tensor]] = {}

    def get(self, index: int) -> dict[str, Tensor] | None:
        packed = self._items.get(index)
        if packed is None:
            return None
        return {
            name: value.float() / 127.5 - 1 if name == "image" else value.long()
            for name, value in packed.items()
        }

    def put(self, index: int, item: Mapping[str, Tensor]) -> None:
        if self._used >= self._limit:
            return
        packed = {
            name: ((value + 1) * 127.5).round().to(torch.uint8)
            if name == "image"
            else value.to(torch.int16 if int(value.max()) < 2**15 else torch.int64)
            for name, value in item.items()
        }
        self._items[index] = packed
        self._used += sum(value.nbytes for value in packed.values())
