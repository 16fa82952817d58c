"""What the page's buttons do."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import session as actions
from layout import Parts
from session import MAX_SEED, Session, checked_seed
from views import mix_view, shelf_view, stage_view

from groupdnet_hub import GroupDNetPipeline

# One worker for all that changes a session. Two model calls at once would each take twice as long, and two changes
# at once would start from the same state, so that one of them is lost.
WORKER: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}


def plainly(action: Callable[..., Any]) -> Callable[..., Any]:
    """Show a refusal as a sentence on the page; the session stays as it was."""

    @functools.wraps(action)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return action(*args, **kwargs)
        except ValueError as error:
            text = str(error)
            raise gr.Error(text[:1].upper() + text[1:], print_exception=False) from None

    return wrapped


def add_page_events(
    pipeline: GroupDNetPipeline, examples: Sequence[Path], state: gr.State, parts: Parts
) -> None:
    """Connect the page's components; all of it is hidden from programs, which have ``endpoints.py``."""
    labels = pipeline.labels

    def stage(made: Session, message: str, seed: int | None = None) -> list[Any]:
        return [made, *stage_view(made, labels, message, seed)]

    @plainly
    def on_example(made: Session, typed: float | None, event: gr.SelectData) -> list[Any]:
        seed = checked_seed(typed)
        opened = actions.open_map(pipeline, made, examples[event.index], seed)
        # Nothing stays selected, so that the same one can be pressed again.
        return [*stage(opened, f"Example {event.index + 1}, seed {seed}."), gr.update(selected_index=None)]

    @plainly
    def on_upload(made: Session, path: str, typed: float | None) -> list[Any]:
        seed = checked_seed(typed)
        return stage(actions.open_map(pipeline, made, path, seed), f"Your label map, seed {seed}.")

    @plainly
    def on_draw(made: Session, typed: float | None) -> list[Any]:
        seed = checked_seed(typed)
        return stage(actions.sample(pipeline, made, seed), f"Drawn with seed {seed}.")

    @plainly
    def on_new_sample(made: Session) -> list[Any]:
        seed = secrets.randbelow(MAX_SEED)
        return stage(actions.sample(pipeline, made, seed), f"Drawn with seed {seed}.", seed)

    @plainly
    def on_reroll(name: str, made: Session) -> list[Any]:
        seed = secrets.randbelow(MAX_SEED)
        return stage(actions.reroll(pipeline, made, name, seed), f"Redrew **{name}** (seed {seed}).")

    @plainly
    def on_undo(made: Session) -> list[Any]:
        return stage(actions.undo(made), "Back to the picture before.")

    @plainly
    def on_keep(made: Session) -> list[Any]:
        kept = actions.keep(made)
        name = kept.shelf[-1].name
        return [kept, *shelf_view(kept), *mix_view(kept, labels), f"Kept as {name}."]

    @plainly
    def on_shelf(made: Session, event: gr.SelectData) -> list[Any]:
        name = made.shelf[event.index].name
        return [
            *stage(actions.take_back(made, name), f"Back to {name}."),
            gr.update(selected_index=None),
        ]

    @plainly
    def on_choose(made: Session, first: str, second: str) -> list[Any]:
        chosen = actions.choose(made, first, second)
        return [chosen, *mix_view(chosen, labels)]

    @plainly
    def on_mix(made: Session, *choices: str) -> list[Any]:
        shared = actions.mixable(made.named(made.first), made.named(made.second))
        # A class that is not shown may still hold a choice made for other looks.
        from_b = [
            name
            for name, choice in zip(labels.names, choices, strict=True)
            if choice == "B" and name in shared
        ]
        mixed = actions.mix(pipeline, made, made.first, made.second, from_b)
        return stage(mixed, f"Mixed: {made.first} with {made.second}.")

    # The wheel turns on the picture alone: all else changes with it, and would only flicker.
    drawing: dict[str, Any] = {"api_visibility": "private", "show_progress_on": parts.picture, **WORKER}
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", **WORKER}
    shown = [state, *parts.stage]

    parts.examples.select(on_example, [state, parts.seed], [*shown, parts.examples], **drawing)
    parts.upload.upload(on_upload, [state, parts.upload, parts.seed], shown, **drawing)
    parts.draw.click(on_draw, [state, parts.seed], shown, **drawing)
    parts.seed.submit(on_draw, [state, parts.seed], shown, **drawing)
    parts.new_sample.click(on_new_sample, state, shown, **drawing)
    for button, name in zip(parts.rerolls, labels.names, strict=True):
        button.click(functools.partial(on_reroll, name), state, shown, **drawing)
    parts.undo.click(on_undo, state, shown, **quiet)
    parts.keep.click(on_keep, state, [state, *parts.shelves, *parts.mixing, parts.status], **quiet)
    parts.shelf.select(on_shelf, state, [*shown, parts.shelf], **quiet)
    for chosen in (parts.first, parts.second):
        chosen.input(on_choose, [state, parts.first, parts.second], [state, *parts.mixing], **quiet)
    parts.mix.click(on_mix, [state, *parts.choices], shown, **drawing)
