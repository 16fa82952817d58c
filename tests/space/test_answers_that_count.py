"""Whose answers count: of raters and to questions that the server has signed; and who sees the results."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="the page needs gradio")
from page.human_eval.answers import Answers
from page.human_eval.asking import LEAST_SECONDS, Interview, raters_from_environment
from page.human_eval.evaluation import Entrant, Evaluation
from page.human_eval.results import KEY, ResultsKey
from page.human_eval.signing import SECRET, Asked, Signer
from page.human_eval.study import make_question

from groupdnet_hub.data.figure_textures import FIGURE_LABELS

HERE, ELSEWHERE = "203.0.113.7", "198.51.100.9"


class Clock:
    now = 1e9

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def interview(tmp_path: Path, examples: Path, clock: Clock) -> Interview:
    return interview_of(["one", "two"], tmp_path, examples, clock)


def interview_of(systems: list[str], folder: Path, examples: Path, clock: Clock) -> Interview:
    answers = Answers(folder / "answers.sqlite3")
    paths = sorted(examples.glob("*.png"))
    entrants = {name: Entrant(None, FIGURE_LABELS, (64, 64)) for name in systems}  # type: ignore[arg-type]
    evaluation = Evaluation(entrants, paths, answers)
    assert evaluation.maps
    return Interview(evaluation, Signer.beside(answers.path), raters_per_hour=2, clock=clock)


def answer(interview: Interview, clock: Clock, rater: str, address: str = HERE, after: float = 2.0) -> str:
    """Answer a rater's next question after so many seconds."""
    due = interview.next_question(rater)
    assert due is not None
    shown = interview.shown(rater, *due)
    clock.now += after
    return interview.take(rater, shown, True, address)


def count(interview: Interview) -> int:
    return sum(score.answers for score in interview.evaluation.answers.scores())


def test_an_answer_counts_once_with_its_seconds(interview: Interview, clock: Clock) -> None:
    rater = interview.rater("")
    shown = interview.shown(rater, "she", 0)
    clock.now += 3.25
    assert [interview.take(rater, shown, said, HERE) for said in (True, False)] == ["", ""]
    with sqlite3.connect(interview.evaluation.answers.path) as file:
        assert file.execute("SELECT answer, seconds FROM answers").fetchall() == [(1, 3.25)]
    assert interview.rater(interview.signer.sign_rater(rater)) == rater


@pytest.mark.parametrize("name", ["", None, 3, [], "0" * 32, f"{'0' * 32}~{'0' * 64}", "é", "~", "x" * 10**6])
def test_an_invented_rater_or_question_counts_nothing(
    interview: Interview, clock: Clock, name: object
) -> None:
    rater = interview.rater(name)
    assert rater != name
    assert rater not in str(name)
    clock.now += 5
    assert "belongs to no question that was shown to you" in interview.take(rater, name, True, HERE)
    assert interview.evaluation.answers.scores() == []


def test_neither_questions_of_others_nor_names_in_their_place(interview: Interview, clock: Clock) -> None:
    one, other = interview.rater(""), interview.rater("")
    assert one != other
    signed = interview.signer.sign_rater(one)
    of_one = interview.shown(one, "she", 0)
    clock.now += 5
    for given in (of_one, signed, of_one.replace(f"{one}.she.0", f"{one}.she.1"), of_one.replace(one, other)):
        assert "belongs to no question" in interview.take(other, given, True, HERE)
    assert interview.signer.rater(of_one) is None
    assert interview.signer.question(signed) is None
    assert count(interview) == 0


def test_too_fast_too_old_and_of_another_study(
    interview: Interview, clock: Clock, tmp_path: Path, examples: Path
) -> None:
    rater = interview.rater("")
    assert "faster than anybody can look" in answer(interview, clock, rater, after=LEAST_SECONDS / 2)
    assert "faster than anybody can look" in answer(interview, clock, rater, after=-100)
    assert "too old" in answer(interview, clock, rater, after=100_000)
    shown = interview.shown(rater, "she", 0)
    clock.now += 5
    changed = interview_of(["one", "three"], tmp_path, examples, clock)
    assert "too old" in changed.take(rater, shown, True, HERE)
    assert count(interview) == 0
    assert answer(changed, clock, rater) == ""  # the rater goes on


def test_an_address_brings_so_many_raters_an_hour(interview: Interview, clock: Clock) -> None:
    raters = [interview.rater("") for _ in range(4)]
    assert [answer(interview, clock, rater) for rater in raters[:2]] == ["", ""]
    told = answer(interview, clock, raters[2])
    assert "More than 2 people of your address have begun within an hour" in told
    assert "GROUPDNET_EVALUATION_RATERS_PER_HOUR" in told
    assert answer(interview, clock, raters[0]) == ""  # who has begun goes on
    assert answer(interview, clock, raters[3], address=ELSEWHERE) == ""
    clock.now += 1800
    assert answer(interview, clock, raters[2]) == ""


def test_the_key_is_kept_beside_the_answers_for_its_owner_alone(tmp_path: Path) -> None:
    answers = tmp_path / "new" / "answers.sqlite3"
    first, second = Signer.beside(answers, {}), Signer.beside(answers, {})
    signed = first.new_rater()
    rater = second.rater(signed)
    assert rater is not None
    assert first.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in answers.parent.iterdir()] == ["answers.sqlite3.key"]
    assert first.pseudonym(rater) == second.pseudonym(rater)
    other = Signer.beside(answers, {SECRET: "x" * 32})
    assert other.rater(signed) is None
    assert other.pseudonym(rater) != first.pseudonym(rater)
    assert first.pseudonym(rater) not in signed
    asked = Asked(rater, "photo", 7, 1.5, "0" * 16)
    assert second.question(first.sign_question(asked)) == asked
    first.path.write_text("no key")
    with pytest.raises(OSError, match="holds no key: restore it, or delete it"):
        Signer.beside(answers, {}).new_rater()
    with pytest.raises(ValueError, match=f"{SECRET} has 5 characters; it must have 32"):
        Signer.beside(answers, {SECRET: "short"})


def test_answers_of_an_earlier_version_stay(tmp_path: Path) -> None:
    answers = Answers(tmp_path / "answers.sqlite3")
    with sqlite3.connect(answers.path) as file:
        file.execute(
            "CREATE TABLE answers (rater TEXT NOT NULL, number INTEGER NOT NULL, model TEXT NOT NULL, label_map TEXT "
            "NOT NULL, class TEXT NOT NULL, seed INTEGER NOT NULL, reroll_seed INTEGER NOT NULL, answer INTEGER NOT "
            "NULL CHECK (answer IN (0, 1)), time TEXT NOT NULL, PRIMARY KEY (rater, number))"
        )
        file.execute(
            "INSERT INTO answers VALUES ('r', 0, 'one', 'a.png', 'hair', 5, 6, 1, '2026-01-01T00:00:00')"
        )
    asked = make_question("r", "she", 1, ["one"], [("a.png", ["hair"])])
    assert answers.next_question("r", ["she"]) == ("she", 1)
    assert answers.add(asked, False, 2.5)
    lines = answers.as_csv(str).splitlines()
    assert lines[0].endswith(",answer,time,seconds")
    assert lines[1] == "r,she,0,one,one,a.png,hair,5,6,1,2026-01-01T00:00:00,"
    assert lines[2].endswith(",2.5")
    assert answers.next_question("r", ["she"]) == ("she", 2)
    with sqlite3.connect(answers.path) as file:
        assert file.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [
            ("answers",)
        ]


def test_results_are_for_whoever_has_the_key() -> None:
    key = ResultsKey("correct horse battery")
    assert key.refusal("correct horse battery", HERE) == (200, "")
    for wrong in ("", None, 3, "\ud800", "correct horse", "x" * 10**6):
        assert key.refusal(wrong, HERE)[0] == 401
    for _ in range(40):  # right ones do not count
        assert key.refusal("correct horse battery", ELSEWHERE)[0] == 200
    for _ in range(20):
        status, told = key.refusal("guess", HERE)
    assert status == 429
    assert "Too many wrong keys came from your address: try again in" in told
    assert key.refusal("correct horse battery", HERE)[0] == 429
    assert key.refusal("correct horse battery", ELSEWHERE)[0] == 200
    status, told = ResultsKey("").refusal("", HERE)
    assert status == 403
    assert KEY in told
    assert "--export_answers" in told
    with pytest.raises(ValueError, match=f"{KEY} has 5 characters; it must have 16"):
        ResultsKey("short")


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5", "9999999"])
def test_a_number_of_raters_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"GROUPDNET_EVALUATION_RATERS_PER_HOUR is .*a whole number from 1 on"
    ):
        raters_from_environment({"GROUPDNET_EVALUATION_RATERS_PER_HOUR": text})
