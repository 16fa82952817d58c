"""What keeping work does: the browser gets what it lacks and brings it back, files are saved and opened."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import gradio as gr

from ...core.lazy_model import refusing
from ...core.memory.opened_files import described
from ...core.memory.saved_work import MOST_BYTES, MOST_FILES, read_work, work_of
from ...core.session import Session
from ...core.studio import Studio
from ..components import file_url
from ..events import sent_by, waiting_on
from ..views import SessionView
from .keeping import WorkPanel, kept_work


def add_keeping_events(studio: Studio, panel: WorkPanel, view: SessionView) -> None:
    """Connect the keeper and the buttons for the work as a whole."""
    component, painter = view.keeper, view.stage.map.painter

    def on_lacks(session: Session, event: gr.EventData) -> Any:
        keys = sent_by(event).get("keys")
        looks = {} if session.look is None else work_of(session).looks
        asked = [key for key in keys[:MOST_FILES] if isinstance(key, str)] if isinstance(keys, list) else []
        found = {key: base64.b64encode(looks[key].archive).decode() for key in asked if key in looks}
        return gr.update(sent={"asked": asked, "looks": found})

    def shown(before: Session, after: Session, told: str, opened: str) -> dict[Any, Any]:
        updates = view.session(
            after,
            told,
            old=None if opened else before,
            fixed_classes=studio.fixed_classes.known,
        )
        locks = {"classes": list(after.locked), "work": after.work}
        canvas = {**updates.get(painter, {}), "locks": locks, "__type__": "update"}
        kept = {**kept_work(after, studio.identity), "opened": opened}
        return updates | {component: gr.update(work=kept), painter: canvas}

    def on_go_on(session: Session, event: gr.EventData) -> dict[Any, Any]:
        sent = sent_by(event)
        looks = refusing(_archives)(sent.get("looks"))
        restored = refusing(read_work)(
            sent.get("work"), looks, studio.enter(Session()), studio.identity, studio.config
        )
        return shown(session, restored, f"Everything is back: {described(restored)}.", "browser")

    def on_open(session: Session, path: str) -> dict[Any, Any]:
        session = studio.enter(session)
        opened = refusing(studio.open_file)(path, session)
        return shown(session, opened.session, opened.told, "file" if opened.replaced else "")

    def on_save(session: Session) -> dict[Any, Any]:
        if session == Session():  # a page's session has a picture, unless its server was started again
            session, told = studio.enter(session), "There is no work to save yet."
            return {**view.kept(session), view.stage.picture.status: told}
        work = refusing(work_of)(session)
        told = "Your work is saved as one file: “Open work” brings it back, on any computer."
        if work.left_out:
            told += (
                f" The oldest {work.left_out} pictures are not in it: a file holds {MOST_BYTES >> 20} MiB."
            )
        archive = file_url(work.to_bytes(studio.identity), "application/zip")
        download = {"name": "groupdnet-work.zip", "src": archive}
        return {view.state: session, component: gr.update(download=download), view.stage.picture.status: told}

    draws = waiting_on(view.stage.picture.picture)
    # These only read the session, so they wait for nobody.
    reads: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
    component.lacks(on_lacks, view.state, component, trigger_mode="multiple", **reads)
    restored = component.restore(on_go_on, view.state, view.outputs, **draws)
    # A refusal is a sentence on the page; the keeper lets the visitor press again.
    again = "() => ({__type__: 'update', refused: Math.random()})"
    restored.failure(None, None, component, js=again, api_visibility="private")
    panel.open.upload(on_open, [view.state, panel.open], view.outputs, **draws)
    panel.save.click(on_save, view.state, [view.state, component, view.stage.picture.status], **draws)


def _archives(sent: Any) -> Mapping[str, bytes]:
    """Return the archives of looks that a browser sent, by their keys.

    Raises:
        ValueError: for anything else, and for too many or too large ones.
    """
    if not isinstance(sent, dict) or len(sent) > MOST_FILES:
        raise ValueError("your browser sent no work: reload the page.")
    if not all(isinstance(one, str) for one in sent.values()):
        raise ValueError("your browser sent damaged work: try one of the earlier works.")
    if sum(map(len, sent.values())) > 4 * MOST_BYTES // 3 + 4 * len(sent):
        raise ValueError(f"your browser sent more than the {MOST_BYTES >> 20} MiB that work takes.")
    try:
        return {key: base64.b64decode(one, validate=True) for key, one in sent.items()}
    except ValueError:
        raise ValueError("your browser sent damaged work: try one of the earlier works.") from None
