"""Signals that ask a run to stop, and what its processes do with them.

Ctrl-C sends ``SIGINT``; ``kill``, schedulers and spot instances send ``SIGTERM``, and Slurm's ``--signal`` whichever it
is told to, often ``SIGUSR1``.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# SIGUSR1 is not known to Windows.
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1") if hasattr(signal, name))

# Seconds in which a Ctrl-C that comes again is the same one: a launcher may pass on what the terminal sent already.
_SAME = 1.0
# Seconds in which Python gets to handle a signal, unless the main thread waits for other processes.
_PROMPT = 5.0
# Seconds between two looks at whether the launcher is there, and after which nobody waits for a stuck process any more.
_LOOK, _PATIENCE = 1.0, 300.0


class Stopped(KeyboardInterrupt):
    """Raised for a signal that asks to stop.

    Args:
        number: the signal.
        message: what is left and how to resume; empty where nobody has said.
    """

    def __init__(self, number: int, message: str = "") -> None:
        super().__init__(message)
        self.number = number

    @property
    def status(self) -> int:
        """The exit status that shells give to what a signal ends."""
        return 128 + self.number

    @property
    def by(self) -> str:
        """The signal's name."""
        return signal_name(self.number)


def signal_name(number: int) -> str:
    """Return what a message calls a signal."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


class StopSignals:
    """Catches signals while it is entered, as a context manager; afterwards, the handlers are those of before.

    A signal raises :class:`Stopped` in the main thread. Within :meth:`held` it is noted only, but for a second Ctrl-C.
    Of several processes, one that waits for others that are gone never gets to do so; where it would have raised, it
    ends all the same. Signals that the process ignores, as those of ``nohup`` do, stay ignored; in other threads than
    the main one, where Python allows no handlers, nothing is caught.

    Attributes:
        asked: the first signal that came; None for none.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._asked_at = 0.0
        self._is_held = False
        self._before: dict[int, Callable[[int, FrameType | None], Any] | int] = {}
        self._watched: tuple[int, int] | None = None

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                before = signal.getsignal(number)
                if before not in (None, signal.SIG_IGN):  # None: a handler that is not Python's
                    self._before[number] = before
                    signal.signal(number, self._catch)
            if self._before and os.name == "posix" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
                read, write = os.pipe()
                os.set_blocking(write, False)
                self._watched = write, signal.set_wakeup_fd(write, warn_on_full_buffer=False)
                threading.Thread(target=self._end_if_stuck, args=(read,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()
        if self._watched is not None:
            write, before_fd = self._watched
            signal.set_wakeup_fd(before_fd)
            os.close(write)
            self._watched = None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Only note signals, so that what is under way is finished; a second Ctrl-C ends it all the same."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False

    def raise_if_asked(self) -> None:
        """Raise :class:`Stopped` if a signal was noted."""
        if self.asked is not None:
            raise Stopped(self.asked)

    def _catch(self, number: int, frame: FrameType | None) -> None:
        first, now = self.asked is None, time.monotonic()
        if first:
            self.asked, self._asked_at = number, now
        insisted = not first and number == signal.SIGINT and now - self._asked_at > _SAME
        if insisted or not self._is_held:
            raise Stopped(number)

    def _end_if_stuck(self, arrived: int) -> None:
        """Read which signals arrive, and end the process if its main thread does not get to handle them."""
        interrupts = 0
        with os.fdopen(arrived, "rb", buffering=0) as pipe:
            while byte := pipe.read(1):
                if byte[0] not in self._before:
                    continue
                interrupts += byte[0] == signal.SIGINT
                time.sleep(_PROMPT)
                if self.asked is None and (not self._is_held or interrupts > 1):
                    os._exit(128 + byte[0])


def die_quietly() -> None:
    """Let a further signal end the process without a stack trace; for one that is leaving."""
    for number in STOPPING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def follow_launcher(say: Callable[[str], Any]) -> None:
    """Ask this process to stop (``SIGTERM``) once the launcher that started it is gone: a killed one tells nobody.

    Only processes of ``torchrun`` and ``accelerate launch`` with several processes do so; any other may outlive the
    shell that started it. One that does not stop, because it waits for processes that are gone, is ended after minutes.

    Args:
        say: is told that the launcher is gone.
    """
    if os.name != "posix" or "TORCHELASTIC_RUN_ID" not in os.environ:
        return
    launcher = os.getppid()

    def follow() -> None:
        while os.getppid() == launcher:
            time.sleep(_LOOK)
        say("the launcher of this run is gone")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_PATIENCE)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=follow, daemon=True).start()
