"""SHE, the paper's human evaluation (section 4.2): people say whether two pictures differ in one class alone.

A question is a label map and two pictures of it by one model; in the second, one class, chosen at random, was redrawn.
People do not see which model it is, nor which class. The fraction of "yes" is the model's SHE. Nothing here knows a
page.
"""

from __future__ import annotations

import csv
import io
import math
import os
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from groupdnet_hub.baselines import System
from groupdnet_hub.io.images import tensor_to_picture

QUESTIONS = 50
_SEEDS = 2**31 - 1
_COLUMNS = ("rater", "number", "model", "label_map", "class", "seed", "reroll_seed", "answer", "time")
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
    PRIMARY KEY (rater, number)
)
"""


@dataclass(frozen=True)
class Question:
    """What a rater is asked; it is the same whenever it is made for one rater and number.

    Attributes:
        number: 0 to ``QUESTIONS`` - 1.
        label_map: a name of the maps that were offered.
        class_: the class that is redrawn.
        seed, reroll_seed: of the first picture, and of the redrawn class.
    """

    rater: str
    number: int
    model: str
    label_map: str
    class_: str
    seed: int
    reroll_seed: int


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


def make_question(
    rater: str, number: int, models: Sequence[str], maps: Sequence[tuple[str, Sequence[str]]]
) -> Question:
    """Return the question with this number.

    Args:
        rater: random name of the person who is asked.
        number: 0 to ``QUESTIONS`` - 1.
        models: names of the models that are compared; a rater's questions go to all of them equally often.
        maps: names of label maps, each with the classes that it shows.
    """
    # The order of the models is shuffled anew for each round of them.
    order = list(models)
    random.Random(f"{rater}/round {number // len(models)}").shuffle(order)
    draw = random.Random(f"{rater}/{number}")
    name, classes = draw.choice(maps)
    return Question(
        rater,
        number,
        order[number % len(models)],
        name,
        draw.choice(list(classes)),
        draw.randrange(_SEEDS),
        draw.randrange(_SEEDS),
    )


@torch.inference_mode()
def draw_picture(system: System, question: Question, label_map: np.ndarray, place: int) -> Image.Image:
    """Draw one of the two pictures of a question; which of them is the redrawn one is left to chance as well.

    A system without codes for single classes redraws its whole code, as when the paper measures one (section 4.2).
    One that draws instance edges has them along the classes.

    Args:
        system: the model that the question is about.
        question: which class is redrawn, and the seeds.
        label_map: int64 [H, W].
        place: 0 for the picture that is shown first, 1 for the other.
    """
    maps = torch.from_numpy(label_map)[None]
    prepared = system.prepare(maps, maps if system.config.instance_edges else None)
    size = (label_map.shape[0], label_map.shape[1])
    # On the CPU: one seed then means one question on every device.
    first, second = (torch.Generator().manual_seed(seed) for seed in (question.seed, question.reroll_seed))
    codes = system.sample_codes(1, generator=first, label_size=size)
    redrawn = [False, True]
    random.Random(f"{question.rater}/order {question.number}").shuffle(redrawn)
    if redrawn[place]:
        codes = system.redraw(codes, system.labels.id_of(question.class_), generator=second)
    return tensor_to_picture(system.decode(codes, prepared)[0].float().cpu())


class AnswersError(OSError):
    """The file of the answers cannot be read or written."""


class Answers:
    """The answers in an SQLite file, one row each. Many raters may write at once, from many processes.

    Args:
        path: made with the first answer, with its folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def add(self, question: Question, answer: bool) -> bool:
        """Write an answer, unless there is one to this question; return whether it was written."""
        values = (
            *(question.rater, question.number, question.model, question.label_map, question.class_),
            *(question.seed, question.reroll_seed, int(answer)),
            datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )
        places = ", ".join("?" * len(_COLUMNS))
        with self._open() as file:
            return file.execute(f"INSERT OR IGNORE INTO answers VALUES ({places})", values).rowcount == 1

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

    def as_csv(self) -> str:
        """Return all answers, with a line of column names."""
        with self._open() as file:
            columns = ", ".join(_COLUMNS)  # names of our own, no input
            rows = file.execute(f"SELECT {columns} FROM answers ORDER BY rowid").fetchall()  # nosec B608
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(_COLUMNS)
        writer.writerows(rows)
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
                yield file
        except (sqlite3.OperationalError, OSError) as error:
            raise AnswersError(
                f"{self.path} cannot be written to ({error}): free some space there, or name another file for answers"
            ) from error


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
