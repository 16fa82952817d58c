"""The human evaluation in a real browser, from the first question to the results."""

from __future__ import annotations

import csv
import io
import shutil
import sqlite3
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page.human_eval.answers import Answers
from page.human_eval.asking import LEAST_SECONDS
from page.human_eval.pictures import draw_picture
from page.human_eval.study import QUESTIONS, Question

from groupdnet_hub import GroupDNetConfig, load_system
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.label_maps import read_label_map
from groupdnet_hub.figures import write_figures
from tests.browser.conftest import EVALUATION_KEY, serve
from tests.browser.visitor import click, is_shown, pixels, source, status, wait_for

pytestmark = pytest.mark.browser


def open_evaluation(browser: Any, address: str) -> None:
    browser.get(f"{address}evaluation")
    wait_for(
        lambda: source(browser, "#question-b") or "answered" in status(browser, "#question-number"),
        "a question",
    )


def enter_key(browser: Any, key: str) -> None:
    field = wait_for(
        lambda: next(iter(browser.find_elements("css selector", "#results-key input")), None),
        "the key's field",
    )
    field.clear()
    field.send_keys(key, "\n")


@pytest.mark.slow
def test_from_the_first_question_to_the_results(
    browser: Any, page_address: str, model_folder: Path, answers_file: Path
) -> None:
    open_evaluation(browser, page_address)
    shown = [pixels(browser, selector) for selector in ("#question-map", "#question-a", "#question-b")]
    label = read_label_map(shown[0].astype(np.uint8), FIGURE_LABELS, tolerance=0)
    for number in range(QUESTIONS):
        asked = f"Question {number + 1} of {QUESTIONS}"
        wait_for(lambda asked=asked: status(browser, "#question-number") == asked, asked)
        if number == 7:  # coming back later
            open_evaluation(browser, page_address)
            wait_for(lambda asked=asked: status(browser, "#question-number") == asked, "the sentence")
        time.sleep(LEAST_SECONDS)  # nobody answers faster
        click(browser, "#answer-second" if number % 5 == 0 else "#answer-first")
    wait_for(lambda: "Thank you" in status(browser, "#question-number"), "the end")
    for _ in range(2):  # also later
        wait_for(lambda: not is_shown(browser, "#question"), "the end of the questions")
        text = browser.find_element("css selector", "body").text
        assert "being drawn" not in text
        assert "only one class differs" not in text
        open_evaluation(browser, page_address)
        wait_for(lambda: "Thank you" in status(browser, "#question-number"), "the sentence")
    text = browser.find_element("css selector", "body").text
    assert model_folder.name not in text.split()  # blind to the model

    # What was shown is what the rows say: the first question's pair.
    rows = sqlite3.connect(answers_file).execute("SELECT * FROM answers ORDER BY number").fetchall()
    assert len(rows) == QUESTIONS
    assert sum(row[9] for row in rows) == QUESTIONS - QUESTIONS // 5
    system = load_system(model_folder)
    pair = [draw_picture(system, Question(*rows[0][:9]), label, place) for place in (0, 1)]
    for picture, expected in zip(shown[1:], pair, strict=True):
        np.testing.assert_allclose(picture, np.asarray(expected).astype(int), atol=1)
    assert rows[0][6] in {FIGURE_LABELS.names[class_id] for class_id in np.unique(label)}

    browser.get(f"{page_address}evaluation-results")
    enter_key(browser, "no key of the results")
    wait_for(
        lambda: "not the key of the results" in browser.find_element("css selector", "body").text, "a refusal"
    )
    enter_key(browser, EVALUATION_KEY)
    cells = wait_for(
        lambda: [e.text for e in browser.find_elements("css selector", "#results tbody td")] or None,
        "the results",
    )
    assert cells[0] == model_folder.name
    assert cells[1] == "80.0 %"
    assert cells[2] == "67.0 to 88.8 %"
    assert cells[4:] == ["50", "1"]
    address = browser.find_element("css selector", "#csv").get_attribute("href")
    with urllib.request.urlopen(address) as answer:
        table = list(csv.DictReader(io.StringIO(answer.read().decode())))
    assert [int(row["answer"]) for row in table] == [int(n % 5 != 0) for n in range(QUESTIONS)]


@pytest.mark.slow
def test_what_looks_like_a_photo(browser: Any, model_folder: Path, examples: Path, tmp_path: Path) -> None:
    """Two studies one after the other: without a label map, each with its own words, and results for each."""
    size = GroupDNetConfig.from_file(model_folder / "config.json").image_size
    write_figures(tmp_path / "data", 3, split="validation", size=size)
    shutil.copytree(model_folder, tmp_path / "other")
    answers = Answers(tmp_path / "answers.sqlite3")
    variables = {
        "GROUPDNET_EVALUATION_STUDIES": "preference,photo",
        "GROUPDNET_EVALUATION_MODELS": f"{model_folder},{tmp_path / 'other'}",
        "GROUPDNET_EVALUATION_PHOTOS": str(tmp_path / "data"),
        "GROUPDNET_EVALUATION_ANSWERS": str(answers.path),
        "GROUPDNET_EVALUATION_KEY": EVALUATION_KEY,
    }

    def reached(number: int) -> None:
        asked = f"Question {number} of {2 * QUESTIONS}"
        wait_for(lambda: status(browser, "#question-number") == asked, asked)
        time.sleep(LEAST_SECONDS)  # nobody answers faster

    with serve(model_folder, examples, tmp_path, **variables) as (address, _):
        open_evaluation(browser, address)
        reached(1)
        assert "Which picture looks more like a photo?" in browser.find_element("css selector", "#title").text
        assert not is_shown(browser, "#question-map")
        assert not is_shown(browser, ".legend")
        click(browser, "#answer-second")
        reached(2)
        with sqlite3.connect(answers.path) as file:
            ((rater, study, said),) = file.execute("SELECT rater, study, answer FROM answers").fetchall()
        assert (study, said) == ("preference", 0)
        for number in range(1, QUESTIONS - 1):
            answers.add(Question(rater, study, number, model_folder.name, "other", "a.png", "", 1, 2), True)
        open_evaluation(browser, address)
        reached(QUESTIONS)
        click(browser, "#answer-first")
        reached(QUESTIONS + 1)
        assert "Which of the two is the photo?" in browser.find_element("css selector", "#title").text
        click(browser, "#answer-first")
        reached(QUESTIONS + 2)
        browser.get(f"{address}evaluation-results")
        enter_key(browser, EVALUATION_KEY)
        names = wait_for(
            lambda: (
                [e.text for e in browser.find_elements("css selector", "#results td:first-child")] or None
            ),
            "the results",
        )
        assert names[0] == " over ".join(sorted([model_folder.name, "other"]))
        assert names[1] in (model_folder.name, "other")
        assert "took the drawn picture for the photo" in browser.find_element("css selector", "#results").text
        browser.get("about:blank")  # before its server ends


def test_the_studio_shows_the_way_to_it(browser: Any, page_address: str) -> None:
    browser.get(page_address)
    links = wait_for(
        lambda: [e.text for e in browser.find_elements("css selector", "nav a") if e.text] or None,
        "the links",
    )
    assert links == ["Studio", "Human evaluation", "For programs"]
