"""Pictures to pick one from, four candidates of a class or nine whole samples: all picks together are one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from groupdnet_hub import GroupDNetPipeline, Look

from ..actions import redrawable, redrawn, sampled, with_other_pixels
from ..session import MAX_SEED, Choice, Session, current, put_away, show

CANDIDATES = 4
SAMPLES = 9


def seeds_from(seed: int, count: int) -> list[int]:
    """Return ``count`` seeds, the first of which is ``seed``."""
    return [(seed + i) % (MAX_SEED + 1) for i in range(count)]


def of_class(
    pipeline: GroupDNetPipeline, session: Session, class_: str | int, seed: int, keep_pixels: bool = False
) -> Session:
    """Draw four candidates of a class, with ``seed`` and those after it; :func:`pick` shows one of them.

    Raises:
        ValueError: as :func:`~page.core.actions.reroll`.
    """
    name, look = redrawable(pipeline.model.config, session, class_), current(session)
    drawn = [redrawn(pipeline, look, name, one, keep_pixels) for one in seeds_from(seed, CANDIDATES)]
    return offer(session, drawn, name, keep_pixels)


def whole_samples(pipeline: GroupDNetPipeline, session: Session, seeds: Sequence[int]) -> list[Look]:
    """Return looks in which every class that is not locked is drawn anew, with a seed each."""
    return [sampled(pipeline, session, seed) for seed in seeds]


def offer(session: Session, looks: Sequence[Look], name: str = "", keep_pixels: bool = False) -> Session:
    """Return the session with looks to pick from.

    Args:
        session: with the picture that they were drawn from.
        looks: its looks with one class redrawn, or whole samples.
        name: the class; none for whole samples.
        keep_pixels: whether the looks have their other pixels from the picture.
    """
    return replace(
        session, candidates=tuple(looks), redrawn=name, choice=Choice(put_away(session), keep_pixels)
    )


def still_fit(session: Session, looks: Sequence[Look], name: str = "") -> bool:
    """Return whether looks that were drawn a while ago are still ones of the picture on the page.

    They are while they have its label map, and its codes of all classes that they were to keep.

    Args:
        session: with the picture.
        looks: that are to be offered; one at least.
        name: as of :func:`offer`.
    """
    look, drawn = current(session), looks[0]
    labels = look.codes.labels
    kept = labels.ids_of([one for one in labels.names if one != name] if name else session.locked)
    return np.array_equal(look.mask, drawn.mask) and torch.equal(
        look.codes.tensor[kept], drawn.codes.tensor[kept]
    )


def pick(session: Session, index: int) -> Session:
    """Show one of the candidates as the picture on the page; all stay, to try another.

    Raises:
        ValueError: if there is no such candidate.
    """
    drawn, _ = _offered(session)
    if type(index) is not int or not 0 <= index < len(drawn):
        raise ValueError(f"there is no candidate {index!r}; they are 0 to {len(drawn) - 1}.")
    return _picked(session, drawn[index], index, 1.0)


def at_strength(pipeline: GroupDNetPipeline, session: Session, strength: float) -> Session:
    """Show the picked candidate, between the picture before, 0, and the candidate itself, 1.

    Before one is picked, the strength is that of the one that will be.

    Raises:
        ValueError: without candidates, and for a strength outside.
    """
    drawn, choice = _offered(session)
    if not isinstance(strength, (int, float)) or not 0 <= strength <= 1:
        raise ValueError("the strength must be from 0 to 1.")
    if choice.picked is None:
        return replace(session, choice=replace(choice, strength=strength))
    before, picked = current(choice.start), drawn[choice.picked]
    if strength in (0, 1):
        return _picked(session, picked if strength else before, choice.picked, strength)
    between = pipeline.between(before, picked, strength, [session.redrawn] if session.redrawn else None)
    if choice.keep_pixels:
        between = with_other_pixels(before, between, session.redrawn)
    return _picked(session, between, choice.picked, strength)


def pick_at_strength(pipeline: GroupDNetPipeline, session: Session, index: int, strength: float) -> Session:
    """Show one of the candidates at a strength, as :func:`pick` and :func:`at_strength` do."""
    return at_strength(pipeline, pick(session, index), strength)


def _offered(session: Session) -> tuple[tuple[Look, ...], Choice]:
    if not session.candidates or session.choice is None:
        raise ValueError("there are no candidates: redraw a class first.")
    return session.candidates, session.choice


def _picked(session: Session, look: Look, index: int, strength: float) -> Session:
    """Return the session that shows a look, one step after the picture that the candidates were drawn from."""
    drawn, choice = _offered(session)
    start = choice.start
    shown = show(replace(session, look=start.look, earlier=start.earlier, later=start.later), look)
    choice = replace(choice, picked=index, strength=strength)
    return replace(shown, candidates=drawn, redrawn=session.redrawn, choice=choice)
