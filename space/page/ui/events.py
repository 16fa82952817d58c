"""What the buttons around the picture and its label map do."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

import gradio as gr
import numpy as np

from ..core import actions
from ..core import session as sessions
from ..core.lazy_model import refusing
from ..core.one_look import look_alike
from ..core.session import CURRENT, MAX_SEED, Session, checked_seed
from ..core.studio import Studio
from .layout import Parts
from .painter import read_canvas
from .views import candidates_view, first_choices, looks_view, stage_view

# One worker for all that changes a session. Two model calls at once would each take twice as long, and two changes
# at once would start from the same state, so that one of them is lost.
WORKER: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}


def waiting_on(part: gr.components.Component) -> dict[str, Any]:
    """Options of an event: the wheel turns on ``part`` alone, after a second; programs have ``endpoints.py``."""
    return {"api_visibility": "private", "show_progress_on": part, **WORKER}


def redraw(studio: Studio, made: Session, class_: Any, seed: int, keep_pixels: bool) -> tuple[Session, str]:
    """A session with candidates of a class, if it has any that differ, and a sentence on them."""
    name = refusing(actions.redrawable)(studio.config, made, class_)
    if studio.one_look.holds(name):
        return replace(made, candidates=(), redrawn=""), one_look_sentence(name)
    drawn = studio.run(actions.candidates, made, name, seed, keep_pixels)
    region = sessions.current(drawn).mask == studio.labels.id_of(name)
    if look_alike([one.image for one in drawn.candidates], region):
        told = f"Four new versions of {name} came out alike on this map, so the picture stays as it is."
        return replace(drawn, candidates=(), redrawn=""), told
    return drawn, f"Four candidates for {name}: press one to take it."


def one_look_sentence(name: str) -> str:
    """Why redrawing a class does nothing."""
    return f"{name} has one look only in this model: redrawing it changes nothing."


def add_stage_events(page: gr.Blocks, studio: Studio, state: gr.State, parts: Parts) -> None:
    """Connect the picture, the label map, the history and the shelf."""
    labels = studio.labels

    def stage(old: Session, new: Session, message: str, seed: int | None = None) -> list[Any]:
        before = None if old.look is None else old.look.mask
        known = studio.one_look.known
        return [new, *stage_view(new, labels, message, before=before, seed=seed, one_look=known)]

    def on_arrival(made: Session) -> list[Any]:
        opened = studio.enter(made)
        look, first = opened.look, first_choices(opened)
        message = f"Drawn with seed {look.seed}." if look else "Upload a label map of this model's classes."
        view = stage_view(opened, labels, message, one_look=studio.one_look.known)
        names = opened.names or [CURRENT]
        lists = [gr.update(choices=names, value=name) for name in first]
        return [opened, *view[: -len(lists)], *lists]

    def open_map(made: Session, source: Any, typed: float | None, what: str) -> list[Any]:
        made, seed = studio.enter(made), refusing(checked_seed)(typed)
        opened = studio.run(actions.open_map, made, source, seed)
        return stage(made, opened, f"{what}, seed {seed}.")

    def on_example(made: Session, typed: float | None, event: gr.EventData) -> list[Any]:
        index = refusing(place)(event, len(studio.examples))
        return open_map(made, studio.example(studio.examples[index]), typed, f"Example {index + 1}")

    def on_upload(made: Session, path: str, typed: float | None) -> list[Any]:
        return open_map(made, path, typed, "Your label map")

    def sample(made: Session, seed: int, shown: int | None = None) -> list[Any]:
        made = studio.enter(made)
        locked = f", but {', '.join(made.locked)}" if made.locked else ""
        drawn = studio.run(actions.sample, made, seed)
        return stage(made, drawn, f"Drawn with seed {seed}{locked}.", shown)

    def on_draw(made: Session, typed: float | None) -> list[Any]:
        return sample(made, refusing(checked_seed)(typed))

    def on_new_sample(made: Session) -> list[Any]:
        seed = secrets.randbelow(MAX_SEED)
        return sample(made, seed, seed)

    def on_reroll(made: Session, keep_pixels: bool, event: gr.EventData) -> list[Any]:
        made, name = studio.enter(made), _data(event).get("class")
        drawn, told = redraw(studio, made, name, secrets.randbelow(MAX_SEED), keep_pixels)
        if not drawn.candidates:
            gr.Info(told, duration=5)  # on a phone the sentence over the picture is out of sight
        known = gr.update(one_look=studio.one_look.known)
        return [drawn, candidates_view(drawn), told, known]

    def on_pick(made: Session, event: gr.EventData) -> list[Any]:
        picked = refusing(actions.pick)(made, refusing(place)(event, len(made.candidates)))
        return stage(made, picked, f"Redrew {picked.redrawn} (seed {sessions.current(picked).seed}).")

    def on_lock(made: Session, event: gr.EventData) -> list[Any]:
        locked = refusing(sessions.lock)(studio.enter(made), labels, _data(event).get("locked") or [])
        names = ", ".join(locked.locked)
        return [locked, f"New samples keep {names} as it is." if names else "No class is locked."]

    def on_paint(made: Session, canvas: str | None) -> list[Any]:
        made = studio.enter(made)
        label = refusing(read_canvas)(canvas, labels, studio.size)
        look = made.look
        if look is None:  # a model without examples: the first thing painted is the first picture
            painted = studio.run(actions.open_map, made, label, secrets.randbelow(MAX_SEED))
        else:
            painted = studio.run(actions.edit, made, label)
        new = [] if look is None else _new_classes(labels.names, look.mask, label)
        message = f"New on the map: {', '.join(new)}." if new else "The picture follows the map."
        # The canvas holds this map, or one with a further stroke.
        known = studio.one_look.known
        return [painted, *stage_view(painted, labels, message, before=label, one_look=known)]

    def on_undo(made: Session) -> list[Any]:
        return stage(made, refusing(sessions.undo)(made), "Back to the picture before.")

    def on_redo(made: Session) -> list[Any]:
        return stage(made, refusing(sessions.redo)(made), "Forward to the picture after.")

    def on_history(made: Session, event: gr.EventData) -> list[Any]:
        index = refusing(place)(event, len(refusing(sessions.history)(made)))
        return stage(made, sessions.go_to(made, index), f"Back to picture {index + 1} of the history.")

    def on_keep(made: Session) -> list[Any]:
        kept = refusing(sessions.keep)(studio.enter(made))
        return [kept, *looks_view(kept), f"Kept as {kept.shelf[-1].name}."]

    def on_shelf(made: Session, event: gr.EventData) -> list[Any]:
        name = made.shelf[refusing(place)(event, len(made.shelf))].name
        return stage(made, refusing(sessions.take_back)(made, name), f"Back to {name}.")

    shown, draws = [state, *parts.stage], waiting_on(parts.picture)
    page.load(on_arrival, state, shown, **draws)
    parts.examples.pick(on_example, [state, parts.seed], shown, **draws)
    parts.upload.upload(on_upload, [state, parts.upload, parts.seed], shown, **draws)
    parts.draw.click(on_draw, [state, parts.seed], shown, **draws)
    parts.seed.submit(on_draw, [state, parts.seed], shown, **draws)
    parts.new_sample.click(on_new_sample, state, shown, **draws)
    parts.painter.reroll(
        on_reroll,
        [state, parts.keep_pixels],
        [state, parts.candidates, parts.status, parts.painter],
        **waiting_on(parts.candidates),
    )
    parts.painter.lock(on_lock, state, [state, parts.status], trigger_mode="multiple", **draws)
    # While one stroke is drawn the next may be painted: the last one counts.
    parts.painter.paint(on_paint, [state, parts.painter], shown, trigger_mode="always_last", **draws)
    parts.candidates.pick(on_pick, state, shown, **draws)
    parts.undo.click(on_undo, state, shown, **draws)
    parts.redo.click(on_redo, state, shown, **draws)
    parts.history.pick(on_history, state, shown, **draws)
    parts.keep.click(on_keep, state, [state, *parts.looks, parts.status], **draws)
    parts.shelf.pick(on_shelf, state, shown, **draws)


def _data(event: gr.EventData) -> dict[str, Any]:
    """What a component of ours sent: from a visitor's browser, so it may be anything."""
    data = event._data
    return data if isinstance(data, dict) else {}


def place(event: gr.EventData, count: int) -> int:
    """Which of ``count`` pictures of a strip was pressed.

    Raises:
        ValueError: if it is none of them.
    """
    index = _data(event).get("index")
    if type(index) is not int or not 0 <= index < count:
        raise ValueError("this picture is gone: reload the page.")
    return index


def _new_classes(names: tuple[str, ...], before: np.ndarray, after: np.ndarray) -> list[str]:
    return [names[class_id] for class_id in np.setdiff1d(after, before)]
