"""The GPU of a ZeroGPU Space, which is there only inside of decorated functions. Imported before torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    from spaces import GPU as on_gpu  # noqa: N811
except ModuleNotFoundError:

    def on_gpu(function: Callable[..., Any]) -> Callable[..., Any]:
        """The function as it is."""
        return function


__all__ = ["on_gpu"]
