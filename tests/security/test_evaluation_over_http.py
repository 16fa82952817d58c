"""The human evaluation over HTTP: its private events answer whoever calls them, and count no invented answer."""

from __future__ import annotations

import csv
import io
import json
import re
import sqlite3
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import serve
from tests.helpers.page_models import page_model

KEY = "correct horse battery staple"


@pytest.fixture(scope="module")
def answers_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("answers") / "answers.sqlite3"


@pytest.fixture(scope="module")
def page(examples: Path, answers_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served")
    page_model().save_pretrained(folder / "model")
    variables = {
        "GROUPDNET_EVALUATION_ANSWERS": str(answers_file),
        "GROUPDNET_EVALUATION_KEY": KEY,
        "GROUPDNET_EVALUATION_RATERS_PER_HOUR": "2",
    }
    with serve(folder / "model", examples, folder, **variables) as (address, _):
        yield address


def ask(address: str, body: Any = None, **headers: str) -> tuple[int, str]:
    """Return the status and the text of an answer."""
    data = None if body is None else json.dumps(body).encode()
    kind = {"Content-Type": "application/json"} if data else {}
    request = urllib.request.Request(address, data, kind | headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Attacker:
    """Calls events by their numbers, as an attacker finds them in the page's configuration."""

    def __init__(self, page: str) -> None:
        self.page, self.name = page, str(uuid.uuid4())
        _, text = ask(f"{page}config")
        config = json.loads(text)
        kinds = {part["id"]: part["props"].get("elem_id") for part in config["components"]}
        self.numbers: dict[str, int] = {}
        for event in config["dependencies"]:
            targets = [kinds.get(target) for target, _ in event["targets"]]
            if "question-map" in [kinds.get(part) for part in event["outputs"]]:
                self.numbers[targets[0] if targets and targets[0] else "arrival"] = event["id"]
            if "results" in [kinds.get(part) for part in event["outputs"]]:
                self.numbers["results"] = event["id"]

    def call(self, event: str, *data: Any) -> tuple[bool, list[Any]]:
        """Return whether a call succeeded, and what it answered."""
        body = {"data": list(data), "fn_index": self.numbers[event], "session_hash": self.name}
        status, text = ask(f"{self.page}gradio_api/queue/join", body)
        assert status == 200, text
        with urllib.request.urlopen(
            f"{self.page}gradio_api/queue/data?session_hash={self.name}", timeout=60
        ) as stream:
            for line in stream:
                if line.startswith(b"data:") and b"process_completed" in line:
                    message = json.loads(line[5:])
                    return message["success"], message["output"].get("data", [message["output"].get("error")])
        raise AssertionError("no answer came")

    def ask_for_a_question(self) -> tuple[str, str]:
        """Return the signed rater, and the signed question."""
        succeeded, (rater, question, *_) = self.call("arrival", "")
        assert succeeded
        return rater, question


def rows(file: Path) -> list[tuple[Any, ...]]:
    if not file.exists():
        return []
    with sqlite3.connect(file) as opened:
        return opened.execute("SELECT rater, number, answer, seconds FROM answers ORDER BY rowid").fetchall()


def test_nothing_invented_is_counted(page: str, answers_file: Path) -> None:
    attacker = Attacker(page)
    assert {"arrival", "answer-yes", "answer-no", "results"} <= set(attacker.numbers)
    for number in range(30):
        rater = f"{number:032x}"
        _, answered = attacker.call("answer-yes", rater, number % 3)
        assert answered[0] != rater
    rater, question = attacker.ask_for_a_question()
    time.sleep(0.5)
    # Of another rater, changed, or of no kind that a question has.
    _, other = attacker.ask_for_a_question()
    for given in (other, question.replace(".0.", ".1."), question[:-1], rater, "", None, 7, ["x"], {"a": 1}):
        attacker.call("answer-yes", rater, given)
    assert rows(answers_file) == []


def test_a_question_counts_once_and_after_a_look(page: str, answers_file: Path) -> None:
    attacker = Attacker(page)
    rater, question = attacker.ask_for_a_question()
    time.sleep(0.5)
    for event in ("answer-yes", "answer-no", "answer-no"):
        attacker.call(event, rater, question)
    counted = rows(answers_file)
    assert [row[1:3] for row in counted] == [(0, 1)]
    assert counted[0][3] > 0.3

    # Of one address come two raters an hour; who has begun goes on.
    for _ in range(3):
        other, question = attacker.ask_for_a_question()
        time.sleep(0.5)
        attacker.call("answer-yes", other, question)
    assert len({row[0] for row in rows(answers_file)}) == 2
    _, question, *_ = attacker.call("arrival", rater)[1]
    time.sleep(0.5)
    attacker.call("answer-no", rater, question)
    assert [row[1:3] for row in rows(answers_file) if row[0] == counted[0][0]] == [(0, 1), (1, 0)]

    # Others see neither results nor names.
    address = f"{page}evaluation-answers.csv"
    status, sentence = ask(address)
    assert status == 401
    assert "not the key of the results" in sentence
    assert not attacker.call("results", "a guess")[0]
    assert counted[0][0] not in ask(f"{page}evaluation-results")[1]
    status, text = ask(address, Authorization=f"Bearer {KEY}")
    assert status == 200
    table = list(csv.DictReader(io.StringIO(text)))
    assert len(table) == 3
    for row, (name, *_) in zip(table, rows(answers_file), strict=True):
        assert re.fullmatch("[0-9a-f]{16}", row["rater"])
        assert name not in text
        assert row["rater"] not in name
    succeeded, (html,) = attacker.call("results", KEY)
    assert succeeded
    assert "SHE" in html
    while ask(address, Authorization="Bearer guess")[0] == 401:
        pass
    status, sentence = ask(address, Authorization=f"Bearer {KEY}")
    assert status == 429
    assert "Too many wrong keys" in sentence
