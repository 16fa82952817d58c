"""The label maps that a visitor starts from: a folder of PNG files, with a ``classes.json`` that says what ids mean."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from groupdnet_hub import LabelSet
from groupdnet_hub.data.label_maps import read_label_map, read_partial_label_map
from groupdnet_hub.data.labels import describe_difference
from groupdnet_hub.data.people import merged_ids
from groupdnet_hub.data.unknown import describe_unknown

_CLASSES_FILE = "classes.json"


class ExamplesError(ValueError):
    """A folder of example label maps cannot be used."""


def example_maps(folder: Path, labels: LabelSet) -> list[Path]:
    """Return the label maps of a folder, for a model of their classes: among others their ids would be other things.

    Maps of people in sixteen classes are for models of the paper's eight as well.

    Raises:
        ExamplesError: if the folder's ``classes.json`` cannot be read.
    """
    classes = _classes_of(folder)
    return sorted(folder.glob("*.png")) if classes is not None and _serve(classes, labels) else []


def example_map(path: Path, labels: LabelSet, size: tuple[int, int]) -> np.ndarray:
    """Return a label map as a model takes it, int64 [height, width].

    Where its folder's ``classes.json`` says that it has sixteen classes of people and the model has the paper's eight,
    classes are merged, and background is added on two sides until the map has the model's proportions. Pixels that
    ``classes.json`` or the model says are unknown have a class, as :func:`groupdnet_hub.read_label_map` gives it.

    Args:
        path: a PNG file.
        labels: the model's classes.
        size: (height, width) of the model's pictures.

    Raises:
        ValueError: as :func:`groupdnet_hub.read_label_map`.
        ExamplesError: if the ``classes.json`` cannot be read.
    """
    classes = _classes_of(path.parent)
    merged = None if classes is None else merged_ids(classes.names, labels)
    if classes is None or merged is None:
        return read_label_map(path, _all_ignored(labels, classes), size=size, resize=True)
    ids = np.array(merged, np.int64)[read_label_map(path, classes)]
    padded = _padded(ids, size[1] / size[0], labels.id_of("background"))
    return read_label_map(padded, labels, size=size, resize=True)


def fitting_maps(folder: Path, labels: LabelSet, size: tuple[int, int]) -> list[Path]:
    """Return those of :func:`example_maps` that also have the model's proportions.

    Raises:
        ExamplesError: as :func:`example_maps`.
    """
    fitting = []
    for path in example_maps(folder, labels):
        try:
            example_map(path, labels, size)
        except ValueError:
            continue
        _log_unknown(path, labels)
        fitting.append(path)
    return fitting


def check_examples(folder: Path, labels: LabelSet, size: tuple[int, int]) -> None:
    """Refuse a folder that was asked for by name and does not fit the model throughout.

    Args:
        folder: the folder of the maps.
        labels: the model's classes.
        size: (height, width) of the model's pictures.

    Raises:
        ExamplesError: for a folder without maps or ``classes.json``, other classes, and a map that does not fit.
    """
    classes = _classes_of(folder)
    if classes is None:
        raise ExamplesError(
            f"{folder} has no {_CLASSES_FILE}, which says what the ids of its label maps mean: "
            "LabelSet.to_file writes one"
        )
    if not _serve(classes, labels):
        its, models = describe_difference(classes.names, labels.names)
        raise ExamplesError(f"{folder} has maps of the {its}; the model has the {models}")
    paths = example_maps(folder, labels)
    if not paths:
        raise ExamplesError(f"{folder} holds no label maps: they are PNG files")
    for path in paths:
        try:
            example_map(path, labels, size)
        except ValueError as error:
            raise ExamplesError(f"{path}: {error}") from None


def _all_ignored(labels: LabelSet, classes: LabelSet | None) -> LabelSet:
    """Return a model's label set that ignores what the label set of a folder does, too."""
    return labels if classes is None else replace(labels, ignore=(*labels.ignore, *classes.ignore))


def _log_unknown(path: Path, labels: LabelSet) -> None:
    """Log how many pixels of a label map that can be read are unknown."""
    classes = _classes_of(path.parent)
    if classes is not None and classes.names != labels.names:
        labels = classes
    labels = _all_ignored(labels, classes)
    described = describe_unknown(*read_partial_label_map(path, labels), labels) if labels.ignore else ""
    if described:
        logging.getLogger(__name__).warning("%s: %s", path.name, described)


def _serve(classes: LabelSet, labels: LabelSet) -> bool:
    """Return whether maps of ``classes`` can be shown to a model of ``labels``."""
    return classes.names == labels.names or merged_ids(classes.names, labels) is not None


def _padded(ids: np.ndarray, ratio: float, background: int) -> np.ndarray:
    """Add background left and right, or above and below, until width over height is ``ratio``, to a pixel."""
    height, width = ids.shape
    rows, columns = max(height, round(width / ratio)) - height, max(width, round(height * ratio)) - width
    sides = ((rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2))
    return np.pad(ids, sides, constant_values=background)


def _classes_of(folder: Path) -> LabelSet | None:
    """Return the label set of the folder's ``classes.json``, if it has one."""
    path = folder / _CLASSES_FILE
    if not path.is_file():
        return None
    try:
        return LabelSet.from_file(path)
    except ValueError as error:
        raise ExamplesError(f"{folder}: {error}") from None
