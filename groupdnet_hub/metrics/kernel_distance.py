"""The kernel distance (KID) of drawn pictures and photos, from the features of any network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class KernelDistance:
    """An unbiased estimate, which may be slightly below 0 where both sets are alike.

    Attributes:
        value: squared maximum mean discrepancy.
        standard_error: standard error by the jackknife over label maps; None for two of them.
        images: number of label maps, or pairs of photos.
        samples: number of drawn pictures of each.
    """

    value: float
    standard_error: float | None
    images: int
    samples: int


def kernel_distance(samples: Tensor, photos: Tensor) -> KernelDistance:
    """Return KID (Binkowski et al., "Demystifying MMD GANs", 2018), with the kernel ``(x . y / D + 1)^3``.

    A picture and the photo of its own label map show the same silhouette, and so do two pictures of one map. Such
    pairs are left out: with ``h(i, j) = k(x_i, x_j) + k(y_i, y_j) - k(x_i, y_j) - k(x_j, y_i)``, k averaged over the
    pictures of a map, the value is the mean of h over all ``i != j`` (the U-statistic of Gretton et al., "A kernel
    two-sample test", 2012, section 3.1). Unlike the Frechet distance it is not biased for few pictures.

    Args:
        samples: features [N, K, D] of K pictures of each of N label maps.
        photos: features [N, D] of the photos of these maps, or of any other photos to compare two sets of photos.

    Raises:
        ValueError: for fewer than two maps, shapes that do not fit, or values that are not finite.
    """
    if samples.ndim != 3 or photos.shape != (samples.shape[0], samples.shape[2]) or 0 in samples.shape:
        raise ValueError(
            f"the features have the shapes {tuple(samples.shape)} and {tuple(photos.shape)}; they must be [N, K, D] "
            "and [N, D]"
        )
    images, count = samples.shape[:2]
    if images < 2:
        raise ValueError("1 label map has no kernel distance: give at least 2")
    x, y = samples.double().cpu().unbind(dim=1), photos.double().cpu()
    if not (samples.isfinite().all() and photos.isfinite().all()):
        raise ValueError("the features hold values that are not finite: does the network fit its weights?")
    between = torch.stack([_kernel(one, y) for one in x]).mean(dim=0)
    h = _kernel(y, y) - between - between.T
    for number, one in enumerate(x):
        h += _kernel(one, one) / count**2
        for other in x[number + 1 :]:
            pair = _kernel(one, other)
            h += (pair + pair.T) / count**2
    h.fill_diagonal_(0)
    total = h.sum()
    value = float(total / (images * (images - 1)))
    if images == 2:
        return KernelDistance(value, None, images, count)
    without = (total - 2 * h.sum(dim=1)) / ((images - 1) * (images - 2))  # each map left out in turn
    spread = ((without - without.mean()) ** 2).sum() * (images - 1) / images
    return KernelDistance(value, float(spread.sqrt()), images, count)


def _kernel(one: Tensor, other: Tensor) -> Tensor:
    return (one @ other.T / one.shape[1] + 1) ** 3
