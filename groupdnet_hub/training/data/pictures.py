"""The pictures of a run, and the few of them that previews show."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import default_collate

from groupdnet_hub import LabelSet, PairedImages, StreamedImages
from groupdnet_hub.data.listing import RowPairs, has_instances, is_split
from groupdnet_hub.data.paired import read_label_set
from groupdnet_hub.data.transforms.placement import Placement
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
        assert settings.train_data_dir, "without a data set there is a folder"
        return PairedImages.from_folder(
            settings.train_data_dir, image_size, labels=labels, transform=transform, instances=instances
        )
    from datasets import load_dataset

    where = {"data_dir": settings.train_data_dir[0]} if settings.train_data_dir else {}
    rows = load_dataset(settings.dataset_name, split="train", streaming=settings.streaming, **where)
    how: dict[str, Any] = {"transform": transform, "instances": instances}
    columns = settings.image_column, settings.label_column
    if settings.streaming:
        how |= dict(zip(("image_column", "label_column"), columns, strict=True))
        shuffled = rows.shuffle(seed=settings.seed, buffer_size=SHUFFLE_BUFFER)
        return StreamedImages(shuffled, labels, image_size, **how)
    return PairedImages(RowPairs(rows, *columns), labels, image_size, **how)


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


def validation_data(settings: TrainConfig, data: Data) -> PairedImages | None:
    """Return the validation split of the first data folder, if it has one."""
    folder = Path(settings.train_data_dir[0] if settings.train_data_dir else "")
    if not (settings.train_data_dir and is_split(folder / "validation")):
        return None
    return PairedImages.from_folder(
        folder, data.image_size, split="validation", labels=data.labels, instances=data.instances
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
