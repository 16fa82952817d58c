"""Label maps as a hand would paint them: smooth or angular outlines in place of a photo's fine ones.

A model that has only seen outlines traced from photos draws people less well on maps that are painted with a brush or
set with a few corners. In training some maps are therefore simplified, while their photos stay: not in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# How far apart the places are at which a map is looked at, in shares of its smaller side: of 128 pixels 3 to 8.
_FINEST, _COARSEST = 3 / 128, 8 / 128
# Weights, and how strong classes are, are whole numbers of up to about this one: sums of their products are exact in
# single precision and in TF32, so that a map does not depend on the batch it lies in, nor on the device.
_WHOLE = 1024


@dataclass(frozen=True)
class Simplification:
    """How one label map is simplified.

    Attributes:
        coarseness: from 0, the finest grid, to 1.
        smooth: along smooth curves, or straight lines.
        offsets: of the grid, down and right, in shares of its spacing.
    """

    coarseness: float
    smooth: bool
    offsets: tuple[float, float]

    @classmethod
    def drawn(cls, generator: torch.Generator) -> Simplification:
        """One by four draws of a generator."""
        draws = torch.rand(4, generator=generator).tolist()
        return cls(draws[0], draws[1] < 0.5, (draws[2], draws[3]))

    def spacing(self, size: tuple[int, int]) -> float:
        """Pixels from one point of the grid to the next, for a map of ``size`` = (height, width)."""
        return min(size) * (_FINEST + (_COARSEST - _FINEST) * self.coarseness)


@dataclass(frozen=True)
class Simplifications:
    """How the maps of a batch are simplified: ``spacing`` float32 [B] in pixels, ``smooth`` bool [B], ``offsets`` of
    float32 [B] each; ``points`` is how many rows and columns the finest grid has."""

    spacing: Tensor
    smooth: Tensor
    offsets: tuple[Tensor, Tensor]
    points: tuple[int, int]


def simplified_batch(label: Tensor, classes: Tensor, how: Simplifications, class_count: int) -> Tensor:
    """Coarser versions of label maps int64 [B, H, W] that show the same classes.

    Each class's region is measured on a coarse grid of random spacing and offset, and each pixel takes the class that
    is strongest there: between the grid's points along straight lines (outlines with corners), or, as often, along
    smooth curves (blobs). A class counts in relation to where it is strongest, so that belts and glasses stay.

    Args:
        classes: int64 [B, K], the ids that each map may show, in rising order, the rest filled with ``class_count``.
        class_count: of the data set; ids are below it.
    """
    B, H, W = label.shape
    K = classes.shape[1]
    down, up = _there_and_back(H, how.points[0], how.spacing, how.offsets[0], how.smooth)
    across, back = _there_and_back(W, how.points[1], how.spacing, how.offsets[1], how.smooth)
    regions = torch.empty(B, K, H, W, device=label.device)
    # On a CPU by far the fastest way to zeros and ones.
    torch.eq(label[:, None].float(), classes[:, :, None, None].float(), out=regions)
    coarse = ((down[:, None] @ regions).flatten(1, 2) @ across.mT).view(B, K, -1, across.shape[1])
    largest = coarse.amax(dim=(2, 3), keepdim=True)
    coarse = (coarse * (_WHOLE / largest.clamp(min=1))).round_()
    fine = (coarse.flatten(1, 2) @ back.mT).div_(_WHOLE).round_().view(B, K, -1, W)
    strongest = _first_of_the_largest(up[:, None] @ fine, class_count).flatten(1)
    shown = torch.zeros(B, class_count + 1, dtype=torch.bool, device=label.device)
    shown = shown.scatter(1, classes, largest.flatten(1) > 0)
    return _with_all(label.flatten(1), shown, classes.gather(1, strongest)).view(label.shape)


def _first_of_the_largest(strengths: Tensor, class_count: int) -> Tensor:
    """The class that is strongest at each pixel, of float [B, K, H, W] up to about 2**20: int64 [B, H, W] below K.

    Its number is a part of the value that is compared; on a CPU argmax, or max with indices, takes ten times as long.

    Args:
        class_count: K or more; how finely strengths are told apart depends on it, and not on K.
    """
    K = strengths.shape[1]
    radix = 1 << class_count.bit_length()
    # Above 2**23 not every whole number has a float.
    steps = 2.0**23 / radix / (1.125 * _WHOLE**2)
    rank = torch.arange(K - 1, -1, -1, device=strengths.device, dtype=torch.float32)
    keys = strengths.mul_(steps).round_().mul_(radix).add_(rank[:, None, None])
    return K - 1 - (keys.amax(dim=1).long() & (radix - 1))


def _with_all(label: Tensor, shown: Tensor, simple: Tensor) -> Tensor:
    """A simplified map with the regions of classes that it lost as they were; where that costs others, all of them.

    Args:
        label, simple: int64 [B, pixels], the map as it was and as it is.
        shown: bool [B, ids], what the map showed.
    """
    none = torch.zeros_like(shown)
    lost = shown & ~none.scatter(1, simple, True)
    simple = torch.where(lost.gather(1, label), label, simple)
    lost = shown & ~none.scatter(1, simple, True)
    return torch.where(lost.any(dim=1, keepdim=True), label, simple)


def _there_and_back(
    length: int, points: int, spacing: Tensor, offset: Tensor, smooth: Tensor
) -> tuple[Tensor, Tensor]:
    """Matrices from a line of pixels to points every ``spacing`` pixels, [B, points, length], and back.

    Their rows are whole numbers whose sum is about 1024.
    """
    pixels = torch.arange(length, device=spacing.device) + 0.5
    places = torch.arange(points, device=spacing.device) - 1 + offset[:, None]
    distance = ((places * spacing[:, None])[:, :, None] - pixels).abs() / spacing[:, None, None]
    linear = (1 - distance).clamp_(min=0)
    # The cubic B-spline is smooth and reaches two points.
    square = distance * distance
    beyond = (2 - distance).clamp_(min=0)
    near, far = 2 / 3 - square + square * distance / 2, beyond * beyond * beyond / 6
    curve = torch.where(distance < 1, near, far)
    kernel = (torch.where(smooth[:, None, None], curve, linear) * _WHOLE).round_()
    # Points beyond the ends see the last pixels.
    reach = kernel.sum(dim=2, keepdim=True)
    nearest = (distance == distance.amin(dim=2, keepdim=True)).float()
    seen = torch.where(reach > 0, kernel, nearest)
    averaged = (seen * (_WHOLE / seen.sum(dim=2, keepdim=True))).round_()
    return averaged, (kernel * (_WHOLE / kernel.sum(dim=1, keepdim=True))).round_().mT
