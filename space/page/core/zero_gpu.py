"""The GPU of a ZeroGPU Space, which is there only inside of decorated functions. Imported before torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

try:
    from spaces import GPU as on_gpu  # noqa: N811
except ModuleNotFoundError:

    def on_gpu(function: Callable[..., Any]) -> Callable[..., Any]:
        """The function as it is."""
        return function


IS_LENT = bool(os.environ.get("SPACES_ZERO_GPU"))

__all__ = ["IS_LENT", "on_gpu"]
