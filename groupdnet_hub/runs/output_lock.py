"""A lock so that one run at a time writes to an output."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from groupdnet_hub.io.atomic import writing_to

if sys.platform == "win32":
    import msvcrt

    def _take(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(file: int) -> None:
        # Not flock: forked data loader workers would hold it longer than a process that was killed.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def sole_writer(folder: Path, name: str, otherwise: str) -> Iterator[None]:
    """Hold a lock of the operating system on ``folder/.NAME.lock``; it ends with the process, however that ends.

    Args:
        folder: folder of the output, created if it is missing, and removed again if nothing was written there.
        name: name of the writer.
        otherwise: alternative for the user, in the message.

    Raises:
        ValueError: if another process holds it.
        OSError: if the folder cannot be written to.
    """
    path, new = folder / f".{name}.lock", not folder.exists()
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = _open_locked(path)
    if file is None:
        raise ValueError(
            f"another run writes to {folder} ({_holder(path)}): wait until it has ended, stop it, or {otherwise}"
        )
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(file)
        if new:
            with suppress(OSError):  # it holds files
                folder.rmdir()


def _open_locked(path: Path) -> int | None:
    """Return the locked file, with its holder written into it; None if another process holds it."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _take(file)
            # The last holder may have removed it between the two lines above.
            if path.exists() and os.path.samestat(os.fstat(file), path.stat()):
                os.ftruncate(file, 0)
                os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
                return file
        except OSError as error:
            os.close(file)
            if isinstance(error, (BlockingIOError, PermissionError)):
                return None
            raise
        os.close(file)


def _holder(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8").strip() or "it has just started"
    return "it has just ended"
