"""Label maps as a hand would paint them: smooth or angular outlines in place of a photo's fine ones.

A model that has only seen outlines traced from photos draws people less well on maps that are painted with a brush or
set with a few corners. In training some maps are therefore simplified, while their photos stay: not in the paper.
"""

from __future__ import annotations

import torch
from torch import Tensor

# How far apart the places are at which a map is looked at, in shares of its smaller side: of 128 pixels 3 to 8.
_FINEST, _COARSEST = 3 / 128, 8 / 128


def simplified(label: Tensor, generator: torch.Generator) -> Tensor:
    """A coarser version of a label map int64 [H, W] that shows the same classes.

    Each class's region is measured on a coarse grid of random spacing and offset, and each pixel takes the class that
    is strongest there: between the grid's points along straight lines (outlines with corners), or, as often, along
    smooth curves (blobs). A class counts in relation to where it is strongest, so that belts and glasses stay.
    """
    H, W = label.shape
    classes = label.unique()
    draws = torch.rand(4, generator=generator).tolist()
    spacing = min(H, W) * (_FINEST + (_COARSEST - _FINEST) * draws[0])
    smooth = draws[1] < 0.5
    down, up = _there_and_back(H, spacing, draws[2], smooth)
    across, back = _there_and_back(W, spacing, draws[3], smooth)
    regions = (label == classes[:, None, None]).float()
    coarse = down @ regions @ across.T
    coarse = coarse / coarse.amax(dim=(1, 2), keepdim=True)
    # On a CPU argmax takes ten times as long.
    simple = classes[(up @ coarse @ back.T).max(dim=0).indices]
    return _with_all(classes, label, simple)


def _there_and_back(length: int, spacing: float, offset: float, smooth: bool) -> tuple[Tensor, Tensor]:
    """Matrices from a line of pixels to points every ``spacing`` pixels [points, length], and back."""
    pixels = torch.arange(length) + 0.5
    points = (torch.arange(int(length / spacing) + 3) - 1 + offset) * spacing
    distance = (points[:, None] - pixels).abs() / spacing
    linear = (1 - distance).clamp(min=0)
    # The cubic B-spline is smooth and reaches two points.
    near, far = 2 / 3 - distance**2 + distance**3 / 2, (2 - distance).clamp(min=0) ** 3 / 6
    kernel = torch.where(distance < 1, near, far) if smooth else linear
    # Points beyond the ends see the last pixels.
    reach = kernel.sum(dim=1, keepdim=True)
    nearest = (distance == distance.amin(dim=1, keepdim=True)).float()
    nearest = nearest / nearest.sum(dim=1, keepdim=True)
    averaged = torch.where(reach > 1e-3, kernel / reach.clamp(min=1e-3), nearest)
    return averaged, (kernel / kernel.sum(dim=0)).T


def _with_all(classes: Tensor, label: Tensor, simple: Tensor) -> Tensor:
    """The simplified map, with the regions of classes that it lost as they were."""
    for _ in classes:
        lost = classes[(simple != classes[:, None, None]).all(dim=2).all(dim=1)]
        if not len(lost):
            return simple
        simple = torch.where(torch.isin(label, lost), label, simple)
    return label
