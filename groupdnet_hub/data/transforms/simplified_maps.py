"""Label maps as a person would paint them: smooth or angular outlines in place of the fine ones of a photo.

A model that has only seen outlines traced from photos draws people less well on maps that are painted with a brush or
drawn with a few corners. In training some maps are therefore simplified while their photos stay; not in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Spacing of the grid on which a map is sampled, as a fraction of its smaller side: 3 to 8 of 128 pixels.
_FINEST, _COARSEST = 3 / 128, 8 / 128
# Weights and strengths of classes are integers of up to about this one: sums of their products are exact in single
# precision and in TF32, so that a map does not depend on the batch it is part of, nor on the device.
_SCALE = 1024


@dataclass(frozen=True)
class Simplification:
    """How one label map is simplified.

    Attributes:
        coarseness: coarseness of the grid, from 0 (finest) to 1.
        smooth: whether outlines are smooth curves instead of straight lines.
        offsets: offsets of the grid, down and right, as fractions of its spacing.
    """

    coarseness: float
    smooth: bool
    offsets: tuple[float, float]

    @classmethod
    def draw(cls, generator: torch.Generator) -> Simplification:
        """Return a random one, of four draws of a generator."""
        draws = torch.rand(4, generator=generator).tolist()
        return cls(draws[0], draws[1] < 0.5, (draws[2], draws[3]))

    def spacing(self, size: tuple[int, int]) -> float:
        """Return the distance in pixels of neighbouring grid points, for a map of ``size`` = (height, width)."""
        return min(size) * (_FINEST + (_COARSEST - _FINEST) * self.coarseness)


@dataclass(frozen=True)
class Simplifications:
    """How the maps of a batch are simplified.

    Attributes:
        spacing: float32 [B], in pixels.
        smooth: bool [B].
        offsets: float32 [B] each, down and right.
        points: numbers of rows and columns of the finest grid.
    """

    spacing: Tensor
    smooth: Tensor
    offsets: tuple[Tensor, Tensor]
    points: tuple[int, int]


def simplify(label: Tensor, classes: Tensor, how: Simplifications, class_count: int) -> Tensor:
    """Return coarser versions of label maps that show the same classes.

    Each class's region is measured on a coarse grid of random spacing and offset, and each pixel takes the class that
    is strongest there: between the grid's points along straight lines (outlines with corners), or, as often, along
    smooth curves (blobs). Strengths are relative to each class's largest one, so that belts and glasses stay.

    Args:
        label: int64 [B, H, W].
        classes: int64 [B, K], ids that each map may show, in rising order, the rest filled with ``class_count``.
        how: how each map is simplified.
        class_count: number of classes of the data set; ids are below it.

    Returns:
        int64 [B, H, W].
    """
    B, H, W = label.shape
    K = classes.shape[1]
    down, up = _resampling_matrices(H, how.points[0], how.spacing, how.offsets[0], how.smooth)
    across, back = _resampling_matrices(W, how.points[1], how.spacing, how.offsets[1], how.smooth)
    regions = torch.empty(B, K, H, W, device=label.device)
    # On a CPU by far the fastest way to zeros and ones.
    torch.eq(label[:, None].float(), classes[:, :, None, None].float(), out=regions)
    coarse = ((down[:, None] @ regions).flatten(1, 2) @ across.mT).view(B, K, -1, across.shape[1])
    largest = coarse.amax(dim=(2, 3), keepdim=True)
    coarse = (coarse * (_SCALE / largest.clamp(min=1))).round_()
    fine = (coarse.flatten(1, 2) @ back.mT).div_(_SCALE).round_().view(B, K, -1, W)
    strongest = _first_argmax(up[:, None] @ fine, class_count).flatten(1)
    shown = torch.zeros(B, class_count + 1, dtype=torch.bool, device=label.device)
    shown = shown.scatter(1, classes, largest.flatten(1) > 0)
    return restore_lost_classes(label.flatten(1), shown, classes.gather(1, strongest)).view(label.shape)


def _first_argmax(strengths: Tensor, class_count: int) -> Tensor:
    """Return the index of the strongest class at each pixel, the first of equal ones: int64 [B, H, W] below K.

    The index is a part of the value that is compared; on a CPU argmax, or max with indices, takes ten times as long.

    Args:
        strengths: float [B, K, H, W], up to about 2**20; overwritten.
        class_count: K or more; the resolution of strengths depends on it, and not on K.
    """
    K = strengths.shape[1]
    radix = 1 << class_count.bit_length()
    # Integers of up to 2**23 are exact in float32.
    steps = 2.0**23 / radix / (1.125 * _SCALE**2)
    rank = torch.arange(K - 1, -1, -1, device=strengths.device, dtype=torch.float32)
    keys = strengths.mul_(steps).round_().mul_(radix).add_(rank[:, None, None])
    return K - 1 - (keys.amax(dim=1).long() & (radix - 1))


def restore_lost_classes(label: Tensor, shown: Tensor, simple: Tensor) -> Tensor:
    """Give back the regions of classes that a simplified map lost, and the original map where that costs others.

    Args:
        label: int64 [B, pixels], the map before.
        shown: bool [B, ids], classes of the map before.
        simple: int64 [B, pixels], the map after.
    """
    none = torch.zeros_like(shown)
    lost = shown & ~none.scatter(1, simple, True)
    simple = torch.where(lost.gather(1, label), label, simple)
    lost = shown & ~none.scatter(1, simple, True)
    return torch.where(lost.any(dim=1, keepdim=True), label, simple)


def _resampling_matrices(
    length: int, points: int, spacing: Tensor, offset: Tensor, smooth: Tensor
) -> tuple[Tensor, Tensor]:
    """Return matrices from a line of pixels to points every ``spacing`` pixels, [B, points, length], and back.

    Their rows are integers whose sum is about 1024.
    """
    pixels = torch.arange(length, device=spacing.device) + 0.5
    places = torch.arange(points, device=spacing.device) - 1 + offset[:, None]
    distance = ((places * spacing[:, None])[:, :, None] - pixels).abs() / spacing[:, None, None]
    linear = (1 - distance).clamp_(min=0)
    # The cubic B-spline, smooth and of support 2 on either side.
    square = distance * distance
    beyond = (2 - distance).clamp_(min=0)
    near, far = 2 / 3 - square + square * distance / 2, beyond * beyond * beyond / 6
    curve = torch.where(distance < 1, near, far)
    kernel = (torch.where(smooth[:, None, None], curve, linear) * _SCALE).round_()
    # Points beyond the ends take the last pixels.
    reach = kernel.sum(dim=2, keepdim=True)
    nearest = (distance == distance.amin(dim=2, keepdim=True)).float()
    seen = torch.where(reach > 0, kernel, nearest)
    averaged = (seen * (_SCALE / seen.sum(dim=2, keepdim=True))).round_()
    return averaged, (kernel * (_SCALE / kernel.sum(dim=1, keepdim=True))).round_().mT
