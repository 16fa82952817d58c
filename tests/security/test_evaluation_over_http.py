"""The human evaluation over HTTP: its private events answer whoever calls them, and count no invented answer."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
import time
from pathlib import Path
from typing import Any

from tests.helpers.strangers import Stranger
from tests.security.conftest import KEY, OpenPage

# What it may have is used up here.
ADDRESS = "203.0.113.29"


class Attacker(Stranger):
    """Calls events by their numbers, as an attacker finds them in the page's configuration."""

    def __init__(self, page: str) -> None:
        super().__init__(page, headers={"X-Forwarded-For": ADDRESS})
        config = json.loads(self.ask("/config")[1])
        kinds = {part["id"]: part["props"].get("elem_id") for part in config["components"]}
        self.numbers: dict[str, int] = {}
        for event in config["dependencies"]:
            targets = [kinds.get(target) for target, _ in event["targets"]]
            if "question-map" in [kinds.get(part) for part in event["outputs"]]:
                self.numbers[targets[0] if targets and targets[0] else "arrival"] = event["id"]
            if "results" in [kinds.get(part) for part in event["outputs"]]:
                self.numbers["results"] = event["id"]

    def do(self, event: str, *values: Any) -> tuple[bool, list[Any]]:
        """Return whether an event succeeded, and what it answered."""
        done, output = self.press(self.numbers[event], list(values))
        return done, output.get("data", [output.get("error")])

    def ask_for_a_question(self) -> tuple[str, str]:
        """Return the signed rater, and the signed question."""
        done, (rater, question, *_) = self.do("arrival", "")
        assert done
        return rater, question


def rows(file: Path) -> list[tuple[Any, ...]]:
    if not file.exists():
        return []
    with sqlite3.connect(file) as opened:
        return opened.execute("SELECT rater, number, answer, seconds FROM answers ORDER BY rowid").fetchall()


def test_nothing_invented_is_counted(open_page: OpenPage) -> None:
    attacker = Attacker(open_page.address)
    assert {"arrival", "answer-first", "answer-second", "results"} <= set(attacker.numbers)
    for number in range(10):
        rater = f"{number:032x}"
        _, answered = attacker.do("answer-first", rater, number % 3)
        assert answered[0] != rater
    rater, question = attacker.ask_for_a_question()
    time.sleep(0.5)
    # Of another rater, changed, or of no kind that a question has.
    _, other = attacker.ask_for_a_question()
    for given in (
        other,
        question.replace(".she.0.", ".she.1."),
        question[:-1],
        rater,
        "",
        None,
        7,
        ["x"],
        {"a": 1},
    ):
        attacker.do("answer-first", rater, given)
    assert rows(open_page.answers) == []


def test_a_question_counts_once_and_after_a_look(open_page: OpenPage) -> None:
    attacker = Attacker(open_page.address)
    rater, question = attacker.ask_for_a_question()
    time.sleep(0.5)
    for event in ("answer-first", "answer-second", "answer-second"):
        attacker.do(event, rater, question)
    counted = rows(open_page.answers)
    assert [row[1:3] for row in counted] == [(0, 1)]
    assert counted[0][3] > 0.3

    # Of one address come two raters an hour; who has begun goes on.
    for _ in range(3):
        other, question = attacker.ask_for_a_question()
        time.sleep(0.5)
        attacker.do("answer-first", other, question)
    assert len({row[0] for row in rows(open_page.answers)}) == 2
    _, question, *_ = attacker.do("arrival", rater)[1]
    time.sleep(0.5)
    attacker.do("answer-second", rater, question)
    assert [row[1:3] for row in rows(open_page.answers) if row[0] == counted[0][0]] == [(0, 1), (1, 0)]

    # Others see neither results nor names.
    table = "/evaluation-answers.csv"
    status, sentence = attacker.ask(table)
    assert status == 401
    assert "not the key of the results" in sentence
    assert not attacker.do("results", "a guess")[0]
    assert counted[0][0] not in attacker.ask("/evaluation-results")[1]
    status, text = attacker.ask(table, headers={"Authorization": f"Bearer {KEY}"})
    assert status == 200
    exported = list(csv.DictReader(io.StringIO(text)))
    assert len(exported) == 3
    for row, (name, *_) in zip(exported, rows(open_page.answers), strict=True):
        assert re.fullmatch("[0-9a-f]{16}", row["rater"])
        assert name not in text
        assert row["rater"] not in name
    succeeded, (html,) = attacker.do("results", KEY)
    assert succeeded
    assert "SHE" in html
    while attacker.ask(table, headers={"Authorization": "Bearer guess"})[0] == 401:
        pass
    status, sentence = attacker.ask(table, headers={"Authorization": f"Bearer {KEY}"})
    assert status == 429
    assert "Too many wrong keys" in sentence
