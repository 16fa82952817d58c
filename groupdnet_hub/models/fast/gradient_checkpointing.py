"""Gradient checkpointing: parts of a network keep what they read, and compute the rest again for their gradients.

Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from groupdnet_hub.models.encoder import Gaussian, GroupEncoder

Result = TypeVar("Result")


class CheckpointedEncoder(GroupEncoder):
    """A :class:`GroupEncoder` that keeps nothing for its gradients if :attr:`gradient_checkpointing` is set."""

    gradient_checkpointing = False

    def forward(self, image: Tensor, label: Tensor) -> Gaussian:
        """Encode as :class:`GroupEncoder` does."""
        if not self.gradient_checkpointing:
            return super().forward(image, label)
        return recomputed(self, super().forward, image, label)


def recomputed(network: nn.Module, function: Callable[..., Result], *inputs: Any) -> Result:
    """Return ``function(*inputs)``, of which nothing but the inputs is kept; gradients compute it a second time.

    The second time leaves no trace: batch norms do not follow the batch once more, and spectral norms divide by the
    singular values of the first time.

    Args:
        network: whose layers the function runs, in the plain form or with the weights that a training step lends.
        function: draws no random numbers.
        inputs: what it reads.
    """
    if not torch.is_grad_enabled():
        return function(*inputs)
    lent = [(module, module.working) for module in network.modules() if hasattr(module, "working")]
    buffers = list(network.buffers())
    before = [buffer.clone() for buffer in buffers]
    result: Result = checkpoint(
        function,
        *inputs,
        use_reentrant=False,
        preserve_rng_state=False,
        context_fn=lambda: (nullcontext(), _as_before(lent, buffers, before)),
    )
    return result


@contextmanager
def _as_before(
    lent: Sequence[tuple[nn.Module, Any]], buffers: Sequence[Tensor], before: Sequence[Tensor]
) -> Iterator[None]:
    """Lend layers what they were lent, and let buffers have the values that they had; then as it was, again."""
    now = [module.working for module, _ in lent], [buffer.clone() for buffer in buffers]
    try:
        _set(lent, buffers, before)
        yield
    finally:
        _set([(module, weights) for (module, _), weights in zip(lent, now[0], strict=True)], buffers, now[1])


def _set(lent: Sequence[tuple[nn.Module, Any]], buffers: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for module, weights in lent:
        module.working = weights
    for buffer, value in zip(buffers, values, strict=True):
        buffer.data.copy_(value)  # what the backward pass keeps of it is not in question
