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
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from .crowds.limits import whole_number

if TYPE_CHECKING:
    from gradio.blocks import Blocks

LIMIT = "GROUPDNET_TEMP_MIB"
_DEFAULT_MIB, _LEAST_MIB = 1024, 128
_PREFIX, _LOCK = "groupdnet-page-", ".lock"
# Seconds between two looks at what is there, and until a file may go: whoever asked for it fetches it meanwhile. Where
# there is more than the limit allows, it has less time. Nothing that visitors bring is kept for more than a day.
_PERIOD, GRACE, _SHORT_GRACE, _DAY = 5.0, 120.0, 10.0, 24 * 3600.0
# A file counts as so much at least, since a look at many small ones takes long too.
LEAST_COUNTED = 64 << 10


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
        self._counting = threading.Lock()
        self._found = self._noted = 0
        self._lock = _new_lock(base)
        self._owner = os.getpid()
        # Anyone may write to the system's folder: one that is there already is somebody else's.
        self.folder = _folder_of(Path(self._lock.lock_file))
        self.folder.mkdir(mode=0o700)

    @property
    def held(self) -> int:
        """Bytes that are there, as far as is known: what :meth:`tidy` left, and what was noted since."""
        return self._found + self._noted

    def note(self, size: int) -> None:
        """Tell of a file that was written, before :meth:`tidy` finds it."""
        with self._counting:
            self._noted += size

    def tidy(self, room: int = 0, grace: float = GRACE) -> int:
        """Remove the oldest files until the limit holds, those of yesterday, and folders that are empty.

        Files that were written or handed out in the last seconds stay: they are being fetched, read or written. One
        that is being sent is read to its end, though it is removed.

        Args:
            room: bytes that there is to be place for.
            grace: seconds for which a file stays; fewer where the limit is passed, whatever room is asked for.

        Returns:
            Bytes that are left.
        """
        with self._counting:
            self._noted = 0
        now, empty = time.time(), list[str]()
        found = sorted(_files(self.folder, now - grace, empty))
        left = sum(size for _, size, _ in found)
        for written, size, path in found:
            has_room, is_below = left + room <= self.limit, left <= self.limit
            stays = _DAY if has_room else grace if is_below else min(grace, _SHORT_GRACE)
            if now - written <= stays:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)
                left -= size
        for folder in empty:
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        self._found = left
        return left

    def remove(self) -> None:
        """Remove the folder, and let go of it; a forked process leaves it to its owner."""
        if os.getpid() == self._owner:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._lock.release()
            Path(self._lock.lock_file).unlink(missing_ok=True)


@contextlib.contextmanager
def keep_files_in_one_folder(limit: int) -> Iterator[TemporaryRoot]:
    """Put all temporary files of gradio and of the page in a folder of this process, and keep it bounded meanwhile.

    It is made in ``GRADIO_TEMP_DIR``, or else in the system's temporary folder, and removed at the end of the process,
    also after SIGTERM. Enter it in the main thread, before any component is made.

    Args:
        limit: bytes that are left in it.

    Raises:
        OSError: if the folder cannot be made.
    """
    root = TemporaryRoot(Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()), limit)
    # After all threads that draw have ended.
    atexit.register(root.remove)
    variables = {name: os.environ.get(name) for name in ("GRADIO_TEMP_DIR", "GRADIO_EXAMPLES_CACHE")}
    tempdir = tempfile.tempdir
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
        tempfile.tempdir = tempdir
        for name, value in variables.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Unlisted(set[str]):
    """A list that nothing is put on."""

    def add(self, path: str) -> None:
        """Leave out a file."""

    def update(self, *paths: Iterable[str]) -> None:
        """Leave out files."""


def list_no_files(page: Blocks) -> None:
    """Let gradio forget which files it has written, which it would list for as long as the page is served.

    It lists them to delete them by their age, which :meth:`TemporaryRoot.tidy` does.
    """
    page.temp_file_sets, page.upload_file_set = [], _Unlisted()
    for block in page.blocks.values():
        block.temp_files = _Unlisted()


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


def _files(top: Path, old: float, empty: list[str]) -> Iterator[tuple[float, int, str]]:
    """Yield when each file was written, what it counts as, and its path; a link is a file.

    Args:
        top: the folder.
        old: time before which a folder was last changed that nobody is about to write to.
        empty: to which such folders are added, if there is nothing in them.
    """
    for parent, folders, names in os.walk(top, topdown=False):
        with contextlib.suppress(OSError):
            if not folders and not names and parent != str(top) and os.lstat(parent).st_mtime < old:
                empty.append(parent)
        for name in [*names, *(one for one in folders if os.path.islink(os.path.join(parent, one)))]:
            path = os.path.join(parent, name)
            with contextlib.suppress(OSError):
                found = os.lstat(path)
                yield found.st_mtime, max(found.st_size, LEAST_COUNTED), path
