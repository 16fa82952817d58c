"""The weights that a training step works with: normalised once, and cast once, for all forwards of the step.

In the plain form every forward divides each spectrally normalised weight by its singular value anew, after a power
iteration, and autocast rounds every weight to the working precision again. Here both are done once a step for all
layers of a network, by few operations: their number, not the arithmetic, is what a GPU waits for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from groupdnet_hub.models.blocks import CGBlock, CGNorm
from groupdnet_hub.models.layers import GroupedConv2d
from groupdnet_hub.models.spectral_norm import SHORTEST, from_stored, stored_matrix

# Working copies begin at multiples of this many values: convolutions read whole lines of memory.
_ALIGNMENT = 64


class WorkingWeights:
    """Makes the working weights of a network's :class:`GroupedConv2d`, and lends them to these layers.

    One power iteration a step takes the place of one for each forward in training mode; all else is what the layers
    do by themselves.

    Args:
        network: where it will stay; its layers may lie at any depth.
        dtype: of the copies; by default that of the parameters, and only what is normalised or joined is copied.
        joined: gamma and beta of each :class:`CGNorm` become one convolution, for dense label maps, see
            :mod:`groupdnet_hub.models.fast.joined_modulation`.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype | None = None, *, joined: bool = False) -> None:
        self.dtype = dtype
        self.norms = [m for m in network.modules() if isinstance(m, CGNorm)] if joined else []
        of_norms = {id(layer) for norm in self.norms for layer in (norm.gamma, norm.beta)}
        layers = [m for m in network.modules() if isinstance(m, GroupedConv2d) and id(m) not in of_norms]
        self.normalised, self.normalised_size = [layer for layer in layers if layer.spectral_norm], 0
        rounded = [] if dtype is None else layers
        self.copied = [layer for layer in rounded if not layer.spectral_norm]
        self.biased = [layer for layer in rounded if layer.bias is not None]
        blocks = [m for m in network.modules() if isinstance(m, CGBlock)] if joined else []
        norms = [norm.norm for block in blocks for norm in (block.norm_0, block.norm_1)]
        # Those that unfolded_blocks runs itself, without counting batches.
        self.counted = [norm for norm in norms if type(norm) is nn.BatchNorm2d]
        self.followers = [(b.norm_s.norm, b.norm_0.norm) for b in blocks if b.has_skip_convolution]
        if self.normalised:
            weights = [layer.weight for layer in self.normalised]
            device = weights[0].device
            sizes = [_aligned(weight.numel()) for weight in weights]
            self.normalised_size = sum(sizes)
            self.gains = weights[0].new_tensor([layer.gain for layer in self.normalised])
            self._row_owner = _owners([len(weight) for weight in weights], device)
            self._column_owner = _owners([weight[0].numel() for weight in weights], device)
            self._block_owner = _owners([size // _ALIGNMENT for size in sizes], device)

    @torch.no_grad()
    def iterate(self) -> SingularVectors | None:
        """Improve the singular vectors of all normalised layers by one power iteration, once a step."""
        if not self.normalised:
            return None
        matrices = [stored_matrix(layer.weight) for layer in self.normalised]
        rows, columns = ([matrix.shape[axis] for matrix in matrices] for axis in (0, 1))
        v = matrices[0].new_empty(sum(columns))
        for layer, matrix, part in zip(self.normalised, matrices, v.split(columns), strict=True):
            torch.mv(matrix.t(), layer.weight_u, out=part)
        v /= _lengths(v.split(columns))[self._column_owner]
        u = matrices[0].new_empty(sum(rows))
        for matrix, part, out in zip(matrices, v.split(columns), u.split(rows), strict=True):
            torch.mv(matrix, part, out=out)
        # For the new u, W v over its length, this length is u^T W v.
        singular = _lengths(u.split(rows))
        u /= singular[self._row_owner]
        layers, parts = self.normalised, zip(self.normalised, v.split(columns), strict=True)
        torch._foreach_copy_([layer.weight_u for layer in layers], list(u.split(rows)))
        torch._foreach_copy_(
            [layer.weight_v.view(layer.weight.shape[1:]) for layer in layers],
            [from_stored(part, layer.weight) for layer, part in parts],
        )
        return SingularVectors(u, v, singular, (rows, columns))

    def make(self, vectors: SingularVectors | None) -> tuple[Tensor, ...]:
        """Return the working weights, as tensors through which gradients flow to the parameters.

        Args:
            vectors: of :meth:`iterate`, of this network at the present weights.
        """
        parameters = self._parameters()
        return _Make.apply(self, vectors, *parameters) if parameters else ()

    @contextmanager
    def lent(self, weights: Sequence[Tensor], *, gradients: bool = True) -> Iterator[None]:
        """Have the layers use what :meth:`make` made.

        Args:
            weights: what :meth:`make` made.
            gradients: ``False`` for a network that others learn from while it stays as it is.
        """
        given = iter(weights if gradients else [weight.detach() for weight in weights])
        layers = (*self.normalised, *self.copied)
        try:
            for layer in layers:
                layer.working = next(given), layer.bias
            for layer in self.biased:
                assert layer.working is not None
                layer.working = layer.working[0], next(given)
            for norm in self.norms:
                norm.working = next(given), next(given)
            yield
            self._follow_norms()
        finally:
            for layer in layers:
                layer.working = None
            for norm in self.norms:
                norm.working = None

    @torch.no_grad()
    def _follow_norms(self) -> None:
        """Bring up to date what blocks leave aside in their joined form (:mod:`.unfolded_blocks`)."""
        counters = [norm.num_batches_tracked for norm in self.counted if norm.num_batches_tracked is not None]
        if counters:
            torch._foreach_add_(counters, 1)
        if self.followers:
            sides = zip(*self.followers, strict=True)
            copy_all(*([b for norm in side for b in norm.buffers()] for side in sides))

    def _parameters(self) -> list[Tensor]:
        """Return what the copies are made of: normalised weights, others, biases, and gamma and beta of norms."""
        found: list[Tensor] = [layer.weight for layer in (*self.normalised, *self.copied)]
        found += [layer.bias for layer in self.biased if layer.bias is not None]
        for norm in self.norms:
            assert norm.gamma.bias is not None
            assert norm.beta.bias is not None
            found += [norm.gamma.weight, norm.beta.weight, norm.gamma.bias, norm.beta.bias]
        return found

    def of_rows(self, values: Tensor) -> Tensor:
        """Return a number for each normalised layer, repeated for each of its rows."""
        return values[self._row_owner]

    def of_blocks(self, vectors: SingularVectors) -> Tensor:
        """Return what each normalised weight is multiplied by, for each of its blocks of memory, [blocks, 1]."""
        return (self.gains / vectors.singular)[self._block_owner, None]

    def sums(self, values: Tensor) -> Tensor:
        """Return a number for each block of memory, added up for each normalised layer."""
        return values.new_zeros(len(self.gains)).index_add_(0, self._block_owner, values)


class SingularVectors:
    """The singular vectors of several weights, one behind the other in the order of memory.

    Attributes:
        u: of unit length each, [sum of rows].
        v: the same, [sum of columns].
        singular: u^T W v, [weights].
        sizes: rows and columns of each weight.
    """

    def __init__(self, u: Tensor, v: Tensor, singular: Tensor, sizes: tuple[list[int], list[int]]) -> None:
        self.u, self.v, self.singular, self.sizes = u, v, singular, sizes


class _Make(torch.autograd.Function):
    """Parameters to working weights, and the gradient of these back.

    With ``W' = gain / s * W``, s the singular value ``u^T W v`` for vectors that count as constants, and G the
    gradient with respect to W', that with respect to W is ``gain / s * (G - <G, W'> / gain * u v^T)`` (Miyato et al.,
    "Spectral Normalization for Generative Adversarial Networks", ICLR 2018, Eq. 12).
    """

    @staticmethod
    def forward(
        ctx: Any, working: WorkingWeights, vectors: SingularVectors | None, *parameters: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.working, ctx.vectors = working, vectors
        memory, copies, places = _copies(working, parameters)
        if vectors is not None:
            # All at once, before they are rounded: the normalised ones come first.
            exact = memory.new_zeros(working.normalised_size, dtype=parameters[0].dtype)
            count = len(working.normalised)
            torch._foreach_copy_(_laid_out(exact, parameters[:count]), list(parameters[:count]))
            torch.mul(_blocks(exact), working.of_blocks(vectors), out=_blocks(memory[: len(exact)]))
            places, sources = places[count:], _by_groups(working, parameters)[count:]
        else:
            sources = _by_groups(working, parameters)
        if places:
            torch._foreach_copy_(places, sources)
        if working.norms:  # the scale is 1 + gamma
            torch._foreach_add_(places[-4 * len(working.norms) :][2::4], 1)
        ctx.memory = memory[: working.normalised_size]
        ctx.save_for_backward(*parameters)
        return tuple(copies)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        working, vectors, parameters = ctx.working, ctx.vectors, ctx.saved_tensors
        memory = parameters[0].new_zeros(sum(_aligned(parameter.numel()) for parameter in parameters))
        found = _laid_out(memory, parameters)
        torch._foreach_copy_(_by_groups(working, found), _split_joined(working, grads))
        if vectors is not None:
            blocks = _blocks(memory[: working.normalised_size])
            products = working.sums((blocks * _blocks(ctx.memory)).sum(dim=1)) / working.gains
            u = vectors.u * working.of_rows(products)
            rows, columns = vectors.sizes
            matrices = map(stored_matrix, found[: len(rows)])
            for matrix, left, right in zip(matrices, u.split(rows), vectors.v.split(columns), strict=True):
                matrix.addr_(left, right, alpha=-1)
            blocks *= working.of_blocks(vectors)
        return (None, None, *found)


def _copies(
    working: WorkingWeights, parameters: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Return memory for the working weights, these, and where in it the copy of each parameter goes."""
    alone = len(parameters) - 4 * len(working.norms)
    pairs = [parameters[i : i + 2] for i in range(alone, len(parameters), 2)]  # gamma's and beta's
    sizes = [_aligned(parameter.numel()) for parameter in parameters[:alone]]
    sizes += [_aligned(2 * gamma.numel()) for gamma, _ in pairs]
    memory = parameters[0].new_zeros(sum(sizes), dtype=working.dtype or parameters[0].dtype)
    copies = _laid_out(memory, parameters[:alone])
    places = list(copies)
    for i, (part, (gamma, _)) in enumerate(zip(memory.split(sizes)[alone:], pairs, strict=True)):
        shape = (2 * len(gamma), *gamma.shape[1:])
        joined = part.as_strided(shape, gamma.stride(), part.storage_offset())
        copies.append(joined)
        places += _gamma_and_beta(joined, working.norms[i // 2])
    return memory, copies, places


def _laid_out(memory: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors of the shapes and strides of ``like``, one behind the other from the start of ``memory``."""
    found, start = [], 0
    for tensor in like:
        found.append(memory.as_strided(tensor.shape, tensor.stride(), start))
        start += _aligned(tensor.numel())
    return found


def _blocks(memory: Tensor) -> Tensor:
    """View [n * 64] as [n, 64]; a block belongs to one tensor."""
    return memory.view(-1, _ALIGNMENT)


def _split_joined(working: WorkingWeights, grads: Sequence[Tensor]) -> list[Tensor]:
    """Return gradients of working weights, as one for each parameter."""
    alone = len(grads) - 2 * len(working.norms)
    found = list(grads[:alone])
    for i, grad in enumerate(grads[alone:]):
        found += _gamma_and_beta(grad, working.norms[i // 2])
    return found


def _gamma_and_beta(joined: Tensor, norm: CGNorm) -> tuple[Tensor, Tensor]:
    """Return the parts [groups, channels / groups, ...] of a joined weight or bias [2 * channels, ...]."""
    gamma, beta = joined.unflatten(0, (norm.gamma.groups, 2, -1)).unbind(1)
    return gamma, beta


def _by_groups(working: WorkingWeights, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return one tensor for each parameter; those of norms by group, as :func:`_gamma_and_beta` gives them."""
    alone = len(tensors) - 4 * len(working.norms)
    groups = [norm.gamma.groups for norm in working.norms for _ in range(4)]
    return [
        *tensors[:alone],
        *(t.unflatten(0, (g, -1)) for t, g in zip(tensors[alone:], groups, strict=True)),
    ]


def _lengths(vectors: Sequence[Tensor]) -> Tensor:
    """Return euclidean lengths [n] of n vectors, none of them zero."""
    return torch.stack(torch._foreach_norm(list(vectors))).clamp(min=SHORTEST)


def _owners(sizes: Sequence[int], device: torch.device) -> Tensor:
    """Return, for vectors of these sizes, one behind the other, the number of the vector that each value is of."""
    return torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes)).to(device)


def copy_all(into: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    """Copy tensors of any types and shapes into others of the same, in one operation for each type."""
    for dtype in dict.fromkeys(tensor.dtype for tensor in into):
        pairs = [(a, b) for a, b in zip(into, values, strict=True) if a.dtype == dtype]
        torch._foreach_copy_([a for a, _ in pairs], [b for _, b in pairs])


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
