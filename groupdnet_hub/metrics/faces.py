"""Faces: in how many drawn heads does a face finder see a face, over how many of the photos?"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub.metrics.estimates import Estimate, divide, estimate, estimate_mean

# The window around a head over its box, and the side that it is enlarged to.
_MARGIN, _SIDE = 1.6, 256
# A head whose box has a side that is shorter, as a share of the picture's height, is left out: too few pixels show the
# face. The shorter side, because long hair makes any box long.
_LEAST_SHARE = 0.15

# Pictures uint8 [B, 3, 256, 256] -> for each whether it shows a face, such as FaceMesh().
FaceFinder = Callable[[Tensor], list[bool]]


@dataclass(frozen=True)
class Faces:
    """Shares of heads in which a face is found.

    Attributes:
        images: label maps with a head that is large enough.
        ratio: the share in drawn pictures over that in the photos: 1 as in photos.
        pictures, photos: these shares.
    """

    images: int
    ratio: Estimate
    pictures: Estimate
    photos: Estimate


def head_window(label: Tensor, class_ids: Collection[int]) -> tuple[int, int, int] | None:
    """The square around a head.

    Args:
        label: int64 [H, W].
        class_ids: the classes of a head.

    Returns:
        Top, left (they may be below 0) and side: 1.6 times the longer side of the classes' box, around its middle;
        ``None`` if there is no head, or a box whose shorter side is less than 0.15 of the picture's height.
    """
    head = torch.zeros_like(label, dtype=torch.bool)
    for class_id in class_ids:
        head |= label == class_id
    rows, columns = head.any(dim=1).nonzero()[:, 0], head.any(dim=0).nonzero()[:, 0]
    if not len(rows):
        return None
    (top, bottom), (left, right) = ((int(one[0]), int(one[-1]) + 1) for one in (rows, columns))
    if min(bottom - top, right - left) < _LEAST_SHARE * label.shape[0]:
        return None
    side = round(_MARGIN * max(bottom - top, right - left))
    return (top + bottom - side) // 2, (left + right - side) // 2, side


def cut_window(pictures: Tensor, window: tuple[int, int, int]) -> Tensor:
    """A window of uint8 [B, 3, H, W], enlarged to uint8 [B, 3, 256, 256]; beyond the edge goes the edge's colour on."""
    top, left, side = window
    height, width = pictures.shape[2:]
    rows = torch.arange(top, top + side, device=pictures.device).clamp(0, height - 1)
    columns = torch.arange(left, left + side, device=pictures.device).clamp(0, width - 1)
    cut = pictures[:, :, rows][:, :, :, columns].float()
    enlarged = F.interpolate(cut, (_SIDE, _SIDE), mode="bicubic", antialias=True, align_corners=False)
    return enlarged.round().clamp(0, 255).to(torch.uint8)


def measure_faces(
    pictures: Tensor, photo: Tensor, label: Tensor, class_ids: Collection[int], finder: FaceFinder
) -> np.ndarray:
    """One label map's part.

    Args:
        pictures: uint8 [K, 3, H, W].
        photo: uint8 [3, H, W], of the same label map.
        label: int64 [H, W].
        class_ids: the classes of a head.

    Returns:
        float64 [2]: the share of the pictures with a face, and 1 or 0 for the photo; NaN without a head that is large
        enough.
    """
    window = head_window(label, class_ids)
    if window is None:
        return np.full(2, np.nan)
    found = finder(cut_window(torch.cat([photo[None], pictures]), window))
    return np.array([np.mean(found[1:]), float(found[0])])


def summarise_faces(rows: np.ndarray) -> Faces:
    """The figure of the rows [N, 2] of all label maps.

    Raises:
        ValueError: if no label map has a head that is large enough.
    """
    drawn, photographed = rows[np.isfinite(rows).all(axis=1)].T
    if not len(drawn):
        raise ValueError("no head is large enough for its face to be found: measure upper-body frames")
    ratio = estimate(len(drawn), lambda counts: divide(counts @ drawn, counts @ photographed))
    return Faces(len(drawn), ratio, estimate_mean(drawn), estimate_mean(photographed))
