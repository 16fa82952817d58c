"""The server's temporary files: in a folder of its own, bounded in bytes, and gone with the server however it ends."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from .crowds.limits import whole_number

LIMIT = "GROUPDNET_TEMP_MIB"
_DEFAULT_MIB, _LEAST_MIB = 1024, 128
_PREFIX, _LOCK = "groupdnet-page-", ".lock"
# Seconds between two looks at what is there, and until a file may go: whoever asked for it fetches it meanwhile.
_PERIOD, _GRACE = 5.0, 120.0


def limit_from_environment(environment: Mapping[str, str] = os.environ) -> int:
    """Return the bytes that ``GROUPDNET_TEMP_MIB`` allows.

    Raises:
        ValueError: for what is no whole number of MiB, or too few for a few uploads.
    """
    text = environment.get(LIMIT, "").strip() or str(_DEFAULT_MIB)
    wanted = f"a whole number of MiB from {_LEAST_MIB} on, such as {_DEFAULT_MIB}"
    return whole_number(LIMIT, text, wanted, _LEAST_MIB) << 20


class TemporaryRoot:
    """A folder that only its owner can enter, and that other servers leave alone for as long as this process lives.

    Folders of servers that are gone are removed first. Links in them are removed, never followed.

    Args:
        base: where it is made.
        limit: bytes that :meth:`tidy` leaves in it.

    Raises:
        OSError: if it cannot be made.
    """

    def __init__(self, base: Path, limit: int) -> None:
        base.mkdir(parents=True, exist_ok=True)
        _remove_left(base)
        self.limit = limit
        self._lock = _new_lock(base)
        self._owner = os.getpid()
        # Anyone may write to the system's folder: one that is there already is somebody else's.
        self.folder = _folder_of(Path(self._lock.lock_file))
        self.folder.mkdir(mode=0o700)

    def tidy(self, room: int = 0, grace: float = _GRACE) -> int:
        """Remove the oldest files until the limit holds, and folders that are empty; return the bytes that are left.

        Files that were written or handed out in the last seconds stay: they are being fetched, read or written. One
        that is being sent is read to its end, though it is removed.

        Args:
            room: bytes that there is to be place for.
            grace: seconds for which a file stays.
        """
        found = sorted(_files(self.folder))
        left, old = sum(size for _, size, _ in found), time.time() - grace
        for written, size, path in found:
            if left + room <= self.limit or written > old:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)
                left -= size
        self._remove_empty(old)
        return left

    def remove(self) -> None:
        """Remove the folder, and let go of it; a forked process leaves it to its owner."""
        if os.getpid() == self._owner:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._lock.release()
            Path(self._lock.lock_file).unlink(missing_ok=True)

    def _remove_empty(self, old: float) -> None:
        for folder, _, _ in os.walk(self.folder, topdown=False):
            # A new one is about to be written to.
            with contextlib.suppress(OSError):
                if folder != str(self.folder) and os.lstat(folder).st_mtime < old:
                    os.rmdir(folder)


@contextlib.contextmanager
def keep_files_in_one_folder() -> Iterator[TemporaryRoot]:
    """Put all temporary files of gradio and of the page in a folder of this process, and keep it bounded meanwhile.

    It is made in ``GRADIO_TEMP_DIR``, or else in the system's temporary folder, and removed at the end of the process,
    also after SIGTERM. Enter it in the main thread, before any component is made.

    Raises:
        ValueError: for a limit that is none.
        OSError: if the folder cannot be made.
    """
    limit = limit_from_environment()
    root = TemporaryRoot(Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()), limit)
    # After all threads that draw have ended.
    atexit.register(root.remove)
    before = (
        tempfile.tempdir,
        {name: os.environ.get(name) for name in ("GRADIO_TEMP_DIR", "GRADIO_EXAMPLES_CACHE")},
    )
    terminate = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    tempfile.tempdir = os.environ["GRADIO_TEMP_DIR"] = str(root.folder)
    os.environ["GRADIO_EXAMPLES_CACHE"] = str(root.folder / "examples")
    ended = threading.Event()
    threading.Thread(target=_keep_tidy, args=(root, ended), daemon=True).start()
    try:
        yield root
    finally:
        ended.set()
        signal.signal(signal.SIGTERM, terminate)
        tempfile.tempdir, variables = before
        for name, value in variables.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _keep_tidy(root: TemporaryRoot, ended: threading.Event) -> None:
    while not ended.wait(_PERIOD):
        with contextlib.suppress(OSError):
            root.tidy()


def _new_lock(base: Path) -> FileLock:
    """Return a lock that this process holds; it ends with the process."""
    while True:
        handle, name = tempfile.mkstemp(_LOCK, _PREFIX, base)
        os.close(handle)
        lock = FileLock(name, timeout=0, mode=0o600)
        # A server that starts at this moment may take the file for one that was left behind.
        with contextlib.suppress(Timeout):
            lock.acquire()
            if Path(name).exists():
                return lock
            lock.release()


def _remove_left(base: Path) -> None:
    """Remove the folders of this user whose server is gone."""
    for path in base.glob(f"{_PREFIX}*{_LOCK}"):
        with contextlib.suppress(OSError, Timeout):
            if not _is_own(path, stat.S_ISREG):
                continue
            with FileLock(path, timeout=0, mode=0o600):
                folder = _folder_of(path)
                if _is_own(folder, stat.S_ISDIR):
                    shutil.rmtree(folder, ignore_errors=True)
                if not os.path.lexists(folder):
                    path.unlink(missing_ok=True)


def _is_own(path: Path, is_kind: Callable[[int], bool]) -> bool:
    """Return whether there is such a thing of this user, which is no link."""
    if not os.path.lexists(path):
        return False
    found = path.lstat()
    return is_kind(found.st_mode) and (not hasattr(os, "getuid") or found.st_uid == os.getuid())


def _folder_of(lock: Path) -> Path:
    return lock.with_suffix("")


def _files(folder: Path) -> Iterator[tuple[float, int, str]]:
    """Yield when each file was written, its bytes, and its path; of a link, those of the link."""
    for parent, folders, names in os.walk(folder):
        for name in [*names, *(one for one in folders if os.path.islink(os.path.join(parent, one)))]:
            path = os.path.join(parent, name)
            with contextlib.suppress(OSError):
                found = os.lstat(path)
                yield found.st_mtime, found.st_size, path
