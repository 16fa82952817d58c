"""A limit to the length of gradients (Pascanu et al., "On the difficulty of training recurrent neural networks")."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor, nn


class GradientClip:
    """Cuts the gradient of a network, all of its weights together, to a length where it is longer.

    Args:
        accelerator: knows whether the gradients of a step are complete, and how they were scaled.
        max_norm: the length; None leaves all gradients as they are.
    """

    def __init__(self, accelerator: Accelerator, max_norm: float | None) -> None:
        self.accelerator, self.max_norm = accelerator, max_norm
        self._last: dict[str, Tensor] = {}

    def __call__(self, name: str, network: nn.Module) -> None:
        """Cut the gradient of a network before its optimiser's step; nothing is done between accumulated batches.

        Args:
            name: what the length is reported as.
            network: the network, after its backward pass.
        """
        if self.max_norm is None or not self.accelerator.sync_gradients:
            return
        norm = self.accelerator.clip_grad_norm_(network.parameters(), self.max_norm)
        assert norm is not None
        if name not in self._last:
            self._last[name] = torch.zeros_like(norm)
        # In place: a recorded step continues in the same memory. A step that fp16's scaling gives up is not counted.
        self._last[name].copy_(torch.where(norm.isfinite(), norm, self._last[name]))

    def report(self) -> dict[str, Tensor]:
        """Return the lengths before they were cut, of the last step; to be logged."""
        return dict(self._last)
