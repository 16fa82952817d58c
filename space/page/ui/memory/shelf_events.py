"""What the shelf does: looks are kept, brought back, renamed, moved, saved as files, and deleted."""

from __future__ import annotations

import re
from typing import Any

import gradio as gr

from ...core import session as sessions
from ...core.lazy_model import refusing
from ...core.memory import shelf as shelves
from ...core.session import Session, ShelfItem
from ...core.studio import Studio
from ..components import file_url
from ..events import pressed, sent_by, waiting_on
from ..views import SessionView, Updates


def add_shelf_events(studio: Studio, view: SessionView) -> None:
    """Connect the shelf, and the button that keeps a look."""
    status, shelf = view.stage.picture.status, view.stage.memory.shelf

    def item(session: Session, event: gr.EventData) -> tuple[int, ShelfItem]:
        place = refusing(pressed)(event, len(session.shelf))
        return place, session.shelf[place]

    def on_keep(session: Session) -> Updates:
        session = studio.enter(session)
        kept = refusing(sessions.keep)(session)
        return view.looks(kept, session) | {status: f"Kept as {kept.shelf[-1].name}."}

    def on_pick(session: Session, event: gr.EventData) -> Updates:
        _, chosen = item(session, event)
        shown = sessions.show(session, chosen.look)
        told = f"Back to {chosen.name}."
        return view.changed(session, shown, told, fixed_classes=studio.fixed_classes.known)

    def on_rename(session: Session, event: gr.EventData) -> Updates:
        place, before = item(session, event)
        renamed = refusing(shelves.rename)(session, place, sent_by(event).get("name"))
        return view.looks(renamed, session) | {
            status: f"{before.name} is called {renamed.shelf[place].name} now."
        }

    def on_move(session: Session, event: gr.EventData) -> Updates:
        place, _ = item(session, event)
        return view.looks(refusing(shelves.move)(session, place, sent_by(event).get("to")), session)

    def on_delete(session: Session, event: gr.EventData) -> Updates:
        place, gone = item(session, event)
        return view.looks(shelves.delete(session, place), session) | {
            status: f"{gone.name} is deleted from the shelf."
        }

    def on_restore(session: Session) -> Updates:
        restored = refusing(shelves.restore)(session)
        return view.looks(restored, session) | {status: "The look is back on the shelf."}

    def on_download(session: Session, event: gr.EventData) -> Any:
        _, chosen = item(session, event)
        archive = file_url(chosen.packed.archive, "application/zip")
        return gr.update(download={"name": f"{_file_name(chosen.name)}.zip", "src": archive})

    draws, looks = waiting_on(view.stage.picture.picture), [*view.looks_outputs, status]
    view.stage.controls.keep.click(on_keep, view.state, looks, **draws)
    shelf.pick(on_pick, view.state, view.outputs, **draws)
    shelf.rename(on_rename, view.state, looks, **draws)
    # Every press counts, also while the one before is on its way.
    shelf.move(on_move, view.state, looks, trigger_mode="multiple", **draws)
    shelf.delete(on_delete, view.state, looks, **draws)
    shelf.restore(on_restore, view.state, looks, **draws)
    shelf.download(on_download, view.state, shelf, **draws)


def _file_name(name: str) -> str:
    """Return a look's name as every system takes it for a file's."""
    return re.sub(r"[^\w\- ]+", "_", name).strip() or "look"
