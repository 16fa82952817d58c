"""A folder as tar files of limited size, with their checksums in ``kit.json``."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groupdnet_hub.io.atomic import atomic_writes

MANIFEST = "kit.json"
_PART = re.compile(r"kit-\d+\.tar")
# A tar file ends with a record of zeros, and a file takes a block for its header and whole blocks for its content;
# a long name takes two blocks more.
_END, _BLOCK, _LONG_NAME = tarfile.RECORDSIZE, tarfile.BLOCKSIZE, 100


def write_parts(
    source: Path, order: Sequence[str], folder: Path, part_bytes: int, facts: Mapping[str, Any], script: Path
) -> list[Path]:
    """Write the files below ``source`` as ``kit-01.tar`` and so on; equal files give equal parts.

    Args:
        source: folder of what is packed.
        order: names in ``source``, each a file or a folder, in the order in which they are packed: what changes least
            comes first, so that the first parts stay what they were.
        folder: made if it is missing; the parts of an earlier kit in it are replaced.
        part_bytes: largest size of a part.
        facts: what the manifest says beside the parts.
        script: copied beside them.

    Returns:
        The parts.

    Raises:
        ValueError: for a file that fits into no part.
    """
    files = [path for name in order for path in _files(source / name)]
    parts: list[list[Path]] = [[]]
    room = part_bytes - _END
    for path in files:
        name = path.relative_to(source).as_posix()
        size = _size(name, path.stat().st_size)
        if size > part_bytes - _END:
            raise ValueError(
                f"{name} has {path.stat().st_size / 1e6:.1f} MB and does not fit into a part of "
                f"{part_bytes / 1e6:g} MB: raise --part_mb, or leave it out"
            )
        if size > room:
            parts.append([])
            room = part_bytes - _END
        parts[-1].append(path)
        room -= size
    names = [f"kit-{number:02d}.tar" for number in range(1, len(parts) + 1)]
    with atomic_writes(folder) as partial:
        described = []
        for name, content in zip(names, parts, strict=True):
            with tarfile.open(partial / name, "w", format=tarfile.PAX_FORMAT) as tar:
                for path in content:
                    _add(tar, path, path.relative_to(source).as_posix())
            described.append(part_entry(partial / name, len(content)))
        manifest = {"format": 1, **facts, "parts": described}
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        shutil.copyfile(script, partial / script.name)
    for path in folder.iterdir():
        if _PART.fullmatch(path.name) and path.name not in names:
            path.unlink()
    return [folder / name for name in names]


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    return sorted(Path(root) / name for root, _, names in os.walk(path) for name in names)


def _size(name: str, content: int) -> int:
    long = len(name.encode()) > _LONG_NAME or not name.isascii()
    named = 2 * _BLOCK + -(-2 * len(name.encode()) // _BLOCK) * _BLOCK if long else 0
    return _BLOCK + -(-content // _BLOCK) * _BLOCK + named


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    """Add a file without times and owners, so that equal files give equal parts."""
    entry = tarfile.TarInfo(name)
    entry.size = path.stat().st_size
    with path.open("rb") as file:
        tar.addfile(entry, file)


def part_entry(path: Path, files: int) -> dict[str, Any]:
    """Return what the manifest says of a part that holds ``files`` files."""
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    return {"name": path.name, "bytes": len(content), "sha256": digest, "files": files}
