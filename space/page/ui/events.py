"""What the events of the page share: one worker for all of them, and what the visitor's browser sends."""

from __future__ import annotations

from typing import Any

import gradio as gr

from ..core import actions
from ..core import session as sessions
from ..core.fixed_classes import indistinguishable
from ..core.lazy_model import refusing
from ..core.redraw import candidates
from ..core.session import Session
from ..core.studio import Studio

# One worker for all that changes a session: two changes at once would start from the same state, so that one of them is
# lost.
WORKER: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}
# A film changes no session, so that nothing waits for its end. There may be more at once than are taken (MOST_FILMS of
# each model), so that what is too much is refused with a sentence; but fewer than the page has threads.
FILMS: dict[str, Any] = {"concurrency_limit": 24, "concurrency_id": "films"}

# Long work in pieces, which changes no session: those of other visitors come in between.
IN_PIECES: dict[str, Any] = {"concurrency_limit": 4, "concurrency_id": "pieces"}


def waiting_on(part: gr.components.Component) -> dict[str, Any]:
    """Return options of an event: the wheel turns on ``part`` alone, after a second; programs have ``endpoints.py``."""
    return {"api_visibility": "private", "show_progress_on": part, **WORKER}


def sent_by(event: gr.EventData) -> dict[str, Any]:
    """Return what a component of ours sent: it comes from the visitor's browser, so it may hold anything."""
    data = event._data
    return data if isinstance(data, dict) else {}


def pressed(event: gr.EventData, count: int) -> int:
    """Return which of the ``count`` pictures of a strip was pressed, 0 to ``count`` - 1.

    Raises:
        ValueError: if it is none of them.
    """
    index = sent_by(event).get("index")
    if type(index) is not int or not 0 <= index < count:
        raise ValueError("this picture is gone: reload the page.")
    return index


def redraw(
    studio: Studio, session: Session, class_: Any, seed: int, keep_pixels: bool
) -> tuple[Session, str]:
    """Return the session with candidates of a class, if it has any that differ, and a sentence on them."""
    name = refusing(actions.redrawable)(studio.config, session, class_)
    if studio.fixed_classes.holds(name):
        return sessions.put_away(session), fixed_sentence(name)
    drawn = studio.run(candidates.of_class, session, name, seed, keep_pixels)
    region = sessions.current(drawn).mask == studio.labels.id_of(name)
    if indistinguishable([one.image for one in drawn.candidates], region):
        told = f"Four new versions of {name} came out alike on this map, so the picture stays as it is."
        return sessions.put_away(drawn), told
    return drawn, f"Four candidates for {name}: press one to take it."


def fixed_sentence(name: str) -> str:
    """Return why redrawing a class does nothing."""
    return f"{name} has only one appearance in this model: redrawing it changes nothing."
