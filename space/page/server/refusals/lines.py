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
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from groupdnet_hub.config.names import readable

_LONGEST = 300
# Of a line, in UTF-8.
_LONGEST_BYTES = 500
_DEEPEST = 20
# Of each level, so that many refusals do not hide a fault: so many at once, and one more in so many seconds. A day of
# attacks then leaves 1,500 lines of a level, 0.75 MB at most.
LINES_AT_ONCE, SECONDS_PER_LINE = 60, 60
_TRACES = 200
# uvicorn gives its loggers handlers of their own.
_OF_UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")


def one_line(text: object, longest: int = _LONGEST) -> str:
    """Return a text without line breaks, control, bidirectional or surrogate characters, at most so long."""
    return readable(str(text), longest)


class BoundedLog(logging.Handler):
    """Write what is logged, a line each: of a level ``LINES_AT_ONCE``, and one more every ``SECONDS_PER_LINE``.

    A fault of ours that was not told before is always told.

    Args:
        stream: where to; the errors' of this process by default.
        clock: tells seconds.
    """

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.WARNING)
        self._stream, self._clock = stream or sys.stderr, clock
        self._levels: defaultdict[str, _Level] = defaultdict(lambda: _Level(LINES_AT_ONCE, clock()))
        self._traced: set[tuple[str, str]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; of a fault that is new, its trace too."""
        try:
            level = self._levels[record.levelname]
            fault = _fault(record)
            is_new = fault is not None and fault not in self._traced and len(self._traced) < _TRACES
            if level.takes_line(self._clock()) or is_new:
                if level.left_out:
                    self._stream.write(f"    {record.levelname}: {level.left_out} more lines were left out\n")
                    level.left_out = 0
                self._write(record, fault)
                if fault is not None and is_new:
                    self._traced.add(fault)
                    self._write_trace(record)
            else:
                level.left_out += 1
            self._stream.flush()
        except Exception:
            self.handleError(record)

    def takes(self, record: logging.LogRecord) -> bool:
        """Write what a logger with handlers of its own was told, and keep it from these: a filter."""
        if record.levelno >= self.level:
            self.handle(record)
        return False

    def _write(self, record: logging.LogRecord, fault: tuple[str, str] | None) -> None:
        now = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        line = f"{now} {record.levelname} {record.name}: {one_line(record.getMessage())}"
        if fault is not None and record.exc_info is not None:
            line += f" ({' in '.join(fault)}: {one_line(record.exc_info[1])})"
        self._stream.write(line.encode()[:_LONGEST_BYTES].decode(errors="ignore") + "\n")

    def _write_trace(self, record: logging.LogRecord) -> None:
        for frame in traceback.extract_tb(record.exc_info[2] if record.exc_info else None)[-_DEEPEST:]:
            told = f"{frame.filename}:{frame.lineno} {frame.name}: {frame.line}"
            self._stream.write(f"    {one_line(told)}\n")


@dataclass
class _Level:
    """What may be told of a level.

    Attributes:
        lines: that may be written, at the time ``since`` in seconds.
        left_out: lines since the last that was written.
    """

    lines: float
    since: float
    left_out: int = 0

    def takes_line(self, now: float) -> bool:
        """Return whether one more may be written, and count it."""
        self.lines = min(LINES_AT_ONCE, self.lines + (now - self.since) / SECONDS_PER_LINE)
        self.since = now
        if self.lines < 1:
            return False
        self.lines -= 1
        return True


def _fault(record: logging.LogRecord) -> tuple[str, str] | None:
    """Return the kind of an error and where it was raised; None for a record without one."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return None
    place = "nowhere"
    for frame, line in traceback.walk_tb(error.__traceback__):
        place = f"{Path(frame.f_code.co_filename).name}:{line}"
    return type(error).__name__, place


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
