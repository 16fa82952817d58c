"""The answers to the human evaluation, and what they come to. Nothing here knows a page."""

from __future__ import annotations

import csv
import io
import math
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from .study import QUESTIONS, Question

_COLUMNS = (
    "rater",
    "number",
    "model",
    "label_map",
    "class",
    "seed",
    "reroll_seed",
    "answer",
    "time",
    "seconds",
)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS answers (
    rater TEXT NOT NULL,
    number INTEGER NOT NULL,
    model TEXT NOT NULL,
    label_map TEXT NOT NULL,
    class TEXT NOT NULL,
    seed INTEGER NOT NULL,
    reroll_seed INTEGER NOT NULL,
    answer INTEGER NOT NULL CHECK (answer IN (0, 1)),
    time TEXT NOT NULL,
    seconds REAL,
    PRIMARY KEY (rater, number)
)
"""


@dataclass(frozen=True)
class Score:
    """The answers about one model.

    Attributes:
        fraction: of "yes".
        low, high: its 95% interval by Wilson.
    """

    model: str
    raters: int
    answers: int
    fraction: float
    low: float
    high: float


class AnswersError(OSError):
    """The file of the answers cannot be read or written."""


class Answers:
    """The answers in an SQLite file, one row each. Many raters may write at once, from many processes.

    A file of an earlier version is read and written too: its answers have no time that they took.

    Args:
        path: made with the first answer, with its folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def add(self, question: Question, answer: bool, seconds: float | None = None) -> bool:
        """Write an answer, unless there is one to this question; return whether it was written.

        Args:
            question: that was answered.
            answer: whether it was "yes".
            seconds: that the rater took; None if they are not known.
        """
        values = (
            *(question.rater, question.number, question.model, question.label_map, question.class_),
            *(question.seed, question.reroll_seed, int(answer)),
            datetime.now(timezone.utc).isoformat(timespec="seconds"),
            None if seconds is None else round(seconds, 2),
        )
        columns, places = ", ".join(_COLUMNS), ", ".join("?" * len(_COLUMNS))
        with self._open() as file:
            # Names of our own, no input.
            written = file.execute(f"INSERT OR IGNORE INTO answers ({columns}) VALUES ({places})", values)  # nosec B608
            return written.rowcount == 1

    def next_number(self, rater: str) -> int:
        """Return the first question that a rater has not answered; ``QUESTIONS`` if none is left."""
        with self._open() as file:
            rows = file.execute("SELECT number FROM answers WHERE rater = ?", (rater,)).fetchall()
        answered = {number for (number,) in rows}
        return next(number for number in range(QUESTIONS + 1) if number not in answered)

    def scores(self) -> list[Score]:
        """Return one for each model that was asked about, by name."""
        with self._open() as file:
            rows = file.execute(
                "SELECT model, COUNT(DISTINCT rater), COUNT(*), SUM(answer) FROM answers GROUP BY model ORDER BY model"
            ).fetchall()
        return [
            Score(model, raters, count, yes / count, *wilson_interval(yes, count))
            for model, raters, count, yes in rows
        ]

    def as_csv(self, called: Callable[[str], str]) -> str:
        """Return all answers, with a line of column names.

        Args:
            called: what a rater is called in it.
        """
        with self._open() as file:
            columns = ", ".join(_COLUMNS)  # names of our own, no input
            rows = file.execute(f"SELECT {columns} FROM answers ORDER BY rowid").fetchall()  # nosec B608
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(_COLUMNS)
        writer.writerows((called(rater), *rest) for rater, *rest in rows)
        return text.getvalue()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Open a connection of its own for each use: SQLite's locks then hold between threads and between processes.

        Raises:
            AnswersError: on a full disk, in a read-only folder and the like; earlier answers are safe.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=30)) as file, file:
                file.execute(_SCHEMA)
                _add_missing_column(file)
                yield file
        except (sqlite3.DatabaseError, OSError) as error:
            raise AnswersError(
                f"{self.path} cannot be written to ({error}): free some space there, or name another file for answers"
            ) from error


def _add_missing_column(file: sqlite3.Connection) -> None:
    """Bring the table of an earlier version, which kept no seconds, to this one's form."""
    if "seconds" not in (row[1] for row in file.execute("PRAGMA table_info(answers)")):
        try:
            file.execute("ALTER TABLE answers ADD COLUMN seconds REAL")
        except sqlite3.OperationalError as error:
            if "duplicate column" not in str(error):  # another process was first
                raise


def wilson_interval(yes: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Return the score interval of a fraction (Wilson, 1927); 95% with the default z.

    It takes the answers as independent of each other.
    """
    fraction = yes / count
    middle = (fraction + z * z / (2 * count)) / (1 + z * z / count)
    half = (
        z / (1 + z * z / count) * math.sqrt(fraction * (1 - fraction) / count + z * z / (4 * count * count))
    )
    return max(0.0, middle - half), min(1.0, middle + half)
