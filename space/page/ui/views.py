"""What the page shows of a session: values for its components, in the order of ``Parts``' lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
import numpy as np

from groupdnet_hub import LabelSet

from ..core import photos
from ..core import session as sessions
from ..core.cutting import class_window
from ..core.session import CURRENT, Session, ShelfItem
from .components import data_url, thumbnail
from .painter import canvas_value


def stage_view(
    session: Session,
    labels: LabelSet,
    message: str,
    *,
    before: np.ndarray | None = None,
    seed: int | None = None,
    one_look: Sequence[str] | None = None,
) -> list[Any]:
    """For ``Parts.stage``: the picture and all that depends on it.

    Args:
        message: one sentence on what has just happened.
        before: the label map that the canvas holds; it is sent another only if that differs, so that a stroke
            which the visitor has begun meanwhile stays.
        seed: what the seed field is to show; None leaves it.
        one_look: the classes whose buttons say that redrawing them changes nothing; None leaves them.
    """
    look = session.look
    if look is None:
        return [gr.skip(), gr.skip(), message, *([gr.skip()] * 9)]
    canvas = {} if one_look is None else {"one_look": list(one_look)}
    if before is None or not np.array_equal(before, look.mask):
        canvas["value"] = canvas_value(look.mask, labels)
    return [
        data_url(look.image),
        gr.update(**canvas) if canvas else gr.skip(),
        message,
        gr.skip() if seed is None else seed,
        gr.update(interactive=bool(session.earlier)),
        gr.update(interactive=bool(session.later)),
        candidates_view(session),
        history_view(session),
        *looks_view(session),
    ]


def candidates_view(session: Session) -> list[dict[str, Any]]:
    """The candidates, all cut to the same window on the redrawn class, and which of them is on the page."""
    drawn = session.candidates
    if not drawn:
        return []
    window = class_window(drawn[0].mask == drawn[0].codes.labels.id_of(session.redrawn))
    return [
        {
            "src": data_url(look.image.crop(window)),
            "alt": f"Candidate {number} for {session.redrawn}, seed {look.seed}",
            "caption": "",
            "selected": look is session.look,
        }
        for number, look in enumerate(drawn, start=1)
    ]


def history_view(session: Session) -> list[dict[str, Any]]:
    """The pictures that undo and redo reach."""
    return [
        {
            "src": thumbnail(look.image),
            "alt": f"Picture {number} of the history",
            "caption": "",
            "selected": look is session.look,
        }
        for number, look in enumerate(sessions.history(session), start=1)
    ]


def photo_examples_view(session: Session) -> list[dict[str, Any]]:
    """Pictures of the model's own, to try as photos."""
    return [
        {
            "src": thumbnail(kept.look.image),
            "alt": f"Picture {number} to try as a photo",
            "caption": "",
            "selected": False,
        }
        for number, kept in enumerate(photos.examples(session), start=1)
    ]


def looks_view(session: Session) -> list[Any]:
    """For ``Parts.looks``: the shelf, the mixing board, and the lists of the morph."""
    sources = {kept.name: thumbnail(kept.look.image) for kept in session.named_looks}
    board = [
        {"name": kept.name, "src": sources[kept.name], "classes": list(kept.look.classes)}
        for kept in session.named_looks
    ]
    shelf = [_on_shelf(kept, sources[kept.name]) for kept in session.shelf]
    return [
        shelf,
        {"looks": board},
        gr.update(choices=session.names),
        gr.update(choices=session.names),
    ]


def first_choices(session: Session) -> list[str]:
    """What the morph's two lists hold when a page opens: the picture, and a look that is not the same one."""
    others = [kept.name for kept in session.named_looks if kept.look is not session.look]
    return [CURRENT, others[0] if others else CURRENT]


def _on_shelf(kept: ShelfItem, source: str) -> dict[str, Any]:
    return {"src": source, "alt": f"Bring {kept.name} back", "caption": kept.name, "selected": False}
