"""The log of the page: lines that strangers can neither forge nor multiply, and a trace of what is our fault."""

from __future__ import annotations

import io
import logging

import pytest
from page.server.refusals.lines import LINES_AT_ONCE, SECONDS_PER_LINE, BoundedLog, one_line


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def written() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(clock: Clock, written: io.StringIO) -> logging.Logger:
    logger = logging.Logger("page")
    logger.addHandler(BoundedLog(written, clock))
    return logger


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\x1b[2Jb", "a\u2028b", "a\u202eb", "a\0b", "a\ud800b"])
def test_no_text_makes_a_line_of_its_own(log: logging.Logger, written: io.StringIO, text: str) -> None:
    log.warning("Refused: %s", text)
    (line,) = written.getvalue().splitlines()
    assert line.isprintable()
    assert line.endswith("b")
    assert "Refused: a\\" in line


def test_what_is_told_is_short(log: logging.Logger, written: io.StringIO) -> None:
    log.warning("Refused: %s", "x" * 1_000_000)
    assert len(written.getvalue()) < 400
    assert one_line("x" * 50, 10) == "xxxxxxx..."


def test_there_are_so_many_lines_at_once(log: logging.Logger, written: io.StringIO, clock: Clock) -> None:
    for number in range(5000):
        log.warning("Refused: %s", number)
    assert len(written.getvalue().splitlines()) == LINES_AT_ONCE
    log.error("Failed")  # is not hidden by what was refused
    assert written.getvalue().endswith("ERROR page: Failed\n")
    clock.now = SECONDS_PER_LINE
    log.warning("Refused: again")
    left_out, last = written.getvalue().splitlines()[-2:]
    assert left_out == f"    WARNING: {5000 - LINES_AT_ONCE} more lines were left out"
    assert last.endswith("Refused: again")


def test_an_attack_of_a_day_leaves_less_than_2_mb(
    log: logging.Logger, written: io.StringIO, clock: Clock
) -> None:
    day, text = 24 * 3600, "\U0001f600" * 10_000
    for second in range(0, day, 5):
        clock.now = second
        log.warning("Refused: %s", text)
        log.error("Failed: %s", text)
    lines = written.getvalue().splitlines()
    refused, failed = (sum(f" {level} page: " in line for line in lines) for level in ("WARNING", "ERROR"))
    assert refused == failed == LINES_AT_ONCE + (day - 5) // SECONDS_PER_LINE
    assert len(written.getvalue().encode()) < 2_000_000
    # The night after, there is room for as many lines as before.
    written.truncate(0)
    clock.now = 2 * day
    for number in range(100):
        log.warning("Refused: %s", number)
    assert sum("Refused: " in line for line in written.getvalue().splitlines()) == LINES_AT_ONCE


def test_a_new_fault_is_told_whatever_was_told_before(
    log: logging.Logger, written: io.StringIO, clock: Clock
) -> None:
    def fail(error: Exception) -> None:
        try:
            raise error
        except Exception:
            log.exception("A call failed")

    for _ in range(1000):
        fail(ZeroDivisionError("often"))
    fail(KeyError("rare"))
    last = [line for line in written.getvalue().splitlines() if line[0] != " "][-1]
    assert "KeyError in test_log_lines.py:" in last
    assert written.getvalue().count("KeyError") == 1
    assert f"{1000 - LINES_AT_ONCE} more lines were left out" in written.getvalue()


def test_a_fault_leaves_its_trace_once(log: logging.Logger, written: io.StringIO) -> None:
    def fail(text: str) -> None:
        raise ZeroDivisionError(text)

    for text in ("first\nforged line", "second"):
        try:
            fail(text)
        except ZeroDivisionError:
            log.exception("A call failed")
    lines = written.getvalue().splitlines()
    assert [line for line in lines if "A call failed" in line] == [line for line in lines if line[0] != " "]
    assert sum("raise ZeroDivisionError(text)" in line for line in lines) == 1
    assert "ZeroDivisionError in test_log_lines.py:" in lines[-1]
    assert "first\\nforged line" in lines[0]


def test_the_servers_log_is_taken(written: io.StringIO) -> None:
    theirs, ours = io.StringIO(), BoundedLog(written)
    server = logging.Logger("uvicorn.error")
    server.addHandler(logging.StreamHandler(theirs))
    server.addFilter(ours.takes)
    server.warning("Invalid HTTP request: %s", "a\nb")
    server.info("Started")
    assert written.getvalue().endswith("uvicorn.error: Invalid HTTP request: a\\nb\n")
    assert theirs.getvalue() == ""
