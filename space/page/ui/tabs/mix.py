"""The tab "Mix": the appearance of each class from another look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from groupdnet_hub import LabelSet

from ...core import actions
from ...core.lazy_model import refusing
from ...core.session import CURRENT, Session
from ...core.studio import Studio
from ..components import mixing_board
from ..events import waiting_on
from ..views import SessionView, Updates


@dataclass(frozen=True)
class MixPanel:
    """The table of looks and classes, and the button that mixes them."""

    board: gr.HTML
    mix: gr.Button


def lay_out_mix(labels: LabelSet) -> MixPanel:
    """Lay out the tab."""
    gr.HTML(
        "<p>Choose whose appearance each class takes. Press a picture to take everything from it.</p>",
        elem_classes="hint",
        apply_default_css=False,
    )
    board = mixing_board("board", labels, {"looks": [], "base": CURRENT, "sources": {}})
    return MixPanel(board, gr.Button("Mix", variant="primary", elem_id="mix"))


def add_mix_events(studio: Studio, panel: MixPanel, view: SessionView) -> None:
    """Connect the tab."""

    def on_mix(session: Session, board: Any) -> Updates:
        session = studio.enter(session)
        base, sources = refusing(_choices)(board)
        mixed = studio.run(actions.mix, session, base, sources)
        taken = ", ".join(f"{class_} of {name}" for class_, name in sources.items())
        told = f"Mixed: {base}, with {taken}."
        if mixed.look is session.look:
            told = "The picture has these appearances already: this mix changes nothing."
        return view.changed(session, mixed, told)

    panel.mix.click(on_mix, [view.state, panel.board], view.outputs, **waiting_on(view.stage.picture.picture))


def _choices(board: Any) -> tuple[str, dict[str, str]]:
    """Return what was chosen on the mixing board; it comes from the visitor's browser, and may be anything."""
    chosen = board if isinstance(board, dict) else {}
    base, sources = chosen.get("base"), chosen.get("sources")
    if not isinstance(base, str) or not isinstance(sources, dict):
        raise ValueError("the mixing board sent no choices: reload the page.")
    return base, {str(class_): str(name) for class_, name in sources.items()}
