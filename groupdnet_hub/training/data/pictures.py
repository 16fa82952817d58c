"""The pictures of a run, and the few of them that previews show."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import default_collate

from groupdnet_hub import LabelSet, PairedImages, StreamedImages
from groupdnet_hub.data.listing import FolderPairs, Pair, RowPairs, has_instances, without_items
from groupdnet_hub.data.paired import read_label_set
from groupdnet_hub.data.transforms.placement import Placement, Transform
from groupdnet_hub.data.unknown import with_ignored
from groupdnet_hub.runs.settings import refuse_other_folders
from groupdnet_hub.training.config import TrainConfig

Data = PairedImages | StreamedImages

# Pictures of a sample grid.
GRID_PICTURES = 8
# Rows of a stream among which the next one is chosen.
SHUFFLE_BUFFER = 1000


def build_labels(settings: TrainConfig) -> LabelSet:
    """Return the label set of the data: ``--classes``, or the data folder's own; it ignores ``--ignore_id`` too.

    Raises:
        ValueError: for a folder that is not a data set with a split ``train``, and for invalid classes.
    """
    if not settings.dataset_name:
        for folder in settings.train_data_dir or ():
            refuse_other_folders("--train_data_dir", folder, "train")
    if settings.classes:
        labels = LabelSet.from_file(settings.classes)
    else:
        assert settings.train_data_dir, "without a folder --classes is given"
        labels = read_label_set(settings.train_data_dir[0])
    return with_ignored(labels, settings.ignore_id)


def build_data(
    settings: TrainConfig, labels: LabelSet, image_size: tuple[int, int], *, instances: bool = False
) -> Data:
    """Return the training pictures: a folder, or a Hugging Face data set, streamed or not.

    Args:
        settings: settings of the run.
        labels: label set of the maps.
        image_size: (height, width) of the items.
        instances: whether the model draws instance edges; items of another one have no instance maps.

    Raises:
        ValueError: for data that cannot be read, or lack instance maps.
    """
    transform = Placement(
        random_flip=settings.random_flip,
        random_shift=settings.random_shift,
        random_scale=settings.random_scale,
        random_turn=settings.random_turn,
        simplified_maps=settings.simplified_maps,
        seed=settings.seed,
    )
    if not settings.dataset_name:
        return folder_data(settings, labels, image_size, transform=transform, instances=instances)
    if not settings.streaming:
        rows = without_items(_row_pairs(settings), settings.left_out.get("train", ()))
        return PairedImages(rows, labels, image_size, transform=transform, instances=instances)
    rows = _rows(settings)
    if settings.max_train_samples is not None:
        rows = rows.take(settings.max_train_samples)
    return StreamedImages(
        rows.shuffle(seed=settings.seed, buffer_size=SHUFFLE_BUFFER),
        labels,
        image_size,
        image_column=settings.image_column,
        label_column=settings.label_column,
        transform=transform,
        instances=instances,
    )


def folder_data(
    settings: TrainConfig,
    labels: LabelSet,
    image_size: tuple[int, int],
    *,
    split: str = "train",
    transform: Transform | None = None,
    instances: bool | None = False,
    cache_bytes: int = 0,
) -> PairedImages:
    """Return the pictures of a split of the data folders, without those that are left out.

    Args:
        settings: settings of the run.
        labels: label set of the maps.
        image_size: (height, width) of the items.
        split: ``train`` of all folders, or ``validation`` of the first.
        transform: random change of each item.
        instances: whether items have instance maps, as ``PairedImages`` takes it.
        cache_bytes: memory for what was read, as ``PairedImages`` takes it.
    """
    pairs = without_items(_folder_pairs(settings, labels, split), settings.left_out.get(split, ()))
    return PairedImages(
        pairs, labels, image_size, cache_bytes=cache_bytes, transform=transform, instances=instances
    )


def given_pairs(settings: TrainConfig, labels: LabelSet) -> dict[str, FolderPairs | RowPairs]:
    """Return the pictures and maps of the training data, which are not streamed, and of the validation split."""
    train = _row_pairs(settings) if settings.dataset_name else _folder_pairs(settings, labels, "train")
    if not settings.has_validation:
        return {"train": train}
    return {"train": train, "validation": _folder_pairs(settings, labels, "validation")}


def _folder_pairs(settings: TrainConfig, labels: LabelSet, split: str) -> FolderPairs:
    assert settings.train_data_dir, "without a data set there is a folder"
    folders = settings.train_data_dir if split == "train" else settings.train_data_dir[:1]
    # Its size does not matter to its pairs.
    pairs = PairedImages.from_folder(folders, (1, 1), split=split, labels=labels, instances=False).given
    chosen = pairs if split != "train" else _some(settings, pairs)
    assert isinstance(chosen, FolderPairs)
    return chosen


def _row_pairs(settings: TrainConfig) -> RowPairs:
    chosen = _some(settings, RowPairs(_rows(settings), settings.image_column, settings.label_column))
    assert isinstance(chosen, RowPairs)
    return chosen


def _some(settings: TrainConfig, pairs: Sequence[Pair]) -> Sequence[Pair]:
    """Return ``--max_train_samples`` of the training pairs, in their order.

    Raises:
        ValueError: if there are fewer.
    """
    count = settings.max_train_samples
    if count is None:
        return pairs
    if count > len(pairs):
        raise ValueError(f"--max_train_samples {count}: there are {len(pairs)} training pictures: lower it")
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(settings.seed))
    return without_items(pairs, order[count:].tolist())


def _rows(settings: TrainConfig) -> Any:
    """Return the rows of a Hugging Face data set, streamed or not."""
    from datasets import load_dataset

    assert settings.dataset_name, "rows are those of a data set"
    where = {"data_dir": settings.train_data_dir[0]} if settings.train_data_dir else {}
    token = settings.hub_token
    return load_dataset(
        settings.dataset_name, split="train", streaming=settings.streaming, token=token, **where
    )


def ignored_instances(data: Data) -> str | None:
    """Return a line that says so where the data have instance maps that their items leave out; else None."""
    if isinstance(data, StreamedImages):
        there = "instance" in (getattr(data.rows, "column_names", None) or ())
    else:
        there = has_instances(data.given)
    if data.instances is not False or not there:
        return None
    return (
        "the data have instance maps, which this model ignores: --instance_edges makes a new model that draws "
        "their edges"
    )


def validation_data(settings: TrainConfig, data: Data, *, cache_bytes: int = 0) -> PairedImages | None:
    """Return the validation split of the first data folder, if it has one."""
    if not settings.has_validation:
        return None
    return folder_data(
        settings,
        data.labels,
        data.image_size,
        split="validation",
        instances=data.instances,
        cache_bytes=cache_bytes,
    )


def spread(data: PairedImages, count: int) -> list[int]:
    """Return the numbers of ``count`` items, evenly spread, or of all if there are fewer."""
    count = min(count, len(data))
    return [i * len(data) // count for i in range(count)]


def grid_batch(settings: TrainConfig, data: Data) -> dict[str, Tensor]:
    """Return a few pictures for previews, not moved: spread over the validation split, or else the training data."""
    shown = (validation_data(settings, data) or data).untransformed()
    if isinstance(shown, StreamedImages):
        items = list(islice(shown, GRID_PICTURES))
    else:
        items = [shown[i] for i in spread(shown, GRID_PICTURES)]
    return default_collate(items)
