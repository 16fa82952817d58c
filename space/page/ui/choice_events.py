"""What is picked from: candidates of a class, also in a colour that is wished for, and nine whole samples.

What takes long is drawn in pieces by an event that changes no session; a second one offers what came of it, if that
still fits the picture. So a visitor may go on meanwhile, and other visitors' calls come in between.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from groupdnet_hub import Look

from ..core import actions
from ..core import session as sessions
from ..core.lazy_model import refusing
from ..core.redraw import candidates
from ..core.redraw.colour_wish import PIECE, Granted
from ..core.redraw.colours import read_colour
from ..core.refusal import inform
from ..core.session import MAX_SEED, Session
from ..core.studio import Studio
from .components import data_url
from .events import IN_PIECES, pressed, redraw, sent_by, waiting_on
from .views import SessionView, Updates

GONE = "The picture has changed since these were asked for, so they are not shown."


@dataclass(frozen=True)
class Drawn:
    """What long work has drawn.

    Attributes:
        looks: what is offered.
        message: one sentence on it.
        class_: the class that was redrawn; none for whole samples.
        keep_pixels: whether it keeps the picture's other pixels.
    """

    looks: tuple[Look, ...]
    message: str
    class_: str = ""
    keep_pixels: bool = False


def add_choice_events(studio: Studio, view: SessionView) -> None:
    """Connect what draws pictures to pick from, and what picks one."""
    drawn = gr.State(None)
    _add_redraw_event(studio, view)
    _add_samples_event(studio, view, drawn)
    _add_wish_event(studio, view, drawn)
    _add_pick_events(studio, view)
    _add_strength_event(studio, view)


def _add_redraw_event(studio: Studio, view: SessionView) -> None:
    panel, painter = view.stage.picture, view.stage.map.painter

    def on_reroll(session: Session, keep_pixels: bool, event: gr.EventData) -> Updates:
        session, name = studio.enter(session), sent_by(event).get("class")
        drawn, told = redraw(studio, session, name, secrets.randbelow(MAX_SEED), keep_pixels)
        if not drawn.candidates:
            inform(told)  # on a phone the sentence over the picture is out of sight
        known = gr.update(fixed_classes=studio.fixed_classes.known)
        return {view.state: drawn, painter: known, panel.status: told} | view.choice(drawn)

    painter.reroll(
        on_reroll,
        [view.state, view.stage.controls.keep_pixels],
        [view.state, *view.choice_outputs, panel.status, painter],
        **waiting_on(panel.candidates),
    )


def _add_samples_event(studio: Studio, view: SessionView, drawn: gr.State) -> None:
    panel = view.stage.picture

    def on_nine(session: Session) -> Iterator[Updates]:
        session, looks = studio.enter(session), list[Look]()
        refusing(sessions.current)(session)
        seeds = candidates.seeds_from(secrets.randbelow(MAX_SEED), candidates.SAMPLES)
        for first in range(0, len(seeds), PIECE):
            yield {panel.status: f"{len(looks)} of {len(seeds)} samples are drawn."}
            looks += studio.run_piece(candidates.whole_samples, session, seeds[first : first + PIECE])
        locked = f" All keep {', '.join(session.locked)}." if session.locked else ""
        told = f"Nine samples: press one to take it.{locked}"
        yield {drawn: Drawn(tuple(looks), told)}

    _offer_after(
        studio,
        view,
        drawn,
        view.stage.controls.nine_samples.click(
            on_nine, view.state, [panel.status, drawn], **(waiting_on(panel.picture) | IN_PIECES)
        ),
    )


def _add_wish_event(studio: Studio, view: SessionView, drawn: gr.State) -> None:
    panel = view.stage.picture

    def on_wish(session: Session, keep_pixels: bool, event: gr.EventData) -> Iterator[Updates]:
        session, colour = studio.enter(session), str(sent_by(event).get("colour"))
        name = refusing(actions.redrawable)(studio.config, session, session.redrawn)
        refusing(read_colour)(colour)
        look = sessions.current(session)
        for step in studio.colour_wishes.grant(look, name, colour, keep_pixels):
            if isinstance(step, Granted):
                yield {drawn: Drawn(step.looks, wish_sentence(name, colour, step), name, keep_pixels)}
            else:
                yield {panel.status: f"Looking for {name} in {colour}: {step.drawn} of {step.most} drawn."}

    wishing: dict[str, Any] = {"trigger_mode": "always_last", **waiting_on(panel.candidates), **IN_PIECES}
    inputs = [view.state, view.stage.controls.keep_pixels]
    _offer_after(studio, view, drawn, panel.bar.wish(on_wish, inputs, [panel.status, drawn], **wishing))


def _offer_after(studio: Studio, view: SessionView, drawn: gr.State, long_work: Any) -> None:
    """Offer what long work has drawn; only now the session changes."""
    status = view.stage.picture.status

    def on_drawn(session: Session, found: Drawn | None) -> Updates:
        session = studio.enter(session)
        if found is None or not candidates.still_fit(session, found.looks, found.class_):
            return {status: GONE, drawn: None}
        offered = candidates.offer(session, found.looks, found.class_, found.keep_pixels)
        return {view.state: offered, status: found.message, drawn: None} | view.choice(offered)

    outputs = [view.state, *view.choice_outputs, status, drawn]
    long_work.success(on_drawn, [view.state, drawn], outputs, **waiting_on(view.stage.picture.candidates))


def _add_pick_events(studio: Studio, view: SessionView) -> None:
    panel = view.stage.picture

    def on_pick(session: Session, event: gr.EventData) -> Updates:
        index = refusing(pressed)(event, len(session.candidates))
        strength = session.choice.strength if session.choice else 1.0
        if strength == 1:
            picked = refusing(candidates.pick)(session, index)
        else:
            picked = studio.run(candidates.pick_at_strength, session, index, strength)
        return view.changed(
            session, picked, picked_sentence(picked), fixed_classes=studio.fixed_classes.known
        )

    def on_dismiss(session: Session) -> Updates:
        away = sessions.put_away(studio.enter(session))
        return {view.state: away, panel.status: "The picture stays as it is."} | view.choice(away)

    draws = waiting_on(panel.picture)
    panel.candidates.pick(on_pick, view.state, view.outputs, **draws)
    panel.samples.pick(on_pick, view.state, view.outputs, **draws)
    panel.bar.dismiss(on_dismiss, view.state, [view.state, panel.status, *view.choice_outputs], **draws)


def _add_strength_event(studio: Studio, view: SessionView) -> None:
    panel = view.stage.picture

    def on_strength(session: Session, event: gr.EventData) -> Updates:
        sent = sent_by(event)
        percent = sent.get("percent")
        strength: Any = percent / 100 if isinstance(percent, (int, float)) else percent
        changed = studio.run(candidates.at_strength, session, strength)
        told = picked_sentence(changed)
        if sent.get("moving"):  # the session follows when the slider is let go
            return {panel.picture: data_url(sessions.current(changed).image), panel.status: told}
        return view.changed(session, changed, told, fixed_classes=studio.fixed_classes.known)

    # While one strength is drawn the slider may move on: the last one counts.
    draws: dict[str, Any] = {"trigger_mode": "always_last", **waiting_on(panel.picture)}
    panel.bar.strength(on_strength, view.state, view.outputs, **draws)


def picked_sentence(session: Session) -> str:
    """Return what was picked, and how strong it is."""
    choice = session.choice
    if choice is None or choice.picked is None:
        percent = 100 * (choice.strength if choice else 1)
        return f"The one that you pick next comes at {percent:.0f} %."
    what = f"Redrew {session.redrawn}" if session.redrawn else f"Sample {choice.picked + 1}"
    strength = "" if choice.strength == 1 else f" at {100 * choice.strength:.0f} %"
    return f"{what} (seed {session.candidates[choice.picked].seed}){strength}."


def wish_sentence(name: str, colour: str, granted: Granted) -> str:
    """Return how near a wish came to be granted."""
    count = "Press one of them to take it." if len(granted.looks) > 1 else "Press it to take it."
    return (
        f"The nearest to {colour} that this model was found to have for {name} is {granted.nearest}. {count}"
    )
