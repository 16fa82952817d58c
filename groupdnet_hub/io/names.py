"""File names of listings, and how they differ from those on disk: Unicode normal forms, upper case, backslashes.

An accented letter may be one code point (NFC, as most keyboards type it) or a letter and an accent (NFD, as older macOS
stored it); a listing that went through another system may have the other form.
"""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path


def normal(name: str) -> str:
    """Return a name in the normal form in which names are compared, NFC."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


class Names:
    """The files that names stand for, below one folder. Each folder is listed once at most, and only where needed.

    Args:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: dict[Path, tuple[set[str], dict[str, list[str]]]] = {}

    def file(self, name: str) -> Path:
        """Return the file of a name: that of exactly this name, or the one that differs only in the normal form.

        Backslashes separate folders where no file has them in its name. A missing file has the path that the name says.
        """
        exact = self._folder / name
        if "\\" in name and not os.path.exists(exact):
            return self.file(name.replace("\\", "/"))
        if name.isascii():
            return exact
        path = self._folder
        for part in exact.relative_to(path).parts:
            path /= self._on_disk(path, part)
        return path

    def _on_disk(self, folder: Path, name: str) -> str:
        """Return a name of the folder: this one, or the only one of its normal form."""
        if name.isascii():
            return name
        if folder not in self._found:
            names = _names_in(folder)
            by_form: dict[str, list[str]] = {}
            for there in names:
                by_form.setdefault(normal(there), []).append(there)
            self._found[folder] = set(names), by_form
        exact, by_form = self._found[folder]
        same = by_form.get(normal(name), [])
        return same[0] if name not in exact and len(same) == 1 else name


def near_name(path: Path) -> str | None:
    """Return the name of a file that differs from a missing one in case or normal form alone, or in that of its folder.

    It is relative to the folder of the missing file, or to that folder's.
    """
    for folder, parts in ((path.parent, [path.name]), (path.parent.parent, [path.parent.name, path.name])):
        there = folder
        for part in parts:
            wanted = _folded(part)
            near = next((name for name in sorted(_names_in(there)) if _folded(name) == wanted), None)
            if near is None:
                break
            there /= near
        else:
            return there.relative_to(folder).as_posix()
    return None


def _folded(name: str) -> str:
    return normal(normal(name).casefold())


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
