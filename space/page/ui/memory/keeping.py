"""Work is kept: by the visitor's browser, which offers it back, and as files that are saved and opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from ...core.memory.model_identity import ModelIdentity
from ...core.memory.saved_work import work_of
from ...core.session import Session
from ..components import file_url, script

# What is opened: saved work and looks, and pictures that carry their looks.
FILES = [".zip", ".png"]


@dataclass(frozen=True)
class WorkPanel:
    """What is done with the work as a whole."""

    save: gr.Button
    open: gr.UploadButton


def keeper() -> gr.HTML:
    """Lay out what keeps the session in the browser, and offers earlier work there is in it.

    It sends ``lacks`` with the ``keys`` of looks that the browser does not have, and ``restore`` with ``work`` and
    ``looks`` as it was given them.
    """
    # gradio learns the names of a component's events from its script: "lacks", "restore".
    return gr.HTML(
        "",
        html_template='<div class="keeper"></div>',
        js_on_load=script("work_store.js", "keeper.js"),
        apply_default_css=False,
        elem_id="keeper",
        work=None,
        sent=None,
        download=None,
        refused=0,
    )


def lay_out_work() -> WorkPanel:
    """Lay out the buttons for the work as a whole."""
    with gr.Row(elem_id="work"):
        save = gr.Button("Save work", size="md", elem_id="save-work", min_width=90)
        opens = gr.UploadButton(
            "Open work",
            file_types=FILES,
            file_count="single",
            type="filepath",
            size="md",
            elem_id="open-work",
        )
        # The keeper's script listens to it.
        gr.Button("Earlier work", size="md", elem_id="earlier-work", min_width=90)
    return WorkPanel(save, opens)


def kept_work(session: Session, model: ModelIdentity) -> dict[str, Any]:
    """Return what the browser is to keep of a session; it asks for looks that it lacks.

    Args:
        session: the visitor's.
        model: the page's.

    Returns:
        What ``work.json`` holds, and ``id``, by which works are told apart, ``bare``, whether nothing was made yet,
        ``left_out``, how many pictures are too much, and ``picture``, a small one.
    """
    if session.look is None:
        return {"id": session.work, "bare": True, "model": model.as_json()}
    work = work_of(session)
    first = session.bundled[0].packed.key if session.bundled else None
    bare = (
        [look.key for look in work.steps] == [first]
        and not session.shelf
        and not session.locked
        and not session.deleted
    )
    return {
        **work.facts(model),
        "id": session.work,
        "bare": bare,
        "left_out": work.left_out,
        "picture": file_url(work.steps[work.at].thumbnail, "image/webp"),
    }
