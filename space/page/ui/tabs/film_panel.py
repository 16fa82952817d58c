"""The film of a morph in the tab "Morph": what makes it, how far it is, and what stops it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import gradio as gr

from ...core.film import Film, FilmProgress
from ...core.lazy_model import refusing
from ...core.session import CURRENT, Session
from ...core.studio import Studio
from ..components import script
from ..events import FILMS
from ..views import SessionView, Updates

_HIDDEN: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
# What is being drawn is stopped by ``film.js``; what is there already is offered no more.
_STALE = """(film, first, second) => {
    const state = film?.state ?? "";
    const told = "The looks or the settings have changed since: make the film again.";
    if (state === "ready") film = { state: "", told };
    if (state === "drawing") film = { ...film, stale: true };
    return [film, { __type__: "update", interactive: false }];
}"""
# The picture on the page is in the film only as a look to start from or to arrive at.
_STALE_PICTURE = f"""(film, first, second) =>
    [first, second].includes("{CURRENT}") ? ({_STALE})(film) : [film, {{ __type__: "update" }}]
"""


@dataclass(frozen=True)
class FilmPanel:
    """What makes a film of the morph."""

    format: gr.Radio
    full_range: gr.Checkbox
    make: gr.Button
    cancel: gr.Button
    download: gr.DownloadButton
    progress: gr.HTML


def lay_out_film() -> FilmPanel:
    """Lay out the panel."""
    with gr.Row(elem_id="film-row"):
        chosen = gr.Radio(["GIF", "MP4"], value="GIF", label="Film", elem_id="film-format")
        full_range = gr.Checkbox(
            False, label="The full range, not only A to B", elem_id="film-whole", min_width=150
        )
        make = gr.Button("Make the film", elem_id="film-make", min_width=110)
        cancel = gr.Button("Cancel", interactive=False, elem_id="film-cancel", min_width=80)
        download = gr.DownloadButton(
            "Download", interactive=False, elem_id="film", min_width=100, variant="primary"
        )
    return FilmPanel(chosen, full_range, make, cancel, download, _progress_line())


def _progress_line() -> gr.HTML:
    """Lay out how far a film is; ``stale`` is sent when what is being drawn is no longer what was asked for."""
    return gr.HTML(
        {},
        html_template='<div class="film-told"><progress aria-label="The film" hidden></progress>'
        '<small hidden></small><p class="sentence" role="status"></p></div>',
        js_on_load=script("film.js"),
        apply_default_css=False,
        elem_id="film-status",
    )


def add_film_events(
    page: gr.Blocks,
    studio: Studio,
    panel: FilmPanel,
    view: SessionView,
    chosen: tuple[gr.Dropdown, gr.Dropdown, gr.CheckboxGroup],
) -> None:
    """Connect the panel.

    Args:
        page: which stops a film when it is left.
        studio: which makes it.
        panel: the panel.
        view: of the session, whose looks are filmed.
        chosen: the two looks, and the classes that change.
    """
    first, second, _ = chosen

    async def on_make(
        session: Session,
        first: str,
        second: str,
        classes: list[str],
        kind: str,
        full_range: bool,
        request: gr.Request,
    ) -> AsyncIterator[Updates]:
        film = Film(first, second, classes, kind.lower(), full_range)
        steps = refusing(studio.films.make)(str(request.session_hash), studio.enter(session), film)
        yield {
            panel.make: gr.update(interactive=False),
            panel.cancel: gr.update(interactive=True),
            panel.download: gr.update(interactive=False),
        }
        try:
            async with aclosing(steps):
                async for step in steps:
                    yield _shown(panel, step, kind)
        except Exception:
            yield _ended(panel, {"told": "The film was not made.", "state": ""})
            raise

    async def on_cancel(request: gr.Request) -> None:
        studio.films.stop(str(request.session_hash), "Cancelled")

    async def on_stale(request: gr.Request) -> None:
        studio.films.stop(str(request.session_hash), "The looks or the settings have changed")

    settings: list[Any] = [*chosen, panel.format, panel.full_range]
    outputs = [panel.make, panel.cancel, panel.download, panel.progress]
    panel.make.click(on_make, [view.state, *settings], outputs, **_HIDDEN, **FILMS)
    panel.cancel.click(on_cancel, None, None, queue=False, **_HIDDEN)
    panel.progress.stale(on_stale, None, None, queue=False, **_HIDDEN)
    page.unload(on_cancel)
    known, shown = [panel.progress, first, second], [panel.progress, panel.download]
    for part in settings:
        part.input(None, known, shown, js=_STALE, **_HIDDEN)
    view.stage.picture.picture.change(None, known, shown, js=_STALE_PICTURE, **_HIDDEN)


def _shown(panel: FilmPanel, step: FilmProgress, kind: str) -> Updates:
    """Return what is told of a film."""
    if step.stopped:
        told = f"{step.stopped}: the film was stopped after {step.drawn} of {step.total} pictures."
        return _ended(panel, {"told": told, "state": ""})
    if step.path is not None:
        ready = gr.update(value=str(step.path), interactive=True, label=f"Download the {kind}")
        return {panel.download: ready} | _ended(panel, {"told": "The film is ready.", "state": "ready"})
    if step.before:
        films = "1 film is" if step.before == 1 else f"{step.before} films are"
        return {panel.progress: _drawing(f"{films} before yours", step.drawn, step.total)}
    told = "The film is being drawn" if step.drawn < step.total else "The film is being written"
    return {panel.progress: _drawing(told, step.drawn, step.total)}


def _ended(panel: FilmPanel, progress: dict[str, Any]) -> Updates:
    buttons = {panel.make: gr.update(interactive=True), panel.cancel: gr.update(interactive=False)}
    return buttons | {panel.progress: progress}


def _drawing(told: str, drawn: int, total: int) -> dict[str, Any]:
    return {"told": told, "state": "drawing", "drawn": drawn, "of": total}
