"""The pages of the human evaluation: 50 questions for a rater, and the results for whoever asked them."""

from __future__ import annotations

import base64
import functools
import logging
import os
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
import numpy as np
from gradio.components import Navbar
from PIL import Image

from groupdnet_hub import GroupDNetPipeline, LabelSet, load_system
from groupdnet_hub.baselines import SystemConfig
from groupdnet_hub.data.labels import classes_present, colour_picture

from ..core.budget import check_memory
from ..core.example_maps import example_map, example_maps
from ..core.lazy_model import LazyModel, read_config
from ..core.refusal import Refusal
from ..core.studio import Studio
from ..ui.components import data_url, picture, sentence
from .study import QUESTIONS, Answers, AnswersError, Question, Score, draw_picture, make_question

MAIN_PAGE = "Studio"
DrawPicture = Callable[[Question, np.ndarray, int], Image.Image]
ResultT = TypeVar("ResultT")
# Nothing that a visitor of the studio does waits for a question.
_WORKER: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "evaluation"}
_RATER = re.compile(r"[0-9a-f]{32}")


class Evaluation:
    """What is asked: label maps, and the systems that are compared.

    Args:
        systems: by the name under which a system's answers are written, what draws one of the two pictures of a
            question on its label map.
        paths: of the label maps; those of other classes or proportions are left out.
        answers: the file of the answers.
    """

    def __init__(
        self,
        systems: Mapping[str, DrawPicture],
        labels: LabelSet,
        size: tuple[int, int],
        paths: Sequence[Path],
        answers: Answers,
    ) -> None:
        self.systems, self.labels, self.size, self.answers = dict(systems), labels, size, answers
        self.maps: dict[str, np.ndarray] = {}
        for path in paths:
            try:
                self.maps[path.name] = example_map(path, labels, size)
            except ValueError:
                continue
        self.shown = [
            (name, [labels.names[class_id] for class_id in classes_present(label, len(labels))])
            for name, label in self.maps.items()
        ]

    @classmethod
    def from_environment(cls, studio: Studio, examples: Path, default_file: Path) -> Evaluation:
        """Make what ``GROUPDNET_EVALUATION_MODELS``, ``_MAPS`` and ``_ANSWERS`` say; else use the page's own.

        Raises:
            ValueError, OSError: for systems of different label sets or sizes, two of one name, a configuration that
                cannot be read, and models that cost too much, each or together.
        """
        sources = os.environ.get("GROUPDNET_EVALUATION_MODELS", studio.source).split(",")
        folder = os.environ.get("GROUPDNET_EVALUATION_MAPS")
        file = os.environ.get("GROUPDNET_EVALUATION_ANSWERS", default_file)
        systems: dict[str, DrawPicture] = {}
        configs: list[SystemConfig] = []
        for one in map(str.strip, sources):
            name = Path(one).resolve().name if Path(one).is_dir() else one
            if name in systems:
                raise ValueError(f"two models of the evaluation are called {name}: rename a folder")
            config = studio.config if one == studio.source else read_config(one)
            configs.append(config)
            if (config.class_names, config.image_size) != (configs[0].class_names, configs[0].image_size):
                raise ValueError(
                    f"the models of an evaluation must be of one label set and size; {name} is not"
                )
            if one == studio.source:  # its weights are there already
                systems[name] = functools.partial(studio.run_piece, _draw_with_pipeline)
            else:
                model = LazyModel(one, load_system, studio.worker)
                systems[name] = functools.partial(model.run_piece, draw_picture)
        labels = LabelSet(configs[0].class_names, configs[0].palette, configs[0].ignore)
        paths = sorted(Path(folder).glob("*.png")) if folder else example_maps(examples, labels)
        costs = {one.strip(): config.cost for one, config in zip(sources, configs, strict=True)}
        check_memory({studio.source: studio.config.cost, **costs})
        evaluation = cls(systems, labels, configs[0].image_size, paths, Answers(file))
        if folder and not evaluation.maps:
            raise ValueError(
                f"GROUPDNET_EVALUATION_MAPS: {folder} holds no label map (PNG) of the models' classes and proportions"
            )
        return evaluation

    def question(self, rater: str, number: int) -> Question:
        """Return the question with this number, 0 to ``QUESTIONS`` - 1."""
        return make_question(rater, number, list(self.systems), self.shown)

    def draw(self, question: Question) -> tuple[Any, Any, Any]:
        """Draw the label map in its colours, and the two pictures."""
        label = self.maps[question.label_map]
        draw = self.systems[question.model]
        return colour_picture(label, self.labels), draw(question, label, 0), draw(question, label, 1)


def add_evaluation_page(page: gr.Blocks, evaluation: Evaluation) -> None:
    """Lay out the questions. A rater who comes back in the same browser resumes where they stopped."""
    Navbar(main_page_name=MAIN_PAGE)
    gr.HTML(
        "<h1>Do the two pictures differ in one class only?</h1>"
        "<p>Both were drawn for the same label map. One class, hair for example, may look different. "
        "Say <b>yes</b> if everything else is the same to your eye. Take all the time you need.</p>",
        elem_id="title",
        apply_default_css=False,
    )
    # The browser keeps a random name, no secret; a fixed key lets it outlive a restart of the page.
    rater = gr.BrowserState("", storage_key="groupdnet-rater", secret="groupdnet")  # nosec B106
    asked = gr.State(0)
    progress = sentence("question-number", "")
    with gr.Column() as question:
        with gr.Row(elem_id="question"):
            size, waiting = evaluation.size, "The question is being drawn"
            shown = [
                picture("question-map", size, "The label map", waiting),
                picture("question-a", size, "One picture", waiting),
                picture("question-b", size, "Another picture", waiting),
            ]
        with gr.Row(elem_id="answers"):
            # Both buttons look the same: neither answer is to be suggested.
            yes = gr.Button("Yes, only one class differs", elem_id="answer-yes")
            no = gr.Button("No, more than that differs", elem_id="answer-no")
        _legend(evaluation)

    def ask(name: str) -> list[Any]:
        number = evaluation.answers.next_number(name)
        if number == QUESTIONS:
            ended = f"All {QUESTIONS} questions are answered. Thank you!"
            return [name, number, ended, None, None, None, gr.update(visible=False)]
        pictures = evaluation.draw(evaluation.question(name, number))
        told = f"Question {number + 1} of {QUESTIONS}"
        return [name, number, told, *map(data_url, pictures), gr.update(visible=True)]

    @_telling
    def on_arrival(name: Any) -> list[Any]:
        return ask(_checked_rater(name))

    @_telling
    def on_answer(name: Any, number: int, answer: bool) -> list[Any]:
        known = _checked_rater(name)
        # A second press, or a second window, answers a question that is no longer asked.
        if name == known and number == evaluation.answers.next_number(known) < QUESTIONS:
            evaluation.answers.add(evaluation.question(known, number), answer)
        return ask(known)

    outputs = [rater, asked, progress, *shown, question]
    options: dict[str, Any] = {"api_visibility": "private", "show_progress_on": shown[1:], **_WORKER}
    page.load(on_arrival, rater, outputs, **options)
    yes.click(lambda name, number: on_answer(name, number, True), [rater, asked], outputs, **options)
    no.click(lambda name, number: on_answer(name, number, False), [rater, asked], outputs, **options)


def _telling(action: Callable[..., ResultT]) -> Callable[..., ResultT]:
    """Return an action that says on the page when answers cannot be written; why is for whoever runs it."""

    @functools.wraps(action)
    def wrapped(*arguments: Any) -> ResultT:
        try:
            return action(*arguments)
        except AnswersError:
            logging.getLogger(__name__).exception("The human evaluation stands still")
            raise Refusal(
                "Answers cannot be saved at the moment; earlier answers are safe. Try again later."
            ) from None

    return wrapped


def add_results_page(page: gr.Blocks, evaluation: Evaluation) -> None:
    """Lay out the fraction of "yes" for each model, and all answers as CSV."""
    Navbar(main_page_name=MAIN_PAGE)
    results = gr.HTML(elem_id="results", apply_default_css=False)
    page.load(lambda: results_html(evaluation.answers), None, results, api_visibility="private", **_WORKER)


def results_html(answers: Answers) -> str:
    """Return a table of all models, and a link with the CSV in it."""
    scores = answers.scores()
    if not scores:
        return "<h1>Human evaluation</h1><p>No question has been answered yet.</p>"
    table = base64.b64encode(answers.as_csv().encode()).decode()
    return (
        "<h1>Human evaluation</h1><p>Fraction of the pairs that people saw differ in one class only (SHE), with its "
        "95% interval (Wilson).</p><table><thead><tr><th>model</th><th>SHE</th><th>interval</th><th></th>"
        f"<th>answers</th><th>raters</th></tr></thead><tbody>{''.join(map(_row, scores))}</tbody></table>"
        f'<p><a id="csv" download="answers.csv" href="data:text/csv;base64,{table}">All answers as CSV</a></p>'
    )


def _row(score: Score) -> str:
    percent, low, high = 100 * score.fraction, 100 * score.low, 100 * score.high
    bar = (
        f'<div class="interval" role="img" aria-label="{low:.1f} to {high:.1f} of 100">'
        f'<i style="left: {low:.1f}%; width: {high - low:.1f}%"></i><b style="left: {percent:.1f}%"></b></div>'
    )
    return (
        f"<tr><td>{escape(score.model)}</td><td><b>{percent:.1f} %</b></td>"
        f"<td>{low:.1f} to {high:.1f} %</td><td>{bar}</td><td>{score.answers}</td><td>{score.raters}</td></tr>"
    )


def _legend(evaluation: Evaluation) -> None:
    items = "".join(
        f'<li><i class="swatch" style="background: rgb({r} {g} {b})"></i>{escape(name)}</li>'
        for name, (r, g, b) in zip(evaluation.labels.names, evaluation.labels.palette, strict=True)
    )
    gr.HTML(f'<ul class="legend" aria-label="Classes">{items}</ul>', apply_default_css=False)


def _checked_rater(name: Any) -> str:
    """Return a rater's name as a browser keeps it, or a new one."""
    return name if isinstance(name, str) and _RATER.fullmatch(name) else secrets.token_hex(16)


def _draw_with_pipeline(
    pipeline: GroupDNetPipeline, question: Question, label_map: np.ndarray, place: int
) -> Image.Image:
    return draw_picture(pipeline.model, question, label_map, place)
