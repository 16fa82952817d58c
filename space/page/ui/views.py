"""What the page shows of a session, as updates by component."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from groupdnet_hub import LabelSet, Look

from ..core import photos
from ..core import session as sessions
from ..core.memory.model_identity import ModelIdentity
from ..core.memory.packed_looks import packed
from ..core.memory.picture_files import picture_file
from ..core.regions import class_window
from ..core.session import CURRENT, Session
from .components import data_url, file_url, seen_url
from .memory.keeping import kept_work
from .memory.thumbnails import Thumbnails
from .painter import canvas_value
from .stage import Stage

# What an event returns: component -> its value or a ``gr.update``. Components that are left out stay as they are.
Updates = dict[Any, Any]


@dataclass(frozen=True)
class SessionView:
    """The components that show a session.

    Attributes:
        state: the session itself.
        board: the mixing board.
        morph_ends: the lists of the two looks to morph between.
        keeper: what keeps the session in the browser.
        model: returns the identity of the model.
    """

    labels: LabelSet
    state: gr.State
    stage: Stage
    board: gr.HTML
    morph_ends: tuple[gr.Dropdown, gr.Dropdown]
    keeper: gr.HTML
    model: Callable[[], ModelIdentity]

    @property
    def outputs(self) -> list[Any]:
        """What :meth:`session` may change."""
        picture, controls, memory = self.stage.picture, self.stage.controls, self.stage.memory
        return [
            *(picture.picture, self.stage.map.painter, picture.status, *self.choice_outputs),
            *(controls.seed, controls.undo, controls.redo, memory.history),
            *self.looks_outputs,
        ]

    @property
    def choice_outputs(self) -> list[Any]:
        """What :meth:`choice` changes."""
        picture = self.stage.picture
        return [picture.candidates, picture.samples, picture.bar]

    @property
    def looks_outputs(self) -> list[Any]:
        """What :meth:`looks` changes."""
        return [self.state, self.keeper, self.stage.memory.shelf, self.board, *self.morph_ends]

    def changed(
        self,
        old: Session,
        new: Session,
        message: str,
        *,
        fixed_classes: Sequence[str] | None = None,
    ) -> Updates:
        """Return :meth:`session` of a new session, on a page that shows the old one."""
        before = None if old.look is None else old.look.mask
        return self.session(new, message, old=old, before=before, fixed_classes=fixed_classes)

    def session(
        self,
        session: Session,
        message: str,
        *,
        old: Session | None = None,
        before: np.ndarray | None = None,
        fixed_classes: Sequence[str] | None = None,
    ) -> Updates:
        """Return updates for the picture and all that depends on it.

        Args:
            session: the session to show.
            message: one sentence on what has just happened.
            old: the session that the page shows already; None for a page that shows nothing.
            before: the label map that the canvas holds; it is sent another only if that differs.
            fixed_classes: the classes whose buttons say that redrawing them changes nothing; None leaves them.
        """
        picture, controls, look = self.stage.picture, self.stage.controls, session.look
        if look is None:
            return {**self.kept(session), picture.status: message}
        updates: Updates = {
            picture.picture: self.file_of(look),
            picture.status: message,
            controls.seed: look.seed,  # None, where no seed drew it, empties the field
            controls.undo: gr.update(interactive=bool(session.earlier)),
            controls.redo: gr.update(interactive=bool(session.later)),
            self.stage.memory.history: history_view(session, Thumbnails(old)),
        }
        canvas: dict[str, Any] = {"can_undo": bool(session.earlier), "can_redo": bool(session.later)}
        if fixed_classes is not None:
            canvas["fixed_classes"] = list(fixed_classes)
        if before is None or not np.array_equal(before, look.mask):
            canvas["value"] = canvas_value(look.mask, self.labels)
        updates[self.stage.map.painter] = gr.update(**canvas)
        return updates | self.choice(session) | self.looks(session, old)

    def choice(self, session: Session) -> Updates:
        """Return updates for what can be picked."""
        picture = self.stage.picture
        return {
            picture.candidates: candidates_view(session),
            picture.samples: samples_view(session),
            picture.bar: choice_bar_view(session),
        }

    def looks(self, session: Session, old: Session | None) -> Updates:
        """Return updates for the shelf, the mixing board, and the lists of the morph.

        Args:
            session: the session to show.
            old: the one that the page shows already.
        """
        small = Thumbnails(old)
        board = [
            {"name": item.name, "classes": list(item.packed.classes), **small.of(item.packed)}
            for item in session.named_looks
        ]
        shelf = {
            "looks": [{"name": item.name, **small.of(item.packed)} for item in session.shelf],
            "deleted": session.deleted[1].name if session.deleted else None,
        }
        return {
            **self.kept(session),
            self.stage.memory.shelf: shelf,
            self.board: {"looks": board},
            **{ends: gr.update(choices=session.names) for ends in self.morph_ends},
        }

    def file_of(self, look: Look) -> str:
        """Return the picture of a look, which carries the look, as a data URL."""
        return file_url(picture_file(look, self.model()), "image/png")

    def kept(self, session: Session) -> Updates:
        """Return updates for the session itself, and what the browser keeps of it."""
        return {self.state: session, self.keeper: gr.update(work=kept_work(session, self.model()))}


def candidates_view(session: Session) -> list[dict[str, Any]]:
    """Return the candidates, all cut to the same window on the redrawn class, and which of them was picked."""
    drawn = session.candidates
    if not drawn or not session.redrawn:
        return []
    window = class_window(drawn[0].mask == drawn[0].codes.labels.id_of(session.redrawn))
    return [
        {
            "src": data_url(look.image.crop(window)),
            "alt": f"Candidate {number} for {session.redrawn}, seed {look.seed}",
            "selected": _is_picked(session, number),
        }
        for number, look in enumerate(drawn, start=1)
    ]


def samples_view(session: Session) -> list[dict[str, Any]]:
    """Return the whole samples to pick from, and which of them was picked."""
    if session.redrawn:
        return []
    return [
        {
            "src": seen_url(look.image),
            "alt": f"Sample {number}, seed {look.seed}",
            "selected": _is_picked(session, number),
        }
        for number, look in enumerate(session.candidates, start=1)
    ]


def choice_bar_view(session: Session) -> dict[str, Any]:
    """Return what the bar below candidates is about, and the strength of the picked one."""
    offered = (session.redrawn or "samples") if session.candidates else ""
    strength = session.choice.strength if session.choice else 1.0
    return {"offered": offered, "wishes": bool(session.redrawn), "strength": round(100 * strength)}


def history_view(session: Session, small: Thumbnails) -> list[dict[str, Any]]:
    """Return the pictures that undo and redo reach."""
    return [
        {**small.of(look), "selected": place == len(session.earlier)}
        for place, look in enumerate(sessions.history(session))
    ]


def photo_examples_view(session: Session) -> list[dict[str, Any]]:
    """Return pictures of the model's own, to try as photos."""
    return [
        {
            "src": file_url(item.packed.thumbnail, "image/webp"),
            "alt": f"Picture {number} to try as a photo",
            "caption": "",
            "selected": False,
        }
        for number, item in enumerate(photos.examples(session), start=1)
    ]


def first_choices(session: Session) -> list[str]:
    """Return what the morph's two lists hold when a page opens: the picture, and a look that is not the same one."""
    here = None if session.look is None else packed(session.look).key
    others = [item.name for item in session.named_looks if item.packed.key != here]
    return [CURRENT, others[0] if others else CURRENT]


def _is_picked(session: Session, number: int) -> bool:
    return session.choice is not None and session.choice.picked == number - 1
