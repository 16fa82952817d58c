"""Files that harm a careless reader, and what watches the reader."""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from groupdnet_hub import GroupDNet, load_system

LOADERS: tuple[Callable[[Path], Any], ...] = (GroupDNet.from_pretrained, load_system)
_EXECUTING = ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen")
_seen: list[str] = []
# How many files were refused as they should be; the summary of the test run tells.
refused_files = 0
_watching = False


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event in _EXECUTING:
        _seen.append(f"{event}{arguments}")


sys.addaudithook(_watch)


class Payload:
    """Unpickling this makes a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = str(canary)

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (self.canary,))


def pickles(canary: Path) -> Iterator[tuple[str, bytes]]:
    """Harmful pickles by the name of their form: plain of each protocol, torch's zip, and torch's old form."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield f"protocol {protocol}", pickle.dumps({"decoder.fc.weight": Payload(canary)}, protocol)
    file = canary.with_name("made.pth")
    for zipped in (True, False):
        torch.save({"decoder.fc.weight": Payload(canary)}, file, _use_new_zipfile_serialization=zipped)
        yield f"torch, zip {zipped}", file.read_bytes()
    file.unlink()


def safetensors(header: Mapping[str, Any] | bytes, data: bytes = b"") -> bytes:
    """A safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor(*shape: int, dtype: str = "F32", begin: int = 0, end: int = 0) -> dict[str, Any]:
    """An entry of such a header."""
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


@contextmanager
def refusal(
    match: str,
    *,
    error: type[Exception] | tuple[type[Exception], ...] = ValueError,
    megabytes: int = 64,
    seconds: float = 1,
) -> Iterator[None]:
    """The block must end with this error, within so much CPU time and more memory, and execute nothing."""
    global _watching, refused_files
    _seen.clear()
    before, started = peak_memory(reset=True), time.process_time()
    _watching = True
    try:
        with pytest.raises(error, match=match) as caught:
            yield
    finally:
        _watching = False
    assert time.process_time() - started < seconds, "it took too long"
    assert (peak_memory() - before) / 2**20 < megabytes, "it took memory"
    assert len(str(caught.value)) < 2000, "the message is endless"
    assert not _seen
    refused_files += 1


def refused(folder: Path, match: str, **expected: Any) -> None:
    """A model folder is refused so by every loader."""
    for load in LOADERS:
        with refusal(match, **expected):
            load(folder)


def peak_memory(reset: bool = False) -> int:
    """The most memory that this process held since the last reset, in bytes; 0 where Linux does not say."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
