"""The GPU that a model runs on: this machine's own, or the one that a ZeroGPU Space lends to a visitor's call.

The GPU of a ZeroGPU Space is there only inside of functions that are decorated with :func:`on_gpu`. Its package must be
imported before torch, and so must this module.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

try:
    from spaces import GPU as on_gpu  # noqa: N811
except ModuleNotFoundError:

    def on_gpu(function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function as it is."""
        return function


import torch

IS_LENT = bool(os.environ.get("SPACES_ZERO_GPU"))

__all__ = ["IS_LENT", "device_options", "on_gpu"]


def device_options() -> dict[str, Any]:
    """Return the options of ``from_pretrained`` for the device: bfloat16 on a GPU, float32 elsewhere."""
    on_cuda = torch.cuda.is_available()
    return {
        "device": "cuda" if on_cuda else "cpu",
        "dtype": torch.bfloat16 if on_cuda else torch.float32,
    }
