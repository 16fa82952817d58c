"""Spectral normalisation: a weight's largest singular value, by power iteration.

Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR 2018; applied to all layers of the
generator and the discriminator (section 4.1).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Vectors are not divided by less than this.
SHORTEST = 1e-12


def largest_singular_value(weight: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Return the estimate ``u^T W v`` of a weight's largest singular value, a scalar; differentiable in the weight.

    Args:
        weight: [out, in / groups, k, k], seen as a matrix W of ``out`` rows.
        u: [out], of unit length.
        v: [in / groups * k * k], of unit length.
    """
    # Clones: a second forward before the backward changes the buffers in place.
    u, v, matrix = u.clone(), _to_stored(v, weight), stored_matrix(weight)
    if matrix.dtype in (torch.float16, torch.bfloat16):
        u, v, matrix = u.float(), v.float(), matrix.float()
    return torch.dot(u, matrix @ v)


@torch.no_grad()
def power_iteration(weight: Tensor, u: Tensor, v: Tensor) -> None:
    """Improve u and v by one power iteration, in place: v, then u, the order of the authors' checkpoints."""
    matrix = stored_matrix(weight.detach())
    improved = F.normalize(matrix.t() @ u, dim=0, eps=SHORTEST)
    u.copy_(F.normalize(matrix @ improved, dim=0, eps=SHORTEST))
    v.view(weight.shape[1:]).copy_(from_stored(improved, weight))


def stored_matrix(weight: Tensor) -> Tensor:
    """View a weight [out, ...] as a matrix of ``out`` rows, its columns in the order of memory: nothing is copied."""
    return (weight if weight.is_contiguous() else weight.permute(0, 2, 3, 1)).flatten(1)


def from_stored(v: Tensor, weight: Tensor) -> Tensor:
    """View a value for each column of :func:`stored_matrix` as [in / groups, k, k]."""
    if weight.is_contiguous():
        return v.view(weight.shape[1:])
    return v.view(*weight.shape[2:], -1).permute(2, 0, 1)


def _to_stored(v: Tensor, weight: Tensor) -> Tensor:
    """Return a copy of v in the order of :func:`stored_matrix`'s columns."""
    if not weight.is_contiguous():
        return v.view(weight.shape[1:]).permute(1, 2, 0).flatten()
    return v.clone()
