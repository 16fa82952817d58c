"""Refuse, or count, what makes the host wait for its device; works on a CPU, which never waits."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# Their results, or their sizes, depend on values that the device has to compute first.
_WAITING_OPERATORS = {
    "_local_scalar_dense": "reads one value (item, bool, int, float)",
    "is_nonzero": "reads one value (bool)",
    "equal": "reads whether all values are equal",
    "nonzero": "has a size that depends on values",
    "masked_select": "has a size that depends on values",
    "_unique": "has a size that depends on values",
    "_unique2": "has a size that depends on values",
    "unique_dim": "has a size that depends on values",
    "unique_consecutive": "has a size that depends on values",
    "unique_dim_consecutive": "has a size that depends on values",
    "bincount": "has a size that depends on values",
}
_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"}
# On a CPU these reach no operator.
_WAITING_FUNCTIONS = {
    "tolist": "reads all values",
    "numpy": "reads all values",
    "__array__": "reads all values",
}
_FACTORIES = {"tensor", "as_tensor", "asarray"}


class NoHostWaits:
    """A context in which the first operation that waits for the device raises ``AssertionError``.

    Waits are: values read by the host (``item``, ``tolist``, ``bool`` and the like), results whose size depends on
    values (``nonzero``, ``unique``, ``repeat_interleave`` without its size, indices that are masks), and copies between
    devices that block.

    Args:
        collect: note waits instead of raising; see ``waits``.
        as_if_copied: also count what would be a blocking copy were the step on another device than the CPU:
            ``tensor.to(device)`` without ``non_blocking=True``, and ``torch.tensor(values, device=...)``. On a CPU
            the two ends of a copy cannot be told apart, so a tensor that is already there counts too.

    Attributes:
        waits: what waited, each with the line that asked for it, outside of torch.
    """

    def __init__(self, *, collect: bool = False, as_if_copied: bool = False) -> None:
        self.waits: list[str] = []
        self._collect, self._as_if_copied = collect, as_if_copied

    def __enter__(self) -> NoHostWaits:
        self._modes = (_Functions(self._found, self._as_if_copied), _Operators(self._found))
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)

    def _found(self, what: str) -> None:
        wait = f"{what}, at {_asking_line()}"
        self.waits.append(wait)
        if not self._collect:
            raise AssertionError(f"the host waits for the device: {wait}")


class _Operators(TorchDispatchMode):
    def __init__(self, found: Callable[[str], None]) -> None:
        super().__init__()
        self._found = found

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        reason = _WAITING_OPERATORS.get(name)
        if name in _INDEXING and any(_is_mask(index) for index in args[1]):
            reason = "has a size that depends on values: an index is a mask"
        elif name == "repeat_interleave" and kwargs.get("output_size") is None:
            reason = "has a size that depends on values: give output_size"
        elif name == "_to_copy" and kwargs.get("device") is not None:
            waits = _copy_waits(args[0], torch.device(kwargs["device"]), kwargs.get("non_blocking", False))
            reason = "copies between devices" if waits else None
        elif name == "copy_" and len(args) > 1:
            non_blocking = args[2] if len(args) > 2 else kwargs.get("non_blocking", False)
            waits = _copy_waits(args[1], args[0].device, non_blocking)
            reason = "copies between devices" if waits else None
        if reason is not None:
            self._found(f"{func} {reason}")
        return func(*args, **kwargs)


class _Functions(TorchFunctionMode):
    def __init__(self, found: Callable[[str], None], as_if_copied: bool) -> None:
        super().__init__()
        self._found, self._as_if_copied = found, as_if_copied

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _WAITING_FUNCTIONS:
            self._found(f"{name} {_WAITING_FUNCTIONS[name]}")
        if self._as_if_copied:
            if name in _FACTORIES and kwargs.get("device") is not None:
                self._found(f"torch.{name} with a device copies from the host")
            if name == "to" and not kwargs.get("non_blocking", False) and _names_device(args[1:], kwargs):
                self._found("to(device) copies between devices, unless the tensor is there")
        return func(*args, **kwargs)


def _is_mask(index: Any) -> bool:
    return isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8)


def _copy_waits(source: Any, device: torch.device, non_blocking: bool) -> bool:
    if not isinstance(source, Tensor) or source.device == device:
        return False
    if "meta" in (source.device.type, device.type):
        return False
    # A copy from pageable memory is staged, and waits whatever was asked for.
    return not non_blocking or (source.device.type == "cpu" and not source.is_pinned())


def _names_device(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    if kwargs.get("device") is not None or isinstance(kwargs.get("other"), Tensor):
        return True
    return bool(args) and isinstance(args[0], (str, torch.device, int, Tensor))


def _asking_line() -> str:
    """The innermost line outside of torch and of this file."""
    torch_folder = str(Path(torch.__file__).parent)
    for frame in reversed(traceback.extract_stack()):
        if frame.filename != __file__ and not frame.filename.startswith(torch_folder):
            return f"{Path(frame.filename).name}:{frame.lineno}: {frame.line}"
    return "a line of torch"
