"""What accelerate pickles in a checkpoint (optimisers, random states) as JSON and tensors, and back."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

# Of what numpy's generators keep.
_ARRAY_TYPES = ("bool", "uint8", "uint32", "uint64", "int32", "int64", "float32", "float64")


def to_json(value: Any, keep: Callable[[Tensor], Any]) -> Any:
    """Return a value as JSON; each type that JSON lacks becomes an object with one telling key.

    Args:
        value: of None, bool, int, float, str, list, tuple, dict, tensors and numpy arrays, nested.
        keep: takes a tensor into store and returns the JSON by which it is found again.

    Raises:
        ValueError: for a value of another type.
    """
    if isinstance(value, Tensor):
        return {"tensor": keep(value)}
    if isinstance(value, np.ndarray):
        if value.dtype.name not in _ARRAY_TYPES:
            raise ValueError(f"an array of {value.dtype} cannot be stored; {', '.join(_ARRAY_TYPES)} can")
        content = torch.from_numpy(np.frombuffer(value.tobytes(), np.uint8).copy())
        return {"array": keep(content), "type": value.dtype.name, "shape": list(value.shape)}
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, list):
        return [to_json(entry, keep) for entry in value]
    if isinstance(value, tuple):
        return {"tuple": [to_json(entry, keep) for entry in value]}
    if isinstance(value, dict):
        return {"dict": [[to_json(key, keep), to_json(entry, keep)] for key, entry in value.items()]}
    raise ValueError(f"a value of type {type(value).__name__} cannot be stored without pickle")


def from_json(tree: Any, find: Callable[[Any], Tensor]) -> Any:
    """Return the value that :func:`to_json` was given.

    Args:
        tree: JSON.
        find: returns the tensor that was kept.

    Raises:
        ValueError: for JSON that :func:`to_json` does not write.
    """
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    if isinstance(tree, list):
        return [from_json(entry, find) for entry in tree]
    try:
        if "tensor" in tree:
            return find(tree["tensor"])
        if "array" in tree:
            if tree["type"] not in _ARRAY_TYPES:
                raise ValueError(f"an array of the type {tree['type']!r}")
            content = find(tree["array"]).numpy().tobytes()
            return np.frombuffer(content, dtype=tree["type"]).reshape(tree["shape"]).copy()
        if "float" in tree:
            return float(tree["float"])
        if "tuple" in tree:
            return tuple(from_json(entry, find) for entry in tree["tuple"])
        return {from_json(key, find): from_json(entry, find) for key, entry in tree["dict"]}
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"the state's description is damaged: {error!r}") from None
