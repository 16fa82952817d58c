"""Scale and shift of one CG-Norm on whole label maps, from one convolution for both."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class JoinedModulation:
    """scale = 1 + gamma and shift = beta of one CG-Norm on one batch of label maps.

    Attributes:
        scale, shift: [B, groups, C / groups, H, W], parts of one tensor.
    """

    scale: Tensor
    shift: Tensor

    def apply(self, x: Tensor, slope: float | None = None) -> Tensor:
        """x [B, C, H, W] -> x * scale + shift, and LeakyReLU if ``slope`` is given. Differentiable."""
        by_group = x.to(self.scale.dtype).unflatten(1, self.scale.shape[1:3])
        out = torch.addcmul(self.shift, by_group, self.scale)
        # In place before it becomes a view: the gradient of a view that changes is copied several times.
        return (out if slope is None else F.leaky_relu(out, slope, inplace=True)).flatten(1, 2)


def joined_modulation(hidden: Tensor, weight: Tensor, bias: Tensor, groups: int) -> JoinedModulation:
    """Scale and shift from the hidden layer [B, hidden, H, W].

    Args:
        weight, bias: of both: of each group first the rows of its scales, then those of its shifts.
        groups: of the convolution.
    """
    both = F.conv2d(hidden, weight, bias, padding=weight.shape[-1] // 2, groups=groups)
    scale, shift = both.unflatten(1, (groups, 2, -1)).unbind(2)
    return JoinedModulation(scale, shift)
