"""Faces: the fraction of drawn heads in which a face detector finds a face, relative to that of photos."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub.metrics.estimates import Estimate, divide, estimate, estimate_mean

# Size of the window around a head relative to its box, and the side in pixels that it is resized to.
_MARGIN, _SIDE = 1.6, 256
# Least shorter side of a head's box, as a fraction of the picture's height: smaller faces have too few pixels. The
# shorter side, because long hair makes any box long.
_LEAST_FRACTION = 0.15

# Returns for each picture uint8 [B, 3, 256, 256] whether it shows a face, such as FaceMesh().
FaceFinder = Callable[[Tensor], list[bool]]

# The version of mediapipe that was measured with; later ones replace this interface.
_VERSION = "0.10.14"
_HOW = f"pip install mediapipe=={_VERSION}, in an environment of its own if its older protobuf is in the way"


@dataclass(frozen=True)
class Faces:
    """Fractions of heads in which a face is found.

    Attributes:
        images: number of label maps with a head that is large enough.
        ratio: fraction in drawn pictures over that in the photos; 1 as in photos.
        pictures, photos: these fractions.
    """

    images: int
    ratio: Estimate
    pictures: Estimate
    photos: Estimate


def head_window(label: Tensor, class_ids: Collection[int]) -> tuple[int, int, int] | None:
    """Return the square around a head.

    Args:
        label: int64 [H, W].
        class_ids: ids of the classes of a head.

    Returns:
        Top, left (which may be below 0) and side in pixels: 1.6 times the longer side of the classes' box, around its
        middle; None without a head, or for a box whose shorter side is less than 0.15 of the picture's height.
    """
    head = torch.zeros_like(label, dtype=torch.bool)
    for class_id in class_ids:
        head |= label == class_id
    rows, columns = head.any(dim=1).nonzero()[:, 0], head.any(dim=0).nonzero()[:, 0]
    if not len(rows):
        return None
    (top, bottom), (left, right) = ((int(one[0]), int(one[-1]) + 1) for one in (rows, columns))
    if min(bottom - top, right - left) < _LEAST_FRACTION * label.shape[0]:
        return None
    side = round(_MARGIN * max(bottom - top, right - left))
    return (top + bottom - side) // 2, (left + right - side) // 2, side


def cut_window(pictures: Tensor, window: tuple[int, int, int]) -> Tensor:
    """Return a window of uint8 [B, 3, H, W] resized to uint8 [B, 3, 256, 256]; beyond the edge it repeats the edge."""
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
    """Measure one label map.

    Args:
        pictures: uint8 [K, 3, H, W].
        photo: uint8 [3, H, W], of the same label map.
        label: int64 [H, W]; negative ids are unknown pixels, which are of no class.
        class_ids: ids of the classes of a head.
        finder: face detector.

    Returns:
        float64 [2]: fraction of the pictures with a face, and 1 or 0 for the photo; NaN without a head that is large
        enough.
    """
    window = head_window(label, class_ids)
    if window is None:
        return np.full(2, np.nan)
    found = finder(cut_window(torch.cat([photo[None], pictures]), window))
    return np.array([np.mean(found[1:]), float(found[0])])


def summarise_faces(rows: np.ndarray) -> Faces:
    """Return the metric over the rows [N, 2] of all label maps.

    Raises:
        ValueError: if no label map has a head that is large enough.
    """
    drawn, photographed = rows[np.isfinite(rows).all(axis=1)].T
    if not len(drawn):
        raise ValueError("no head is large enough for its face to be found: measure upper-body frames")
    ratio = estimate(len(drawn), lambda counts: divide(counts @ drawn, counts @ photographed))
    return Faces(len(drawn), ratio, estimate_mean(drawn), estimate_mean(photographed))


class FaceMesh:
    """Face detector: the face mesh of mediapipe, whose models are part of the package, on each picture independently.

    Raises:
        ImportError: if mediapipe is not installed, or in another version; the message names the install command.
    """

    def __init__(self) -> None:
        try:
            found = version("mediapipe")
        except PackageNotFoundError:
            raise ImportError(
                f"faces are found with mediapipe {_VERSION}, which is not installed: {_HOW}"
            ) from None
        if found != _VERSION:
            raise ImportError(f"faces are found with mediapipe {_VERSION}, and {found} is installed: {_HOW}")
        from mediapipe.python.solutions.face_mesh import FaceMesh as Mesh

        self._mesh = Mesh(static_image_mode=True, max_num_faces=1)

    def __call__(self, pictures: Tensor) -> list[bool]:
        """Return for each picture uint8 [B, 3, H, W] whether it shows a face."""
        rows = pictures.permute(0, 2, 3, 1).cpu().contiguous().numpy()
        return [bool(self._mesh.process(picture).multi_face_landmarks) for picture in rows]
