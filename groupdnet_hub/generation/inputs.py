"""The inputs of generated pictures: label maps, and a gallery of photos whose appearances are mixed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from groupdnet_hub import GroupDNet
from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.data.label_maps import read_instance_map, read_partial_label_map
from groupdnet_hub.data.labels import classes_present, resize_map
from groupdnet_hub.data.listing import is_split, splits_in
from groupdnet_hub.data.splits import labels_in, open_split
from groupdnet_hub.data.turned_pairs import check_orientations
from groupdnet_hub.data.unknown import grey_unknown, mark_unknown
from groupdnet_hub.runs.provenance import digest
from groupdnet_hub.runs.sharding import read_sharded

# Number of photos whose codes are cached, so that memory does not grow with the gallery.
_CACHED_PHOTOS = 1024


class LabelMaps:
    """The label maps of ``--label_dir``, at the model's size.

    The maps of a paired data set are resized as training resizes them; those of a plain folder must have the model's
    proportions.

    Args:
        folder: folder of the maps.
        model: model that draws.
        ignored: values of ``--ignore_id``.

    Attributes:
        names: files, relative to the folder, by index of the map.
        labels: label set of the maps.

    Raises:
        ValueError: for a folder without label maps, with other classes than the model's, or without instance maps that
            the model needs.
    """

    def __init__(
        self, folder: str | os.PathLike[str], model: GroupDNet, ignored: Sequence[Ignored] = ()
    ) -> None:
        self.folder, self.size = Path(folder), model.config.image_size
        self.instance_names: Sequence[str | None] | None = None
        self.paired = is_split(self.folder)
        if self.paired:
            edges = model.config.instance_edges
            pairs = open_split(self.folder, model.labels, self.size, instances=edges).pairs
            self.names = [os.path.relpath(pair[1], self.folder) for pair in pairs]
            if edges:
                self.instance_names = [pair[2] and os.path.relpath(pair[2], self.folder) for pair in pairs]
        else:
            self.names = sorted(
                path.name
                for path in self.folder.iterdir()
                if path.suffix.lower() == ".png" and not path.name.startswith(".")
            )
        if not self.names:
            splits = splits_in(self.folder)
            raise ValueError(
                f"{self.folder} holds no label map: name a folder of PNG files, or a split with metadata.jsonl"
                + (f"; it is a data set with the splits {', '.join(splits)}" if splits else "")
                + f", such as {self.folder / (splits[0] if splits else 'train')}"
            )
        if model.config.instance_edges and (self.instance_names is None or None in self.instance_names):
            raise ValueError(
                "this model draws instance edges: --label_dir must be a split of a paired data set whose "
                "metadata.jsonl has an instance_file_name on every line"
            )
        self.labels = labels_in(self.folder, model.labels, ignored)

    def read(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Return a label map int64 [H, W], and its instance map [H, W] for a model that needs one.

        Unknown pixels of the label map have the class that they are drawn as.

        Raises:
            ValueError: for a file that is not such a map; the message begins with its name.
        """
        label, _, instance = self._read(index)
        return label, instance

    def _read(self, index: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return a label map, which of its pixels are unknown, bool [H, W], and its instance map."""
        name = self.names[index]
        try:
            size = None if self.paired else self.size
            given = read_partial_label_map(self.folder / name, self.labels, size=size, resize=True)
            label, unknown = (torch.from_numpy(resize_map(one, self.size)) for one in given)
            unknown = unknown.bool()
            if self.instance_names is None:
                return label, unknown, None
            files = self.folder / name, self.folder / str(self.instance_names[index])
            name = str(self.instance_names[index])
            check_orientations(*files, names=("label map", "instance map"), proportions=True)
            instance = read_instance_map(self.folder / name, size=self.size)
            if instance.max() > 65535:
                raise ValueError(f"it holds the id {instance.max()}; at most 65535 can be written")
            return label, unknown, torch.from_numpy(instance)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    def describe(self, index: int, num_classes: int) -> tuple[str, list[int], int]:
        """Return the SHA-256 of one map, the ids of the classes on it, and how many of its pixels are unknown."""
        label, unknown, instance = self._read(index)
        parts: list[bytes | str] = [self.names[index], label.numpy().tobytes()]
        if instance is not None:
            parts.append(instance.numpy().tobytes())
        return digest(*parts), classes_present(label, num_classes), int(unknown.sum())


class Gallery:
    """Photos of ``--gallery_dir`` as sources of appearance: each class of a picture from another photo.

    Args:
        folder: split of a paired data set.
        model: model that draws.
        accelerator: accelerator of the run.
        classes: names of the classes to take from the gallery; by default all that it shows.
        ignored: values of ``--ignore_id``.

    Attributes:
        names: files of the photos, relative to the folder.
        digest: SHA-256 of all photos and label maps.

    Raises:
        ValueError: for an unreadable photo or label map, which the message names, and a class that no photo shows.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        model: GroupDNet,
        accelerator: Accelerator,
        classes: Sequence[str] | None,
        ignored: Sequence[Ignored] = (),
    ) -> None:
        self.model = model
        self.data = open_split(Path(folder), model.labels, model.config.image_size, ignored, instances=False)
        self.names = [os.path.relpath(pair[0], folder) for pair in self.data.pairs]
        wanted = range(len(model.labels)) if classes is None else sorted(set(model.labels.ids_of(classes)))
        found = read_sharded(len(self.names), self._describe, accelerator, "reading the gallery")
        self.digest = digest(*(one for one, _ in found))
        self.photos = {
            class_id: [photo for photo, (_, shown) in enumerate(found) if class_id in shown]
            for class_id in wanted
        }
        unseen = [model.labels.names[class_id] for class_id, photos in self.photos.items() if not photos]
        if classes is not None and unseen:
            raise ValueError(f"no photo of the gallery shows {', '.join(unseen)}")
        self.codes = lru_cache(_CACHED_PHOTOS)(self._encode)

    def choose(self, seed: int, classes: Sequence[int]) -> dict[int, int]:
        """Choose a photo for each class, by class id, different ones while there are enough.

        Classes that do not come from the gallery are left out. A class that few photos show chooses first.
        """
        random = np.random.default_rng(seed)
        chosen: dict[int, int] = {}
        shown = [class_id for class_id in classes if self.photos.get(class_id)]
        for class_id in sorted(shown, key=lambda class_id: (len(self.photos[class_id]), class_id)):
            used = set(chosen.values())
            free = [photo for photo in self.photos[class_id] if photo not in used] or self.photos[class_id]
            chosen[class_id] = free[int(random.integers(len(free)))]
        return dict(sorted(chosen.items()))

    def _item(self, photo: int) -> dict[str, Tensor]:
        try:
            return self.data[photo]
        except ValueError as error:
            raise ValueError(f"{self.names[photo]}: {error}") from None

    def _describe(self, photo: int) -> tuple[str, set[int]]:
        item = self._item(photo)
        unknown = item.get("unknown")
        shown = set(classes_present(mark_unknown(item["label"], unknown), len(self.model.labels)))
        parts = [item["image"], item["label"], *([] if unknown is None else [unknown])]
        return digest(self.names[photo], *(part.numpy().tobytes() for part in parts)), shown

    def _encode(self, photo: int) -> Tensor:
        """Return mean codes [C, z, h, w] of one photo, on the CPU; one by one, so that no neighbour changes them."""
        item = self._item(photo)
        image = grey_unknown(item["image"], item.get("unknown"))  # of no class, as in training
        posterior = self.model.encode(image[None].to(self.model.device), item["label"][None])
        return posterior.mode()[0].float().cpu()
