"""Pixels of a label map of which nobody knows the class: values such as 255 that a label set says to ignore."""

from __future__ import annotations

import numpy as np

from groupdnet_hub.data.labels import LabelSet

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
