"""Reading the tensors of a TorchScript archive without its code: nothing of it is compiled, unpickled or run.

An archive of ``torch.jit.save`` is a zip of uncompressed entries: ``TOP/data.pkl`` describes the modules,
``TOP/data/N`` holds the numbers of a storage, and ``TOP/code/`` the program, which is left alone here. ``data.pkl`` is
written in pickle's opcodes. They are followed by hand, and what a pickle would call is only noted as a :class:`_Made`.
"""

from __future__ import annotations

import math
import os
import pickletools  # nosec B403: it lists opcodes and runs none
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# The description of a network of 100 layers takes 30 KB.
_MAX_DESCRIPTION = 16 * 2**20
_MAX_VALUES = 100_000
_MAX_NAME = 1000
_TYPES = {"FloatStorage": torch.float32, "DoubleStorage": torch.float64, "HalfStorage": torch.float16}
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = ("GLOBAL", "BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT")
_EMPTY = {"EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_LIST": list}


@dataclass
class _Made:
    """What a pickle would make by a call: its name, its arguments, and the state that would be set on it."""

    name: str
    arguments: Any
    state: Any = None


def is_torchscript(path: str | os.PathLike[str]) -> bool:
    """Tell whether a file is an archive of ``torch.jit.save``; False for a missing one."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return _top(archive) is not None
    except zipfile.BadZipFile:
        return False


def read_torchscript_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the tensors of the modules of an archive by name, as ``state_dict`` would have them, on the CPU.

    Raises:
        ValueError: for a missing or damaged file, one of another kind, and one that unpacks to more than its size.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            top = _top(archive)
            if top is None:
                raise ValueError("it has no data.pkl and constants.pkl")
            if f"{top}/byteorder" in archive.namelist() and archive.read(f"{top}/byteorder") != b"little":
                raise ValueError("its numbers are not in little-endian order")
            description = _stored(archive, f"{top}/data.pkl", size)
            if len(description) > _MAX_DESCRIPTION:
                raise ValueError("the description of its modules is too long")
            found: dict[str, Tensor] = {}
            left = size
            for name, made in _named_tensors(_follow(description)).items():
                found[name] = _tensor(archive, top, made, left)
                left -= found[name].nbytes
            return found
    except Exception as error:  # the zip reader and the reader of opcodes raise many kinds
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise ValueError(
            f"{path.name} cannot be read as a TorchScript archive ({reason}): download or copy it again"
        ) from None


def _top(archive: zipfile.ZipFile) -> str | None:
    """Return the folder of an archive's entries; None for an archive of another kind."""
    names = set(archive.namelist())
    tops = {name.split("/", 1)[0] for name in names}
    return next((top for top in tops if {f"{top}/data.pkl", f"{top}/constants.pkl"} <= names), None)


def _stored(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Return an entry, which torch never compresses."""
    entry = archive.getinfo(name)
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > limit:
        raise ValueError(f"its entry {name} unpacks to more than its size")
    return archive.read(entry)


def _follow(description: bytes) -> Any:
    """Return the value that opcodes describe, with a :class:`_Made` in the place of each object."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}

    def since_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    for opcode, argument, _ in pickletools.genops(description):
        code = opcode.name
        if code == "STOP":
            return stack.pop()
        if code == "MARK":
            marks.append(len(stack))
        elif code in _VALUES:
            stack.append(argument)
        elif code in _CONSTANTS:
            stack.append(_CONSTANTS[code])
        elif code in _EMPTY:
            stack.append(_EMPTY[code]())
        elif code in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif code in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif code == "TUPLE":
            stack.append(tuple(since_mark()))
        elif code in ("TUPLE1", "TUPLE2", "TUPLE3"):
            stack[-int(code[-1]) :] = [tuple(stack[-int(code[-1]) :])]
        elif code == "BINPERSID":
            stack.append(_Made("storage", stack.pop()))
        elif code in ("REDUCE", "NEWOBJ"):
            arguments, name = stack.pop(), stack.pop()
            stack.append(_Made(_text(name), arguments))
        elif code == "BUILD":
            state = stack.pop()
            stack[-1].state = state
        elif code == "APPEND":
            item = stack.pop()
            stack[-1].append(item)
        elif code == "APPENDS":
            items = since_mark()
            stack[-1].extend(items)
        elif code in ("SETITEM", "SETITEMS"):
            items = since_mark() if code == "SETITEMS" else [stack.pop(-2), stack.pop()]
            stack[-1].update(zip(map(_text, items[::2]), items[1::2], strict=True))
        elif code != "PROTO":
            raise ValueError(f"its description has the opcode {code}, which TorchScript does not write")
    raise ValueError("its description has no end")


def _named_tensors(module: Any) -> dict[str, _Made]:
    """Return the descriptions of the tensors of a module and of those in it by name."""
    found: dict[str, _Made] = {}
    waiting = [("", module)]
    visited = 0
    while waiting:
        prefix, one = waiting.pop()
        for name, value in one.state.items() if isinstance(one.state, dict) else ():
            visited += 1  # a description may name one module many times, or inside of itself
            if visited > _MAX_VALUES or len(prefix) + len(name) > _MAX_NAME:
                raise ValueError("its modules are too many or too deep")
            if not isinstance(value, _Made):
                continue
            if value.name.startswith(("__torch__.", "__torch__ ")):
                waiting.append((f"{prefix}{name}.", value))
            elif value.name == "torch._utils _rebuild_tensor_v2":
                found[f"{prefix}{name}"] = value
    return found


def _text(value: Any) -> str:
    """Return a name or a key; others could cost much to print or to hash."""
    if not isinstance(value, str):
        raise ValueError("a name in its description is not a text")
    return value


def _tensor(archive: zipfile.ZipFile, top: str, made: _Made, limit: int) -> Tensor:
    """Return a copy of a tensor, of at most ``limit`` bytes."""
    storage, offset, shape, stride, *_ = made.arguments
    _, kind, key, _, count = storage.arguments
    numbers = (offset, count, *shape, *stride)
    if not all(type(number) is int and 0 <= number < 2**48 for number in numbers):
        raise ValueError("a tensor has sizes that are not whole numbers")
    dtype = _TYPES.get(_text(kind).removeprefix("torch "))
    if dtype is None:
        raise ValueError(f"a tensor is of the type {kind[:80]}")
    last = offset + sum((side - 1) * step for side, step in zip(shape, stride, strict=True))
    data = _stored(archive, f"{top}/data/{_text(key)}", limit)
    if len(data) != count * dtype.itemsize or last >= count or math.prod(shape) * dtype.itemsize > limit:
        raise ValueError("a tensor is larger than its numbers")
    flat = torch.frombuffer(bytearray(data), dtype=dtype)
    return flat.as_strided(shape, stride, offset).clone(memory_format=torch.contiguous_format)
