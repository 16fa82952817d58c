"""What the stage does: maps and seeds to draw, classes to lock and paint, the history and the shelf."""

from __future__ import annotations

import secrets

import gradio as gr
import numpy as np

from groupdnet_hub import LabelSet

from ..core import actions
from ..core import session as sessions
from ..core.lazy_model import refusing
from ..core.session import CURRENT, MAX_SEED, Session, checked_seed
from ..core.studio import Studio
from .choice_events import add_choice_events
from .events import pressed, sent_by, waiting_on
from .memory.shelf_events import add_shelf_events
from .memory.thumbnails import Thumbnails
from .painter import read_stroke
from .stage import NEW_APPEARANCE, SAME_APPEARANCE
from .views import SessionView, Updates, first_choices, history_view


def add_stage_events(page: gr.Blocks, studio: Studio, view: SessionView) -> None:
    """Connect the stage."""
    _add_arrival(page, studio, view)
    _add_map_events(studio, view)
    _add_sample_events(studio, view)
    add_choice_events(studio, view)
    _add_lock_event(studio, view)
    _add_paint_event(studio, view)
    _add_history_events(studio, view)
    add_shelf_events(studio, view)


def _add_arrival(page: gr.Blocks, studio: Studio, view: SessionView) -> None:
    def on_arrival(session: Session) -> Updates:
        opened = studio.enter(session)
        look, first = opened.look, first_choices(opened)
        message = f"Drawn with seed {look.seed}." if look else "Upload a label map of this model's classes."
        # The canvas has the map of the opening look, or what the visitor has painted on it since.
        before = look.mask if look else None
        updates = view.session(opened, message, before=before, fixed_classes=studio.fixed_classes.known)
        names = opened.names or [CURRENT]
        chosen = zip(view.morph_ends, first, strict=True)
        return updates | {ends: gr.update(choices=names, value=name) for ends, name in chosen}

    page.load(on_arrival, view.state, view.outputs, **waiting_on(view.stage.picture.picture))


def _add_map_events(studio: Studio, view: SessionView) -> None:
    panel, seed = view.stage.map, view.stage.controls.seed

    def open_map(
        session: Session, label: np.ndarray, typed: float | None, appearance: str, what: str, more: str = ""
    ) -> Updates:
        # An empty field is that of a picture which no seed drew.
        number = secrets.randbelow(MAX_SEED) if typed is None else refusing(checked_seed)(typed)
        session = studio.enter(session)
        same = appearance == SAME_APPEARANCE
        opened = studio.run(actions.open_map, session, label, number, same)
        told = f"{what}, {_how_opened(session, studio.labels, label, number, same)}.{more}"
        return view.changed(session, opened, told, fixed_classes=studio.fixed_classes.known)

    def on_example(session: Session, typed: float | None, appearance: str, event: gr.EventData) -> Updates:
        index = refusing(pressed)(event, len(studio.examples))
        label = studio.example(studio.examples[index])
        return open_map(session, label, typed, appearance, f"Example {index + 1}")

    def on_upload(
        session: Session, path: str, typed: float | None, appearance: str = NEW_APPEARANCE
    ) -> Updates:
        label, unknown = refusing(actions.read_upload)(path, studio.labels, studio.size)
        return open_map(session, label, typed, appearance, "Your label map", unknown)

    draws = waiting_on(view.stage.picture.picture)
    asked = [seed, panel.appearance]
    panel.examples.pick(on_example, [view.state, *asked], view.outputs, **draws)
    panel.upload.upload(on_upload, [view.state, panel.upload, *asked], view.outputs, **draws)


def _add_sample_events(studio: Studio, view: SessionView) -> None:
    controls = view.stage.controls

    def sample(session: Session, seed: int) -> Updates:
        session = studio.enter(session)
        locked = f", but {', '.join(session.locked)}" if session.locked else ""
        drawn = studio.run(actions.sample, session, seed)
        told = f"Drawn with seed {seed}{locked}."
        return view.changed(session, drawn, told, fixed_classes=studio.fixed_classes.known)

    def on_draw(session: Session, typed: float | None) -> Updates:
        return sample(session, refusing(checked_seed)(typed))

    def on_new_sample(session: Session) -> Updates:
        return sample(session, secrets.randbelow(MAX_SEED))

    draws = waiting_on(view.stage.picture.picture)
    controls.draw.click(on_draw, [view.state, controls.seed], view.outputs, **draws)
    controls.seed.submit(on_draw, [view.state, controls.seed], view.outputs, **draws)
    controls.new_sample.click(on_new_sample, view.state, view.outputs, **draws)


def _add_lock_event(studio: Studio, view: SessionView) -> None:
    panel, painter = view.stage.picture, view.stage.map.painter

    def on_lock(session: Session, event: gr.EventData) -> Updates:
        chosen = sent_by(event).get("locked") or []
        locked = refusing(sessions.lock)(studio.enter(session), studio.labels, chosen)
        names = ", ".join(locked.locked)
        told = f"New samples keep {names} as it is." if names else "No class is locked."
        return {**view.kept(locked), panel.status: told}

    draws = waiting_on(panel.picture)
    kept = [view.state, view.keeper, panel.status]
    painter.lock(on_lock, view.state, kept, trigger_mode="multiple", **draws)


def _add_paint_event(studio: Studio, view: SessionView) -> None:
    painter = view.stage.map.painter

    def on_paint(session: Session, event: gr.EventData) -> Updates:
        session = studio.enter(session)
        stroke = refusing(read_stroke)(sent_by(event), studio.labels, studio.size)
        look = session.look
        if look is None:  # a model without examples: the first thing painted is the first picture
            painted = studio.run(actions.open_map, session, stroke.after, secrets.randbelow(MAX_SEED))
        else:
            painted = studio.run(actions.edit, session, stroke.painted_on(look.mask))
        new = (
            []
            if look is None
            else _new_classes(studio.labels.names, look.mask, sessions.current(painted).mask)
        )
        message = f"New on the map: {', '.join(new)}." if new else "The picture follows the map."
        # The canvas holds the map after the stroke, and puts on another what it has painted since.
        updates = view.session(
            painted, message, old=session, before=stroke.after, fixed_classes=studio.fixed_classes.known
        )
        return updates | {painter: {**updates[painter], "strokes": stroke.number}}

    draws = waiting_on(view.stage.picture.picture)
    painted = painter.paint(on_paint, view.state, view.outputs, trigger_mode="multiple", **draws)
    # The canvas keeps a stroke that was not drawn, and sends it with the next.
    refused = "() => ({__type__: 'update', refused: Math.random()})"
    painted.failure(None, None, painter, js=refused, api_visibility="private")


def _add_history_events(studio: Studio, view: SessionView) -> None:
    controls, history, painter = view.stage.controls, view.stage.memory.history, view.stage.map.painter

    def changed(old: Session, new: Session, message: str) -> Updates:
        return view.changed(old, new, message, fixed_classes=studio.fixed_classes.known)

    # Keys that are held may ask for more steps than there are.
    def on_undo(session: Session) -> Updates:
        if not session.earlier:
            return {view.stage.picture.status: "There is nothing to undo."}
        return changed(session, sessions.undo(session), "Back to the picture before.")

    def on_redo(session: Session) -> Updates:
        if not session.later:
            return {view.stage.picture.status: "There is nothing to redo."}
        return changed(session, sessions.redo(session), "Forward to the picture after.")

    def on_pick(session: Session, event: gr.EventData) -> Updates:
        index = refusing(pressed)(event, len(refusing(sessions.history)(session)))
        return changed(
            session, sessions.go_to(session, index), f"Back to picture {index + 1} of the history."
        )

    def on_missing(session: Session) -> Updates:
        opened = studio.enter(session)
        return {history: history_view(opened, Thumbnails(None)), **view.looks(opened, None)}

    draws = waiting_on(view.stage.picture.picture)
    history.missing(on_missing, view.state, [history, *view.looks_outputs], **draws)
    for asks, step in (
        (controls.undo.click, on_undo),
        (painter.undo, on_undo),
        (controls.redo.click, on_redo),
        (painter.redo, on_redo),
    ):
        asks(step, view.state, view.outputs, trigger_mode="multiple", **draws)
    history.pick(on_pick, view.state, view.outputs, **draws)


def _new_classes(names: tuple[str, ...], before: np.ndarray, after: np.ndarray) -> list[str]:
    return [names[class_id] for class_id in np.setdiff1d(after, before)]


def _how_opened(session: Session, labels: LabelSet, label: np.ndarray, seed: int, same: bool) -> str:
    """Return how another label map was drawn, as the end of a sentence."""
    if session.look is None:
        return f"seed {seed}"
    if same:
        new = _new_classes(labels.names, session.look.mask, label)
        return "in the same appearance" + (f", {', '.join(new)} with seed {seed}" if new else "")
    kept = actions.kept_by_locks(session, labels, label)
    return f"seed {seed}" + (f", but {', '.join(kept)} as before" if kept else "")
