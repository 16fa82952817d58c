"""What one visitor has made so far, and what each action makes of it: pure functions, no page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from groupdnet_hub import GroupDNetPipeline, Look

CURRENT = "current"
# Looks on the shelf; the oldest leaves when another is kept.
SHELF_SIZE = 8
UNDO_STEPS = 10
MAX_SEED = 2**31 - 1
# What a visitor finds drawn; chosen by eye.
OPENING_SEED = 42


@dataclass(frozen=True)
class Kept:
    """A look on the shelf. Its name stays its own when older ones leave."""

    name: str
    look: Look


@dataclass(frozen=True)
class Session:
    """One visitor's state.

    Attributes:
        look: the picture on the page.
        earlier: the pictures before it, the newest last.
        shelf: kept looks, the oldest first.
        kept_so_far: how many were ever kept; the last one's name has this number.
        first, second: names of the looks that are chosen for mixing, A and B.
    """

    look: Look | None = None
    earlier: tuple[Look, ...] = ()
    shelf: tuple[Kept, ...] = ()
    kept_so_far: int = 0
    first: str = CURRENT
    second: str = CURRENT

    @property
    def names(self) -> list[str]:
        """What the looks are called where one of them is chosen."""
        return [CURRENT, *(kept.name for kept in self.shelf)]

    def named(self, name: str) -> Look:
        """A look by one of :attr:`names`.

        Raises:
            ValueError: for another name, or if there is no picture yet.
        """
        if name == CURRENT:
            return current(self)
        for kept in self.shelf:
            if kept.name == name:
                return kept.look
        raise ValueError(f"there is no look {name!r}; there are {', '.join(self.names)}.")


def checked_seed(value: float | None) -> int:
    """A seed as a visitor may type it.

    Raises:
        ValueError: for an empty field, and outside 0 to ``MAX_SEED``.
    """
    if value is None or not 0 <= value <= MAX_SEED or value != int(value):
        raise ValueError(f"the seed must be a whole number from 0 to {MAX_SEED}.")
    return int(value)


def current(session: Session) -> Look:
    """The look on the page.

    Raises:
        ValueError: if there is none yet.
    """
    if session.look is None:
        raise ValueError("there is no picture yet: choose an example or upload a label map first.")
    return session.look


def show(session: Session, look: Look) -> Session:
    """Another picture on the page; the one before can be brought back by :func:`undo`."""
    earlier = session.earlier if session.look is None else (*session.earlier, session.look)
    return replace(session, look=look, earlier=earlier[-UNDO_STEPS:])


def undo(session: Session) -> Session:
    """The picture before this one.

    Raises:
        ValueError: if there is none.
    """
    if not session.earlier:
        raise ValueError("there is no earlier picture.")
    return replace(session, look=session.earlier[-1], earlier=session.earlier[:-1])


def open_map(
    pipeline: GroupDNetPipeline, session: Session, label_map: str | os.PathLike[str], seed: int
) -> Session:
    """A sample on another label map.

    Raises:
        ValueError: if it cannot be read as a label map of the model's classes.
    """
    return show(session, pipeline.sample(label_map, seed))


def sample(pipeline: GroupDNetPipeline, session: Session, seed: int) -> Session:
    """Every class drawn anew on the same label map."""
    return show(session, pipeline.sample(current(session).mask, seed))


def reroll(pipeline: GroupDNetPipeline, session: Session, class_: str | int, seed: int) -> Session:
    """One class drawn anew; every other class keeps its code.

    Raises:
        ValueError: if the class is not on the label map.
    """
    look = current(session)
    name = pipeline.labels.names[pipeline.labels.id_of(class_)]
    if name not in look.classes:
        raise ValueError(f"{name} is not on this label map; it holds {', '.join(look.classes)}.")
    return show(session, pipeline.reroll(look, name, seed))


def keep(session: Session) -> Session:
    """Put the look on the shelf; it becomes look B of a mix if none was chosen yet."""
    number = session.kept_so_far + 1
    kept = Kept(f"look {number}", current(session))
    shelf = (*session.shelf, kept)[-SHELF_SIZE:]
    kept_now = replace(session, shelf=shelf, kept_so_far=number)
    first, second = (name if name in kept_now.names else CURRENT for name in (session.first, session.second))
    return choose(kept_now, first, kept.name if first == second == CURRENT else second)


def take_back(session: Session, name: str) -> Session:
    """A look of the shelf as the picture on the page; it stays on the shelf."""
    return show(session, session.named(name))


def choose(session: Session, first: str, second: str) -> Session:
    """Which two looks are to be mixed.

    Raises:
        ValueError: for a name that is not one of ``session.names``.
    """
    for name in (first, second):
        if name not in session.names:
            raise ValueError(f"there is no look {name!r}; there are {', '.join(session.names)}.")
    return replace(session, first=first, second=second)


def mixable(first: Look, second: Look) -> tuple[str, ...]:
    """The classes that both looks show: only these can be taken from the second."""
    return tuple(name for name in first.classes if name in second.classes)


def mix(
    pipeline: GroupDNetPipeline, session: Session, first: str, second: str, classes: Sequence[str | int]
) -> Session:
    """Look A, on its label map, with some classes' appearance taken from look B.

    Args:
        first, second: look A and look B, names from ``session.names``.
        classes: what is taken from look B.

    Raises:
        ValueError: if both are the same look, no class is taken, or one is not on both label maps.
    """
    base, other = session.named(first), session.named(second)
    if base is other:
        raise ValueError(
            "look A and look B are the same picture: keep one, draw another, then choose the two."
        )
    names = [pipeline.labels.names[class_id] for class_id in pipeline.labels.ids_of(classes)]
    if not names:
        raise ValueError("choose B for at least one class.")
    shared = mixable(base, other)
    for name in names:
        if name not in shared:
            raise ValueError(f"{name} is not on both label maps; they share {', '.join(shared)}.")
    return show(session, pipeline.mix(base.mask, dict.fromkeys(names, other), base=base))
