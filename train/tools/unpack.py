"""Unpack a training kit, part by part: ``python unpack.py kit-01.tar kit-02.tar ... --to FOLDER``.

It needs only Python, and ``kit.json`` beside it, which lists the parts. It may be started once for each part as they
arrive, and again for parts that were unpacked before; it prints which parts are still missing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NoReturn

# Folder in the unpacked kit with a copy of kit.json, and a file for each unpacked part.
_RECORDS = ".kit"


def unpack(parts: Sequence[Path], folder: Path, manifest: Path) -> list[str]:
    """Unpack some parts of a kit.

    Args:
        parts: tar files.
        folder: target folder, created if it is missing; files of the kit replace those of the same names.
        manifest: ``kit.json``.

    Returns:
        The names of the parts that are still missing.

    Raises:
        ValueError: for a part that is damaged, belongs to another kit, or holds a path that leads out of the folder;
            nothing of it is written.
    """
    text = manifest.read_text(encoding="utf-8")
    known = {part["name"]: part for part in json.loads(text)["parts"]}
    records = folder / _RECORDS
    records.mkdir(parents=True, exist_ok=True)
    before = records / "kit.json"
    if before.is_file() and before.read_text(encoding="utf-8") != text:
        raise ValueError(f"{folder} holds another kit: choose another folder, or remove it")
    _write_atomically(before, text.encode())
    for path in parts:
        if path.name not in known:
            raise ValueError(f"{path.name} is not a part of this kit; its parts are {', '.join(known)}")
        part = known[path.name]
        if path.stat().st_size != part["bytes"] or _sha256(path) != part["sha256"]:
            raise ValueError(f"{path} is damaged or cut off (its checksum differs): copy it again")
        _extract(path, folder)
        _write_atomically(records / path.name, b"")
    return [name for name in known if not (records / name).exists()]


def _extract(path: Path, folder: Path) -> None:
    root = folder.resolve()
    with tarfile.open(path, "r:") as tar:
        members = tar.getmembers()
        for member in members:
            name = PurePosixPath(member.name)
            inside = not name.is_absolute() and ".." not in name.parts and "\\" not in member.name
            if not (inside and member.isreg() and name.parts and ":" not in name.parts[0]):
                raise ValueError(f"{path.name} holds {member.name!r}, which is not a file inside the folder")
            if not (root / name).parent.resolve().is_relative_to(root) or name.parts[0] == _RECORDS:
                raise ValueError(f"{path.name} holds {member.name!r}, which leads out of {folder}")
        for member in members:
            content = tar.extractfile(member)
            assert content is not None  # regular files have content
            target = folder / member.name
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.partial")
            with content, partial.open("wb") as file:
                shutil.copyfileobj(content, file)
            os.replace(partial, target)


def _write_atomically(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    os.replace(partial, path)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as those of the package's scripts are."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message.removeprefix('argument ')}; see {self.prog} --help\n")


def main(argv: Sequence[str] | None = None) -> None:
    """Unpack, and print which parts are missing."""
    parser = _Parser(prog="unpack.py", description=__doc__)
    parser.add_argument(
        "parts", nargs="+", type=Path, metavar="PART", help="kit-01.tar and so on, in any order"
    )
    parser.add_argument("--to", type=Path, required=True, help="folder of the unpacked kit")
    parser.add_argument("--manifest", type=Path, help="kit.json; by default the one beside this script")
    args = parser.parse_args(argv)
    manifest = args.manifest or Path(__file__).resolve().parent / "kit.json"
    missing = unpack(args.parts, args.to, manifest)
    print(f"{args.to} lacks {', '.join(missing)}" if missing else f"all parts are in {args.to}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError, KeyError, tarfile.TarError) as error:
        sys.exit(f"unpack.py: {error}")
