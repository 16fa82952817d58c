"""CG-Blocks on scale and shift that were computed ahead: for training, and where nothing can be folded in.

All of it computes :meth:`groupdnet_hub.models.blocks.CGBlock.forward` (Eq. 3 to 5). One set of modulations serves any
number of codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn import functional as F

from groupdnet_hub.models.blocks import CGBlock, CGNorm
from groupdnet_hub.models.decoder import GroupDecoder
from groupdnet_hub.models.fast.convolutions import convolve_groups
from groupdnet_hub.models.fast.joined_modulation import JoinedModulation, joined_modulation
from groupdnet_hub.models.fast.label_windows import (
    LabelLevel,
    rows_from_patches,
    window_hidden,
    window_patches,
)
from groupdnet_hub.models.fast.modulation import (
    AnyModulation,
    BatchStatistics,
    FixedModulation,
    FoldedModulation,
    Modulation,
)
from groupdnet_hub.models.layers import LEAKY_SLOPE, GroupedConv2d

# A CG-Norm and the convolution behind it.
_NORMS = {"norm_0": "conv_0", "norm_1": "conv_1", "norm_s": "conv_s"}


def blocks_of(decoder: GroupDecoder) -> Iterator[CGBlock]:
    """Yield the blocks of a decoder in their order."""
    for block in decoder.blocks:
        assert isinstance(block, CGBlock)
        yield block


def norms_of(block: CGBlock) -> dict[str, tuple[CGNorm, GroupedConv2d]]:
    """Return the CG-Norms of a block by name, each with the convolution behind it."""
    names = _NORMS if block.has_skip_convolution else ("norm_0", "norm_1")
    return {name: (getattr(block, name), getattr(block, _NORMS[name])) for name in names}


def hidden_layer(norm: CGNorm, level: LabelLevel, class_slots: int) -> Tensor:
    """Return the layer behind the first convolution of a CG-Norm.

    Returns:
        [B, hidden, H, W] of the whole maps, or [U3 + 1, hidden] of their different windows.
    """
    if level.windows is None:
        return F.relu(norm.shared(level.label_input(class_slots, norm.shared.weight.dtype)))
    return window_hidden(level, norm.shared.weight, norm.shared.bias, norm.shared.groups)


def modulations(block: CGBlock, level: LabelLevel, class_slots: int) -> dict[str, Modulation]:
    """Return scale and shift of every CG-Norm of a block, by look-up where ``level`` has windows; differentiable."""
    return {name: _modulation(norm, level, class_slots) for name, (norm, _) in norms_of(block).items()}


def _modulation(norm: CGNorm, level: LabelLevel, class_slots: int) -> Modulation:
    hidden = hidden_layer(norm, level, class_slots)
    if level.windows is None:
        return Modulation(1 + norm.gamma(hidden), norm.beta(hidden), None)
    patches = window_patches(level, hidden, norm.gamma.groups)
    # In the precision of the weights that a training step lends, if it does; sums stay in that of the parameters.
    weights = _weight(norm.gamma), _weight(norm.beta)
    patches = patches.to(weights[0].dtype)
    gamma, beta = (rows_from_patches(patches, weight, None).to(hidden.dtype) for weight in weights)
    if norm.gamma.bias is not None and norm.beta.bias is not None:
        gamma, beta = gamma + norm.gamma.bias, beta + norm.beta.bias
    return Modulation(1 + gamma, beta, level.windows.index)


def _weight(layer: Any) -> Tensor:
    """Return the weight that a training step lends a layer, or its own; MulNet's layers borrow none."""
    working = getattr(layer, "working", None)
    weight: Tensor = layer.weight if working is None else working[0]
    return weight


def is_joined(block: CGBlock) -> bool:
    """Return whether a training step lends the block's CG-Norms joined weights: they then take whole label maps."""
    return block.norm_0.working is not None


def joined_modulations(block: CGBlock, level: LabelLevel, class_slots: int) -> dict[str, JoinedModulation]:
    """Return scale and shift of every CG-Norm of a block by the joined weights that a training step lends."""
    assert block.norm_0.working is not None
    labels = level.label_input(class_slots, block.norm_0.working[0].dtype)
    found = {}
    for name, (norm, _) in norms_of(block).items():
        assert norm.working is not None
        found[name] = joined_modulation(F.relu(norm.shared(labels)), *norm.working, norm.gamma.groups)
    return found


def run(
    block: CGBlock,
    x: Tensor,
    modulations: Mapping[str, AnyModulation],
    statistics: dict[str, BatchStatistics] | None = None,
) -> Tensor:
    """Return a block's output [B, out, H, W] for x [B, in, H, W]; differentiable.

    Args:
        block: the block.
        x: float [B, in, H, W].
        modulations: of :func:`modulations`, :func:`joined_modulations` or
            :func:`groupdnet_hub.models.fast.folded_blocks.fold`, at the resolution of x.
        statistics: in training mode, what the batch norms normalise by is written here, by their names.
    """
    if is_joined(block):
        return _run_joined(block, x, modulations, statistics)
    norms = norms_of(block)

    def convolved(x: Tensor, name: str, slope: float | None) -> Tensor:
        (norm, convolution), modulation = norms[name], modulations[name]
        if isinstance(modulation, FoldedModulation):
            return convolve_groups(convolution, modulation.apply(x, slope), 0, block.groups)
        if isinstance(modulation, FixedModulation):
            return convolution(modulation.apply(x, slope))
        if statistics is None:
            return convolution(modulation.apply(norm.norm(x), slope))
        normalised, statistics[name] = normalise(norm.norm, x)
        return convolution(modulation.apply(normalised, slope))

    skip = convolved(x, "norm_s", None) if block.has_skip_convolution else x
    return skip + convolved(convolved(x, "norm_0", LEAKY_SLOPE), "norm_1", LEAKY_SLOPE)


def _run_joined(
    block: CGBlock,
    x: Tensor,
    modulations: Mapping[str, AnyModulation],
    statistics: dict[str, BatchStatistics] | None,
) -> Tensor:
    """Run a block in a training step that lends joined weights.

    norm_0 and norm_s normalise the same x, which is done once; their running statistics are the same.
    """

    def normalised(x: Tensor, name: str) -> Tensor:
        if isinstance(modulations[name], FixedModulation):
            return x
        result, found = _normalise_uncounted(getattr(block, name).norm, x, tell=statistics is not None)
        if statistics is not None and found is not None:
            statistics[name] = found
        return result

    first = normalised(x, "norm_0")
    y = block.conv_0(modulations["norm_0"].apply(first, LEAKY_SLOPE))
    y = block.conv_1(modulations["norm_1"].apply(normalised(y, "norm_1"), LEAKY_SLOPE))
    if not block.has_skip_convolution:
        return x + y
    if statistics is not None:
        statistics["norm_s"] = statistics["norm_0"]
    return y.add_(block.conv_s(modulations["norm_s"].apply(first)))


def normalise(norm: nn.Module, x: Tensor, *, count: bool = True) -> tuple[Tensor, BatchStatistics]:
    """Return ``norm(x)`` of training mode, and what it normalised by (Eq. 4), with gradients.

    Args:
        norm: a batch norm without affine parameters.
        x: [B, C, H, W].
        count: whether this counts as one more batch.

    Raises:
        TypeError: if the norm is not one batch norm over all pictures.
    """
    if type(norm) is nn.BatchNorm2d and norm.momentum is not None and norm.num_batches_tracked is not None:
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


def _normalise_uncounted(norm: nn.Module, x: Tensor, *, tell: bool) -> tuple[Tensor, BatchStatistics | None]:
    """Return ``norm(x)``, and on request what it normalised by; an ordinary batch norm does not count the batch."""
    if tell:
        return normalise(norm, x, count=False)
    if type(norm) is not nn.BatchNorm2d or norm.momentum is None:
        return norm(x), None
    # What F.batch_norm comes to without weight and bias, less the memory that it sets aside for cuDNN.
    result = torch.native_batch_norm(
        x, None, None, norm.running_mean, norm.running_var, norm.training, norm.momentum, norm.eps
    )[0]
    return result, None


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
    """Return the mean of all processes' means; differentiable."""
    total: Tensor = all_reduce(mean)
    return total / dist.get_world_size()
