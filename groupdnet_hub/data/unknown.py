"""Pixels of a label map of which nobody knows the class: values such as 255 that a label set says to ignore."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.data.labels import LabelSet, classes_present

# Stands for an unknown pixel in a label map that is being read. No map that a reader returns holds it.
UNKNOWN = -1


def fill_unknown(ids: np.ndarray, labels: LabelSet) -> tuple[np.ndarray, np.ndarray]:
    """Give every unknown pixel a class, so that networks can draw it.

    Args:
        ids: int64 [H, W], class ids, or :data:`UNKNOWN`.
        labels: label set of the map. Pixels of a class that it ignores are unknown too, and keep their id.

    Returns:
        (int64 [H, W] of class ids, bool [H, W], true at unknown pixels). The class is the label set's don't-care
        class, or that of the nearest pixel that is known.

    Raises:
        ValueError: for a map without a known pixel, if there is no don't-care class.
    """
    blank = ids == UNKNOWN
    unknown = blank | np.isin(ids, labels.ignored_ids)
    if not blank.any():
        return ids, unknown
    if labels.dont_care is not None:
        return np.where(blank, labels.dont_care, ids), unknown
    if blank.all():
        raise ValueError("all pixels of the label map are unknown: leave this map out")
    from scipy import ndimage

    rows, columns = ndimage.distance_transform_edt(blank, return_distances=False, return_indices=True)
    return ids[rows, columns], unknown


def with_ignored(labels: LabelSet, values: Sequence[Ignored], flag: str = "--ignore_id") -> LabelSet:
    """Return a label set that ignores what a flag names too, beside what its own file does.

    Raises:
        ValueError: naming the flag, for the colour of a class, and if all classes would be unknown.
    """
    try:
        return replace(labels, ignore=(*labels.ignore, *values))
    except ValueError as error:
        raise ValueError(f"{flag}: {error}") from None


def grey_unknown(pictures: Tensor, unknown: Tensor | None) -> Tensor:
    """Return pictures that are grey at unknown pixels, so that what they show there has no effect.

    Args:
        pictures: float [..., 3, H, W] in [-1, 1], whose 0 is grey.
        unknown: bool [..., H, W], true at unknown pixels; None for none.
    """
    return (
        pictures if unknown is None else pictures.masked_fill(unknown.to(pictures.device)[..., None, :, :], 0)
    )


def with_grey_unknown(batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return an item or a batch of a data set, its ``image`` grey where ``unknown`` is true, if it has any."""
    if "unknown" not in batch:
        return batch
    return {**batch, "image": grey_unknown(batch["image"], batch["unknown"])}


def mark_unknown(label: Tensor, unknown: Tensor | None) -> Tensor:
    """Return a label map int64 [..., H, W] with :data:`UNKNOWN` at unknown pixels bool [..., H, W]; None for none."""
    return label if unknown is None else torch.where(unknown, UNKNOWN, label)


def describe_unknown(label: np.ndarray, unknown: np.ndarray, labels: LabelSet) -> str:
    """Return how many pixels of a label map are unknown and what they are drawn as; empty if none are.

    Args:
        label: int64 [H, W] of :func:`groupdnet_hub.data.label_maps.read_partial_label_map`.
        unknown: bool [H, W] of the same.
        labels: label set of the map.
    """
    count = int(unknown.sum())
    if not count:
        return ""
    drawn = "the nearest class"
    if labels.dont_care is not None:
        drawn = ", ".join(labels.names[class_id] for class_id in classes_present(label[unknown], len(labels)))
    pixels, are = ("1 unknown pixel", "is") if count == 1 else (f"{count} unknown pixels", "are")
    return f"{pixels} ({percent_unknown(count / unknown.size)}) of the label map {are} drawn as {drawn}"


def percent_unknown(fraction: float) -> str:
    """Return the fraction of unknown pixels in percent, as text; a few are not 0 %."""
    return f"{100 * fraction:.1f} %" if fraction >= 0.001 or not fraction else "less than 0.1 %"


def written_labels(labels: LabelSet) -> LabelSet:
    """Return the label set of label maps that are written: with an id and a colour for unknown pixels, both ignored.

    The id is one that fits beside the classes into 8 bit, or, for 256 classes and more, into 16. A label set that
    ignores nothing or classes alone, which keep their ids, is returned as it is.
    """
    if not labels.ignored_colours and labels.unknown_id is None:
        return labels
    highest = 255 if len(labels) < 256 else 65535
    more: list[int | tuple[int, int, int]] = []
    if labels.unknown_id is None or labels.unknown_id > highest:
        more.append(highest)
    if not labels.ignored_colours:
        more.append(labels.unknown_colour)
    return replace(labels, ignore=(*labels.ignore, *more))
