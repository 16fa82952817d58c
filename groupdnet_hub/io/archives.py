"""Zip archives of a few small files, read within limits."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path, PurePosixPath

# Zip files know no earlier date. One that is always the same makes the same archive of the same files.
_DATE = (1980, 1, 1, 0, 0, 0)
# What file managers add when they make an archive of a folder.
_CLUTTER = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError)


def archive_of(files: Mapping[str, bytes]) -> bytes:
    """Return a zip archive of files by their names. It is not compressed: PNG files are already."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), content)
    return buffer.getvalue()


def files_in(
    source: bytes | str | os.PathLike[str], what: str, *, most_files: int, most_bytes: int
) -> dict[str, bytes]:
    """Read the files of a zip archive into memory, by their paths in it.

    What all its files lie in, as when a folder was packed with its name, is left out of the paths, and so are the
    files that file managers add.

    Args:
        source: the archive, or its path.
        what: its name in messages.
        most_files: more are refused before one is read.
        most_bytes: of all files together, unpacked; more are refused before one is read.

    Raises:
        ValueError: for what is no zip archive, is damaged or encrypted, holds too much, or paths that lead out of it.
    """
    try:
        with zipfile.ZipFile(BytesIO(source) if isinstance(source, bytes) else source) as archive:
            entries = [
                one for one in archive.infolist() if not one.is_dir() and not _is_clutter(one.filename)
            ]
            size = sum(one.file_size for one in entries)
            if len(entries) > most_files:
                raise _RefusedError(f"{what} holds {len(entries)} files; at most {most_files} are read")
            if size > most_bytes:
                raise _RefusedError(
                    f"{what} holds {size / 2**20:.1f} MiB of files; at most {most_bytes / 2**20:.0f} MiB are read"
                )
            for one in entries:
                if PurePosixPath(one.filename).is_absolute() or ".." in PurePosixPath(one.filename).parts:
                    raise _RefusedError(f"{what} holds a path that leads out of it")
            read = {one.filename: archive.read(one) for one in entries}
    except _RefusedError as refused:
        raise ValueError(str(refused)) from None
    except _DAMAGED:
        raise ValueError(
            f"{what} is not a zip archive that can be read: it is damaged, or of another kind"
        ) from None
    return _without_top(read)


def unpack(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files by their names, which hold no folders, into a folder."""
    for name, content in files.items():
        (folder / name).write_bytes(content)


class _RefusedError(Exception):
    """An archive was read as far as its list of files, and is refused."""


def _is_clutter(name: str) -> bool:
    return any(part in _CLUTTER for part in PurePosixPath(name).parts)


def _without_top(files: dict[str, bytes]) -> dict[str, bytes]:
    tops = {name.partition("/")[0] for name in files}
    if len(tops) != 1 or not all("/" in name for name in files):
        return files
    return {name.partition("/")[2]: content for name, content in files.items()}
