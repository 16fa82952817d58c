"""Atomic writes of one or several files: all of them or none, even if the process is killed at any moment."""

from __future__ import annotations

import errno
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

# Names in a folder: files that were saved together and are still to be moved to their places.
_SAVED = ".saved"
_SAVING = "saving"

_REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space, or choose another folder",
    errno.EDQUOT: "the disk quota is used up; free some space, or choose another folder",
    errno.EFBIG: "the file is larger than is allowed there; choose another folder",
    errno.EROFS: "it is on a read-only file system; choose another folder",
    errno.EACCES: "that is not permitted; change its permissions, or choose another folder",
    errno.EPERM: "that is not permitted; change its permissions, or choose another folder",
}


# Of writes alone: what is read may lie elsewhere.
_BROKEN = {errno.EIO: "the disk reports an input/output error; check it, or choose another folder"}


class CannotWriteError(OSError):
    """Raised if a folder cannot be written to; says which, why, and what can be done. ``errno`` is the system's."""


@contextmanager
def writing_to(folder: str | os.PathLike[str], *, only: bool = False) -> Iterator[None]:
    """Turn errors of a full disk, a read-only folder and the like into :class:`CannotWriteError`.

    Args:
        folder: folder that is written to.
        only: whether nothing else is done meanwhile: an error of a disk is then one of this folder's.
    """
    remedies = {**_REMEDIES, **_BROKEN} if only else _REMEDIES
    try:
        yield
    except CannotWriteError:
        raise
    except (OSError, SafetensorError) as error:
        number = _error_number(error)
        if number not in remedies or _is_about_another_place(error, folder):
            raise
        problem = CannotWriteError(f"{folder} cannot be written to: {remedies[number]}")
        problem.errno = number
        raise problem from error


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` to write to; it becomes ``path`` on success and is removed on failure.

    Its name begins with a dot, holds the ids of the process and the thread, so that concurrent writers of one file do
    not collide, and ends with ``.partial``. A killed process leaves it behind.

    Raises:
        CannotWriteError: for a full disk, a read-only folder and the like.
    """
    path = Path(path)
    partial = _partial(path.parent, path.name)
    with writing_to(path.parent, only=True):
        try:
            yield partial
            os.replace(partial, path)
        finally:
            with suppress(OSError):  # on a read-only file system not even this is allowed
                partial.unlink(missing_ok=True)


@contextmanager
def atomic_writes(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary folder to write files to: all of them become files of ``folder``, or none does.

    The rename of the temporary folder to ``.saved`` commits them; from there they are moved to their places one by
    one. A process that is killed in between leaves ``.saved`` to the next writer, and until then :func:`saved_file`
    finds each file where it is. Of several concurrent writers, all files of the last one stay. Half-written files of
    killed writers are removed.

    Args:
        folder: target folder, created if it is missing; its other files stay.

    Raises:
        CannotWriteError: for a full disk, a read-only folder and the like.
    """
    folder = Path(folder)
    with writing_to(folder, only=True):
        new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        _move_into_place(folder)
        partial = _partial(folder, _SAVING)
        partial.mkdir()
        try:
            yield partial
            _commit(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            if new:
                with suppress(OSError):  # it holds the files
                    folder.rmdir()


def saved_file(folder: str | os.PathLike[str], name: str) -> Path:
    """Return the path of a file of :func:`atomic_writes`, even if its writer was killed; it need not exist."""
    waiting = Path(folder) / _SAVED / name
    return waiting if waiting.exists() else Path(folder) / name


def names_in(folder: str | os.PathLike[str]) -> set[str]:
    """Return the names in a folder, without the traces of a killed :func:`atomic_writes`."""
    names = set(os.listdir(folder))
    if _SAVED in names:
        names.update(os.listdir(Path(folder) / _SAVED))
    return {name for name in names if name != _SAVED and _owner(name, _SAVING) is None}


def _commit(partial: Path, folder: Path) -> None:
    while True:
        try:
            os.rename(partial, folder / _SAVED)
            break
        except OSError:
            if not (folder / _SAVED).exists():
                raise
            _move_into_place(folder)  # another writer was first
    _move_into_place(folder)


def _move_into_place(folder: Path) -> None:
    """Move the committed files to their places; any number of processes may do so at once."""
    saved = folder / _SAVED
    with suppress(FileNotFoundError):
        if saved.is_symlink():  # not ours: the files that it leads to must not be moved
            saved.unlink()
        for name in os.listdir(saved):
            with suppress(FileNotFoundError):
                os.replace(saved / name, folder / name)
        with suppress(OSError):  # another writer has filled it meanwhile
            saved.rmdir()


def _partial(folder: Path, name: str) -> Path:
    return folder / f".{name}.{os.getpid()}-{threading.get_native_id()}.partial"


def _owner(file_name: str, name: str) -> int | None:
    """Return the id of the process whose :func:`_partial` a file is, or None."""
    match = re.fullmatch(rf"\.{re.escape(name)}\.(\d+)-\d+\.partial", file_name)
    return int(match[1]) if match else None


def _remove_leftovers(folder: Path) -> None:
    for file_name in os.listdir(folder):
        owner = _owner(file_name, _SAVING)
        if owner is not None and _is_gone(owner):
            shutil.rmtree(folder / file_name, ignore_errors=True)


def _is_gone(process: int) -> bool:
    """Return whether no process has this id; False where that is unknown."""
    if os.name != "posix":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _error_number(error: BaseException) -> int | None:
    if isinstance(error, OSError):
        return error.errno
    match = re.search(r"os error (\d+)", str(error))  # safetensors gives the number in its text only
    return int(match[1]) if match else None


def _is_about_another_place(error: BaseException, folder: str | os.PathLike[str]) -> bool:
    """Return whether an error names a file outside the folder, such as one that was being read."""
    if not isinstance(error, OSError) or error.filename is None:
        return False
    place, here = Path(os.fsdecode(error.filename)).absolute(), Path(folder).absolute()
    return not (place.is_relative_to(here) or here.is_relative_to(place))
