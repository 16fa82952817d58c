"""What the page shows of a session: values for its components, in the order of ``Parts``' lists."""

from __future__ import annotations

from typing import Any

import gradio as gr
import session as actions
from session import Session

from groupdnet_hub import LabelSet, colour_picture


def stage_view(session: Session, labels: LabelSet, message: str, seed: int | None = None) -> list[Any]:
    """For ``Parts.stage``: the picture and all that depends on it.

    Args:
        message: one sentence on what has just happened.
        seed: what the seed field is to show; None leaves it.
    """
    look = actions.current(session)
    return [
        look.image,
        colour_picture(look.mask, labels),
        message,
        gr.skip() if seed is None else seed,
        gr.update(interactive=bool(session.earlier)),
        *(gr.update(visible=name in look.classes) for name in labels.names),
        *mix_view(session, labels),
    ]


def mix_view(session: Session, labels: LabelSet) -> list[Any]:
    """For ``Parts.mixing``: the two looks, and a choice for each class that both show."""
    first, second = session.named(session.first), session.named(session.second)
    shared = actions.mixable(first, second)
    return [first.image, second.image, *(gr.update(visible=name in shared) for name in labels.names)]


def shelf_view(session: Session) -> list[Any]:
    """For ``Parts.shelves``: the kept looks, and the lists to choose from."""
    return [
        gr.update(value=[(kept.look.image, kept.name) for kept in session.shelf], visible=True),
        gr.update(choices=session.names, value=session.first),
        gr.update(choices=session.names, value=session.second),
    ]
