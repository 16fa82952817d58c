"""The answers to the human evaluation, in a file. Nothing here knows a page."""

from __future__ import annotations

import csv
import io
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path

from .scores import Score, scores_of
from .study import QUESTIONS, Question

_COLUMNS = (
    "rater",
    "study",
    "number",
    "first",
    "second",
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
    study TEXT NOT NULL,
    number INTEGER NOT NULL,
    first TEXT NOT NULL,
    second TEXT NOT NULL,
    label_map TEXT NOT NULL,
    class TEXT NOT NULL,
    seed INTEGER NOT NULL,
    reroll_seed INTEGER NOT NULL,
    answer INTEGER NOT NULL CHECK (answer IN (0, 1)),
    time TEXT NOT NULL,
    seconds REAL,
    PRIMARY KEY (rater, study, number)
)
"""


class AnswersError(OSError):
    """The file of the answers cannot be read or written."""


class Answers:
    """The answers in an SQLite file, one row each. Many raters may write at once, from many processes.

    A file of an earlier version, which knew ``she`` alone, is brought to this one's form.

    Args:
        path: made with the first answer, with its folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def add(self, question: Question, answer: bool, seconds: float | None = None) -> bool:
        """Write an answer, unless there is one to this question; return whether it was written.

        Args:
            question: that was answered.
            answer: whether it was the first of the two that the study offers.
            seconds: that the rater took; None if they are not known.
        """
        values = (
            *(question.rater, question.study, question.number, question.first, question.second),
            *(question.label_map, question.class_, question.seed, question.reroll_seed, int(answer)),
            datetime.now(timezone.utc).isoformat(timespec="seconds"),
            None if seconds is None else round(seconds, 2),
        )
        columns, places = ", ".join(_COLUMNS), ", ".join("?" * len(_COLUMNS))
        with self._open() as file:
            # Names of our own, no input.
            written = file.execute(f"INSERT OR IGNORE INTO answers ({columns}) VALUES ({places})", values)  # nosec B608
            return written.rowcount == 1

    def next_question(self, rater: str, studies: Sequence[str]) -> tuple[str, int] | None:
        """Return study and number of the first question that a rater has not answered; None if none is left."""
        with self._open() as file:
            rows = file.execute("SELECT study, number FROM answers WHERE rater = ?", (rater,)).fetchall()
        answered = set(rows)
        asked = ((study, number) for study in studies for number in range(QUESTIONS))
        return next((question for question in asked if question not in answered), None)

    def scores(self) -> list[Score]:
        """Return what the answers come to, as :func:`page.human_eval.scores.scores_of`."""
        with self._open() as file:
            return scores_of(file.execute("SELECT rater, study, first, second, answer FROM answers"))

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
                _renew(file)
                yield file
        except (sqlite3.DatabaseError, OSError) as error:
            raise AnswersError(
                f"{self.path} cannot be written to ({error}): free some space there, or name another file for answers"
            ) from error


def _renew(file: sqlite3.Connection) -> None:
    """Make the table, or bring that of an earlier version, which knew one study and one model, to this form."""
    if _columns(file) == set(_COLUMNS):
        return
    file.execute("BEGIN IMMEDIATE")  # another process may be at it
    earlier = _columns(file)
    if earlier == set(_COLUMNS):
        return
    if not earlier:
        file.execute(_SCHEMA)
        return
    file.execute("ALTER TABLE answers RENAME TO earlier_answers")
    file.execute(_SCHEMA)
    seconds = "seconds" if "seconds" in earlier else "NULL"  # names of our own, no input
    file.execute(
        "INSERT INTO answers SELECT rater, 'she', number, model, model, label_map, class, seed, reroll_seed, answer, "
        f"time, {seconds} FROM earlier_answers ORDER BY rowid"  # nosec B608
    )
    file.execute("DROP TABLE earlier_answers")


def _columns(file: sqlite3.Connection) -> set[str]:
    return {row[1] for row in file.execute("PRAGMA table_info(answers)")}
