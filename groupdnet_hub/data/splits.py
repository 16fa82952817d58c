"""Splits of paired data sets read for a model: at its size, and with its classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.data.labels import LabelSet
from groupdnet_hub.data.listing import split_problem
from groupdnet_hub.data.paired import PairedImages, read_label_set
from groupdnet_hub.data.unknown import with_ignored

_NAMES_SHOWN = 12


def open_split(
    split: Path,
    labels: LabelSet,
    image_size: tuple[int, int],
    ignored: Sequence[Ignored] = (),
    *,
    instances: bool | None = None,
) -> PairedImages:
    """Open the folder of one split.

    Args:
        split: folder with ``metadata.jsonl``.
        labels: label set of the model.
        image_size: (height, width) of the items.
        ignored: as :func:`labels_in` takes it.
        instances: whether items have instance maps, as ``PairedImages`` takes it.

    Raises:
        ValueError: for a folder that is not a split of a paired data set, has other classes than the model, or lacks
            instance maps.
    """
    split = Path(os.path.abspath(split))
    problem = split_problem(split)
    if problem is not None:
        raise ValueError(problem)
    return PairedImages.from_folder(
        split.parent,
        image_size,
        split=split.name,
        labels=labels_in(split, labels, ignored),
        instances=instances,
    )


def labels_in(folder: Path, labels: LabelSet, ignored: Sequence[Ignored] = ()) -> LabelSet:
    """Return the label set of a folder's maps: its own, or the model's where it has none.

    What stands for unknown pixels is what this label set ignores, and ``ignored``.

    Args:
        folder: folder of label maps.
        labels: label set of the model.
        ignored: values of ``--ignore_id``.

    Raises:
        ValueError: if the folder's classes are not the model's, and as
            :func:`groupdnet_hub.data.unknown.with_ignored`.
    """
    folder = Path(os.path.abspath(folder))
    if not any((place / "classes.json").is_file() for place in (folder, folder.parent)):
        return with_ignored(labels, ignored)
    own = read_label_set(folder.parent, folder.name)
    if own.names != labels.names:
        raise ValueError(
            f"the model's classes are {_some(labels.names)}; those of {folder.name} are {_some(own.names)}"
        )
    return with_ignored(own, ignored)


def _some(names: Sequence[str]) -> str:
    more = f", ... ({len(names)})" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
