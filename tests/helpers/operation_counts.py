"""Count what a step dispatches: each operation is at least one launch on a GPU, for which its host works."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


class OperationCounts(TorchDispatchMode):
    """A context that counts dispatched operations, forward and backward; views of tensors are none.

    Attributes:
        counts: by name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts.values())

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if not _is_view(func):
            self.counts[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


def _is_view(func: Any) -> bool:
    """Whether all results are the same memory as an argument that stays as it is."""
    returns = func._schema.returns
    aliases = [result.alias_info for result in returns]
    return bool(aliases) and all(alias is not None and not alias.is_write for alias in aliases)


class MultiplyAccumulates(TorchDispatchMode):
    """A context that adds up the multiply-accumulates of convolutions and matrix products, forward and backward.

    Attributes:
        total: of all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name == "convolution":
            self.total += result.numel() * args[1][0].numel()
        elif name == "convolution_backward":
            grad, _, weight = args[:3]
            self.total += grad.numel() * weight[0].numel() * sum(args[-1][:2])
        elif name in ("mm", "bmm"):
            self.total += args[0].numel() * args[1].shape[-1]
        return result
