"""The log: one line for each thing that is told, and no more of them than a disk bears.

What strangers send stands in it shortened, and with its control characters escaped, so that it neither fills the log
nor passes for lines of ours. A fault of ours leaves its trace the first time.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

from groupdnet_hub.config.names import readable

_LONGEST = 300
_DEEPEST = 20
# Of each level, so that many refusals do not hide a fault.
LINES_PER_MINUTE = 60
_TRACES = 200
# uvicorn gives its loggers handlers of their own.
_OF_UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


def one_line(text: object, longest: int = _LONGEST) -> str:
    """Return a text without line breaks, control, bidirectional or surrogate characters, at most so long."""
    return readable(str(text), longest)


class BoundedLog(logging.Handler):
    """Write what is logged, a line each, and at most ``LINES_PER_MINUTE`` of a level.

    Args:
        stream: where to; the errors' of this process by default.
        clock: tells seconds.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.WARNING)
        self._stream, self._clock = stream or sys.stderr, clock
        self._minute = 0
        self._lines: Counter[str] = Counter()
        self._traced: set[tuple[str, str]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; of a fault that is new, its trace too."""
        try:
            minute = int(self._clock() // 60)
            if minute != self._minute:
                self._tell_left_out()
                self._minute = minute
            self._lines[record.levelname] += 1
            if self._lines[record.levelname] <= LINES_PER_MINUTE:
                self._write(record)
            self._stream.flush()
        except Exception:
            self.handleError(record)

    def takes(self, record: logging.LogRecord) -> bool:
        """Write what a logger with handlers of its own was told, and keep it from these: a filter."""
        if record.levelno >= self.level:
            self.handle(record)
        return False

    def _write(self, record: logging.LogRecord) -> None:
        now = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        line = f"{now} {record.levelname} {record.name}: {one_line(record.getMessage())}"
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            self._stream.write(f"{line}\n")
            return
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "nowhere"
        self._stream.write(f"{line} ({type(error).__name__} in {place}: {one_line(error)})\n")
        known = (type(error).__name__, place)
        if known not in self._traced and len(self._traced) < _TRACES:
            self._traced.add(known)
            for frame in frames[-_DEEPEST:]:
                told = f"{frame.filename}:{frame.lineno} {frame.name}: {frame.line}"
                self._stream.write(f"    {one_line(told)}\n")

    def _tell_left_out(self) -> None:
        for level, count in self._lines.items():
            if count > LINES_PER_MINUTE:
                self._stream.write(f"    {level}: {count - LINES_PER_MINUTE} more lines were left out\n")
        self._lines.clear()


@contextlib.contextmanager
def keep_log_bounded() -> Iterator[None]:
    """Write all that is logged meanwhile through one :class:`BoundedLog`, that of the server too."""
    log = BoundedLog()
    logging.getLogger().addHandler(log)
    for name in _OF_UVICORN:
        logging.getLogger(name).addFilter(log.takes)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(log)
        for name in _OF_UVICORN:
            logging.getLogger(name).removeFilter(log.takes)
