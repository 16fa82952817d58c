"""Conditional group normalisation (section 3.3, Fig. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn import functional as F

from groupdnet_hub.models.fast.dense_folding import FoldedConstants, dense_rows
from groupdnet_hub.models.fast.folding import fold, folded_rows
from groupdnet_hub.models.fast.joined_modulation import JoinedModulation, joined_modulation
from groupdnet_hub.models.fast.label_windows import (
    LabelLevel,
    rows_from_patches,
    window_hidden,
    window_patches,
)
from groupdnet_hub.models.fast.modulation import BatchStatistics, FoldedModulation, Modulation
from groupdnet_hub.models.layers import GroupedConv2d


class CGNorm(nn.Module):
    """``Norm(x) * (1 + gamma) + beta``, gamma and beta from the label map by grouped convolutions (Eq. 4, 5).

    Norm is batch normalisation without affine (eps 1e-5, momentum 0.1), or group normalisation with
    ``norm_groups`` groups. ``nn.BatchNorm2d`` is an ordinary one, so that a training script can convert it to its
    synchronised form.

    Attributes:
        working: weight and bias of gamma and beta joined, while a training step lends them
            (:mod:`groupdnet_hub.models.fast.working_weights`).
    """

    working: tuple[Tensor, Tensor] | None

    def __init__(
        self,
        channels: int,
        label_channels: int,
        class_slots: int,
        hidden_channels: int,
        label_groups: int,
        modulation_groups: int,
        norm_kind: str = "batch",
        norm_groups: int = 1,
    ) -> None:
        super().__init__()
        self.class_slots, self.working = class_slots, None
        self.norm: nn.Module = (
            nn.BatchNorm2d(channels, affine=False)
            if norm_kind == "batch"
            else nn.GroupNorm(norm_groups, channels, affine=False)
        )
        self.shared = GroupedConv2d(label_channels, hidden_channels, groups=label_groups)
        self.gamma = GroupedConv2d(hidden_channels, channels, groups=modulation_groups)
        self.beta = GroupedConv2d(hidden_channels, channels, groups=modulation_groups)

    def modulation(self, level: LabelLevel) -> Modulation:
        """gamma and beta for the label maps of ``level``, by look-up where that is cheaper (same result)."""
        if level.windows is None:
            hidden = self._hidden(level)
            return Modulation(1 + self.gamma(hidden), self.beta(hidden), None)
        patches = window_patches(level, self._hidden(level), self.gamma.groups)
        gamma = rows_from_patches(patches, self.gamma.weight, self.gamma.bias)
        beta = rows_from_patches(patches, self.beta.weight, self.beta.bias)
        return Modulation(1 + gamma, beta, level.windows.index)

    def joined_modulation(self, label_input: Tensor) -> JoinedModulation:
        """:meth:`modulation` by the joined weights that a training step lends, from the dense label input."""
        assert self.working is not None
        return joined_modulation(F.relu(self.shared(label_input)), *self.working, self.gamma.groups)

    def joined_normalised(self, x: Tensor, *, tell: bool) -> tuple[Tensor, BatchStatistics | None]:
        """Norm(x) in a training step that lends joined weights, and on request what it normalised by.

        That this is one more batch, an ordinary batch norm does not count here.
        """
        norm = self.norm
        if tell:
            return self.normalised(x, count=False)
        if type(norm) is not nn.BatchNorm2d or norm.momentum is None:
            return norm(x), None
        statistics = norm.running_mean, norm.running_var
        # What F.batch_norm comes to without weight and bias, less the memory that it sets aside for cuDNN.
        momentum, eps = norm.momentum, norm.eps
        result = torch.native_batch_norm(x, None, None, *statistics, norm.training, momentum, eps)[0]
        return result, None

    def _hidden(self, level: LabelLevel) -> Tensor:
        """The hidden layer of the whole maps [B, hidden, H, W], or of their different windows [U3 + 1, hidden]."""
        if level.windows is None:
            return F.relu(self.shared(level.label_input(self.class_slots, self.shared.weight.dtype)))
        return window_hidden(level, self.shared.weight, self.shared.bias, self.shared.groups)

    def folded_modulation(
        self, level: LabelLevel, divisor: Tensor | None, widths: Sequence[int]
    ) -> FoldedModulation:
        """:meth:`modulation` with the running statistics folded in (batch norm only).

        Args:
            divisor: the singular value by which the convolution behind divides its weight; positive.
            widths: channels of each part of that convolution's input, in order.
        """
        norm = self._batch_norm()
        gamma, beta = folded_rows(level, self._hidden(level), (self.gamma, self.beta))
        tables = fold(norm, gamma, self.gamma.bias, beta, self.beta.bias, divisor, widths)
        index = None if level.windows is None else level.windows.index
        B, H, W = level.symbols.shape
        return FoldedModulation(tables, index, (B, H, W))

    def normalised(self, x: Tensor, *, count: bool = True) -> tuple[Tensor, BatchStatistics]:
        """Norm(x) in training mode, and what it normalised by.

        Args:
            count: that this is one more batch.

        Raises:
            TypeError: if the norm is not one batch norm over all pictures.
        """
        norm = self.norm
        if (
            type(norm) is nn.BatchNorm2d
            and norm.momentum is not None
            and norm.num_batches_tracked is not None
        ):
            if count:
                norm.num_batches_tracked.add_(1)
            result, mean, deviation = _TellingBatchNorm.apply(
                x, norm.running_mean, norm.running_var, norm.momentum, norm.eps
            )
            return result, BatchStatistics(mean, deviation)
        if not isinstance(norm, nn.BatchNorm2d | nn.SyncBatchNorm):
            raise TypeError(f"a {type(norm).__name__} has no batch statistics")
        # A norm over several processes keeps its statistics to itself.
        features = x if x.dtype == torch.float64 else x.float()
        mean = _over_processes(features.mean(dim=(0, 2, 3)))
        variance = _over_processes((features - mean[:, None, None]).square().mean(dim=(0, 2, 3)))
        return norm(x), BatchStatistics(mean, torch.rsqrt(variance + norm.eps))

    def dense_modulation(
        self,
        label_input: Tensor,
        divisor: Tensor | None,
        widths: Sequence[int],
        *,
        compiled: bool,
    ) -> FoldedModulation:
        """:meth:`folded_modulation` by convolutions of the whole maps, without asking their device anything.

        Args:
            label_input: [B, label channels, H, W].
            divisor, widths: as of :meth:`folded_modulation`.
            compiled: by ``torch.compile``.
        """
        norm = self._batch_norm()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        constants = FoldedConstants(
            norm.running_mean, norm.running_var, norm.eps, divisor, self.shared.groups, self.gamma.groups
        )
        rows = dense_rows(label_input, self.shared, self.gamma, self.beta, constants, compiled=compiled)
        B, _, H, W = label_input.shape
        return FoldedModulation(rows.split(tuple(widths), dim=2), None, (B, H, W), compiled)

    def _batch_norm(self) -> nn.BatchNorm2d:
        """The norm, if it can be folded: a batch norm with running statistics."""
        norm = self.norm
        if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None or norm.running_var is None:
            raise TypeError("only a batch norm with running statistics can be folded")
        return norm

    def forward(self, x: Tensor, level: LabelLevel) -> Tensor:
        """x [B, C, H, W] and the label maps at its resolution -> [B, C, H, W]."""
        return self.modulation(level).apply(self.norm(x))


class _TellingBatchNorm(torch.autograd.Function):
    """Batch normalisation, and what it normalised by: mean and inverse deviation [C], with their gradients."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, running_mean: Tensor, running_var: Tensor, momentum: float, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        result, mean, deviation = torch.native_batch_norm(
            x, None, None, running_mean, running_var, True, momentum, eps
        )
        ctx.eps = eps
        ctx.save_for_backward(x, mean, deviation)
        return result, mean, deviation

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, mean, deviation = ctx.saved_tensors
        of_result, of_mean, of_deviation = grads
        grad, _, _ = torch.ops.aten.native_batch_norm_backward(
            of_result, x, None, None, None, mean, deviation, True, ctx.eps, [True, False, False]
        )
        pixels = x.numel() // x.shape[1]
        slope = -of_deviation * deviation**3 / pixels
        offset = of_mean / pixels - slope * mean
        grad.addcmul_(x, slope.to(x.dtype)[:, None, None]).add_(offset.to(x.dtype)[:, None, None])
        return grad, None, None, None, None


def _over_processes(mean: Tensor) -> Tensor:
    """The mean of all processes' means; differentiable."""
    total: Tensor = all_reduce(mean)
    return total / dist.get_world_size()
