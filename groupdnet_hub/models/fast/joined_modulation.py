"""Scale and shift of one CG-Norm on whole label maps, from one convolution for both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from groupdnet_hub.models.fast.decode_window import Places


@dataclass(frozen=True)
class JoinedModulation:
    """scale = 1 + gamma and shift = beta of one CG-Norm on one batch of label maps.

    Attributes:
        both: [B, groups, 2, C / groups, H, W], scales and shifts.
    """

    both: Tensor

    def apply(self, x: Tensor, slope: float | None = None) -> Tensor:
        """Return x * scale + shift for x [B, C, H, W], and LeakyReLU of it if ``slope`` is given; differentiable."""
        return _ScaleAndShift.apply(x.to(self.both.dtype), self.both, slope)

    @property
    def nbytes(self) -> int:
        """Bytes of scales and shifts."""
        return self.both.numel() * self.both.element_size()

    def at(self, places: Places) -> JoinedModulation:
        """Return the modulation of windows of the maps."""
        both = places.of(self.both.flatten(1, 3))
        return JoinedModulation(both.unflatten(1, self.both.shape[1:4]))


def joined_modulation(hidden: Tensor, weight: Tensor, bias: Tensor, groups: int) -> JoinedModulation:
    """Return scale and shift from the hidden layer [B, hidden, H, W].

    Args:
        hidden: [B, hidden, H, W].
        weight: weight of both: of each group first the rows of its scales, then those of its shifts.
        bias: bias of both, in the same order.
        groups: of the convolution.
    """
    both = F.conv2d(hidden, weight, bias, padding=weight.shape[-1] // 2, groups=groups)
    return JoinedModulation(both.unflatten(1, (groups, 2, -1)))


class _ScaleAndShift(torch.autograd.Function):
    """What autograd would do by itself, with half the operations."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, both: Tensor, slope: float | None) -> Tensor:
        scale, shift = both.unbind(2)
        by_group = x.unflatten(1, scale.shape[1:3])
        out = torch.addcmul(shift, by_group, scale)
        if slope is not None:
            F.leaky_relu(out, slope, inplace=True)
        ctx.slope = slope
        ctx.save_for_backward(by_group, scale, out if slope is not None else scale)
        return out.flatten(1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        by_group, scale, out = ctx.saved_tensors
        grad = grads[0].unflatten(1, scale.shape[1:3])
        if ctx.slope is not None:  # the activation keeps the sign, so its output tells which side it was
            grad = torch.ops.aten.leaky_relu_backward(grad, out, ctx.slope, True)
        return (grad * scale).flatten(1, 2), torch.stack((grad * by_group, grad), dim=2), None
