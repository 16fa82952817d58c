"""The page of the human evaluation: 50 questions of each study for a rater."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from html import escape
from typing import Any, TypeVar

import gradio as gr
from gradio.components import Navbar

from ..core.refusal import Refusal, inform
from ..server.crowds.addresses import address_of_call
from ..ui.components import data_url, picture, sentence
from .asking import Interview
from .evaluation import Evaluation
from .study import QUESTIONS, STUDIES, Study

MAIN_PAGE = "Studio"
ResultT = TypeVar("ResultT")
# Nothing that a visitor of the studio does waits for a question.
_WORKER: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "evaluation"}


def add_evaluation_page(page: gr.Blocks, interview: Interview) -> None:
    """Lay out the questions. A rater who comes back in the same browser resumes where they stopped."""
    evaluation = interview.evaluation
    Navbar(main_page_name=MAIN_PAGE)
    first = STUDIES[evaluation.studies[0]]
    title = gr.HTML(_heading(first), elem_id="title", apply_default_css=False)
    # The browser keeps a name that the server has signed; a fixed key lets it outlive a restart of the page.
    rater = gr.BrowserState("", storage_key="groupdnet-rater", secret="groupdnet")  # nosec B106
    # In the browser too, so that the question can be answered after a restart.
    asked = gr.Textbox(visible=False)
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
            buttons = [
                gr.Button(text, elem_id=elem_id)
                for text, elem_id in ((first.first, "answer-first"), (first.second, "answer-second"))
            ]
        legend = _legend(evaluation)

    def ask(name: str) -> list[Any]:
        signed, due = interview.signer.sign_rater(name), interview.next_question(name)
        count = QUESTIONS * len(evaluation.studies)
        if due is None:
            ended = f"All {count} questions are answered. Thank you!"
            return [signed, "", ended, None, None, None, gr.update(visible=False), *[gr.skip()] * 4]
        study = STUDIES[due[0]]
        label, *pair = evaluation.draw(evaluation.question(name, *due))
        shown_map = (
            gr.update(visible=False) if label is None else gr.update(value=data_url(label), visible=True)
        )
        told = f"Question {QUESTIONS * evaluation.studies.index(study.name) + due[1] + 1} of {count}"
        return [
            signed,
            interview.shown(name, *due),
            told,
            shown_map,
            *map(data_url, pair),
            gr.update(visible=True),
            _heading(study),
            study.first,
            study.second,
            gr.update(visible=study.shows_map),
        ]

    @_telling
    def on_arrival(signed: Any) -> list[Any]:
        return ask(interview.rater(signed))

    @_telling
    def on_answer(signed: Any, question: Any, answer: bool, request: gr.Request) -> list[Any]:
        name = interview.rater(signed)
        told = interview.take(name, question, answer, address_of_call(request))
        if told:
            inform(told)
        return ask(name)

    def on_first(signed: Any, question: Any, request: gr.Request) -> list[Any]:
        return on_answer(signed, question, True, request)

    def on_second(signed: Any, question: Any, request: gr.Request) -> list[Any]:
        return on_answer(signed, question, False, request)

    outputs = [rater, asked, progress, *shown, question, title, *buttons, legend]
    options: dict[str, Any] = {"api_visibility": "private", "show_progress_on": shown[1:], **_WORKER}
    page.load(on_arrival, rater, outputs, **options)
    for button, action in zip(buttons, (on_first, on_second), strict=True):
        button.click(action, [rater, asked], outputs, **options)


def _telling(action: Callable[..., ResultT]) -> Callable[..., ResultT]:
    """Return an action that says on the page when answers cannot be written; why is for whoever runs it."""

    @functools.wraps(action)
    def wrapped(*arguments: Any) -> ResultT:
        try:
            return action(*arguments)
        except OSError:
            logging.getLogger(__name__).exception("The human evaluation stands still")
            raise Refusal(
                "Answers cannot be saved at the moment; earlier answers are safe. Try again later."
            ) from None

    return wrapped


def _heading(study: Study) -> str:
    return f"<h1>{study.title}</h1><p>{study.text}</p>"


def _legend(evaluation: Evaluation) -> gr.HTML:
    items = "".join(
        f'<li><i class="swatch" style="background: rgb({r} {g} {b})"></i>{escape(name)}</li>'
        for name, (r, g, b) in zip(evaluation.labels.names, evaluation.labels.palette, strict=True)
    )
    return gr.HTML(f'<ul class="legend" aria-label="Classes">{items}</ul>', apply_default_css=False)
