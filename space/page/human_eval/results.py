"""The results of the human evaluation: for whoever has the key, on a page, as CSV, and by a command."""

from __future__ import annotations

import base64
import hashlib
import hmac
import math
import os
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Navbar
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from groupdnet_hub.io.atomic import atomic_write

from ..core.refusal import Refusal
from ..server.crowds.addresses import address_of, address_of_call
from ..server.crowds.rates import Allowance
from ..server.refusals.answers import refusal
from .answers import Answers, AnswersError
from .scores import Score
from .signing import Signer
from .study import STUDIES, Study

KEY = "GROUPDNET_EVALUATION_KEY"  # nosec B105
CSV_ADDRESS = "/evaluation-answers.csv"
_LEAST_KEY = 16
# Wrong keys of one address that are looked at in an hour.
_TRIES = 20
_HOUR = 3600
_UNSET = (
    f"Results are shown to nobody here, since the page was started without a key. Set {KEY} to one of {_LEAST_KEY} "
    "characters or more and start it again; python space/app.py --export_answers FILE.csv writes them without a key."
)
_EVENT: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": 1, "concurrency_id": "evaluation"}


class ResultsKey:
    """Whoever has it sees the results; wrong ones are looked at a few times an hour.

    Args:
        key: of the operator; empty if nobody is to see them.

    Raises:
        ValueError: for one that is soon guessed.
    """

    def __init__(self, key: str) -> None:
        if key and len(key) < _LEAST_KEY:
            raise ValueError(
                f"{KEY} has {len(key)} characters; it must have {_LEAST_KEY} at least, drawn at random."
            )
        self._digest = _digest(key) if key else b""
        self._tries = Allowance(_TRIES / _HOUR, _TRIES)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> ResultsKey:
        """Return the key that ``GROUPDNET_EVALUATION_KEY`` sets.

        Raises:
            ValueError: as the class.
        """
        return cls(environment.get(KEY, ""))

    def refusal(self, given: object, address: str) -> tuple[int, str]:
        """Return the status and a sentence that say why nothing is shown; an empty sentence if the key is right.

        Args:
            given: by whoever asks.
            address: where they are.
        """
        if not self._digest:
            return 403, _UNSET
        wait = self._tries.take(address, 1)
        if wait:
            minutes = math.ceil(wait / 60)
            return 429, f"Too many wrong keys came from your address: try again in {minutes} minutes."
        if isinstance(given, str) and hmac.compare_digest(_digest(given), self._digest):
            self._tries.take(address, -1)  # given back: only wrong ones count
            return 200, ""
        return 401, f"This is not the key of the results: it is what {KEY} was when the page was started."

    @property
    def is_set(self) -> bool:
        """Whether there is one."""
        return bool(self._digest)


def add_results_page(answers: Answers, signer: Signer, key: ResultsKey) -> None:
    """Lay out the scores of each study, and all answers as CSV, for whoever enters the key."""
    Navbar(main_page_name="Studio")
    gr.HTML("<h1>Human evaluation</h1>", apply_default_css=False)
    if not key.is_set:
        gr.HTML(f"<p>{escape(_UNSET)}</p>", elem_id="results", apply_default_css=False)
        return
    with gr.Row():
        entered = gr.Textbox(label="Key", type="password", max_length=256, elem_id="results-key")
        show = gr.Button("Show the results", elem_id="results-show")
    results = gr.HTML(elem_id="results", apply_default_css=False)

    def on_show(given: Any, request: gr.Request) -> str:
        _, sentence = key.refusal(given, address_of_call(request))
        if sentence:
            raise Refusal(sentence)
        try:
            return results_html(answers, signer)
        except OSError as error:
            raise Refusal(str(error)) from error

    gr.on([show.click, entered.submit], on_show, entered, results, **_EVENT)


def results_html(answers: Answers, signer: Signer) -> str:
    """Return a table of all models for each study, and a link with the CSV in it."""
    scores = answers.scores()
    if not scores:
        return "<p>No question has been answered yet.</p>"
    tables = "".join(
        _table(study, of_study)
        for study in STUDIES.values()
        if (of_study := [score for score in scores if score.study == study.name])
    )
    csv = base64.b64encode(answers.as_csv(signer.pseudonym).encode()).decode()
    link = f'<a id="csv" download="answers.csv" href="data:text/csv;base64,{csv}">All answers as CSV</a>'
    return f"{tables}<p>{link}</p>"


def _table(study: Study, scores: list[Score]) -> str:
    return (
        f"<p>Fraction of the {study.measure}, with its 95% interval (Wilson).</p><table><thead><tr><th>model</th>"
        f"<th>{escape(study.name)}</th><th>interval</th><th></th><th>answers</th><th>raters</th></tr></thead>"
        f"<tbody>{''.join(map(_row, scores))}</tbody></table>"
    )


def _row(score: Score) -> str:
    percent, low, high = 100 * score.fraction, 100 * score.low, 100 * score.high
    bar = (
        f'<div class="interval" role="img" aria-label="{low:.1f} to {high:.1f} of 100">'
        f'<i style="left: {low:.1f}%; width: {high - low:.1f}%"></i><b style="left: {percent:.1f}%"></b></div>'
    )
    name = f"{score.model} over {score.rival}" if score.rival else score.model
    return (
        f"<tr><td>{escape(name)}</td><td><b>{percent:.1f} %</b></td>"
        f"<td>{low:.1f} to {high:.1f} %</td><td>{bar}</td><td>{score.answers}</td><td>{score.raters}</td></tr>"
    )


def csv_route(answers: Answers, signer: Signer, key: ResultsKey) -> Route:
    """Return what sends all answers to programs that have the key: ``Authorization: Bearer KEY``."""

    def answer(request: Request) -> Response:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        status, sentence = key.refusal(given if kind.lower() == "bearer" else None, address_of(request.scope))
        text = ""
        if not sentence:
            try:
                text = answers.as_csv(signer.pseudonym)
            except OSError as error:
                status, sentence = 503, str(error)
        if sentence:
            headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
            return refusal(status, sentence, headers)
        return Response(text, media_type="text/csv", headers={"Cache-Control": "no-store"})

    return Route(CSV_ADDRESS, answer)


def export_answers(answers: Answers, signer: Signer, file: Path) -> None:
    """Write all answers as CSV.

    Raises:
        OSError: if there are none, or the file cannot be written.
    """
    if not answers.path.is_file():
        raise AnswersError(
            f"there is no file of answers {answers.path}: name it by GROUPDNET_EVALUATION_ANSWERS"
        )
    with atomic_write(file) as partial:
        partial.write_text(answers.as_csv(signer.pseudonym), encoding="utf-8", newline="")


def _digest(key: str) -> bytes:
    """Return bytes of one length, so that comparing them takes one time."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
