"""What one visitor has made so far, and what each action makes of it: pure functions, no page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from groupdnet_hub import GroupDNetPipeline, Look

# Looks on the shelf; the oldest leaves when another is kept.
SHELF_SIZE = 8
CURRENT = "current look"


@dataclass(frozen=True)
class Session:
    """One visitor's state.

    Attributes:
        look: the picture on the page.
        shelf: kept looks, oldest first.
    """

    look: Look | None = None
    shelf: tuple[Look, ...] = ()

    @property
    def shelf_names(self) -> list[str]:
        """What the looks are called where one of them is chosen."""
        return [CURRENT, *(f"shelf {i}" for i in range(1, len(self.shelf) + 1))]

    def named(self, name: str) -> Look:
        """A look by one of :attr:`shelf_names`.

        Raises:
            ValueError: for another name, or if there is no look yet.
        """
        if name == CURRENT:
            return current(self)
        if name not in self.shelf_names:
            raise ValueError(f"There is no look {name!r}; there are {', '.join(self.shelf_names)}.")
        return self.shelf[self.shelf_names.index(name) - 1]


def current(session: Session) -> Look:
    """The look on the page.

    Raises:
        ValueError: if there is none yet.
    """
    if session.look is None:
        raise ValueError("There is no picture yet: choose an example or upload a label map first.")
    return session.look


def open_map(
    pipeline: GroupDNetPipeline, session: Session, mask: str | os.PathLike[str], seed: int
) -> Session:
    """A sample on another label map."""
    return replace(session, look=pipeline.sample(mask, seed))


def sample(pipeline: GroupDNetPipeline, session: Session, seed: int) -> Session:
    """Every class drawn anew on the same label map."""
    look = current(session)
    return replace(session, look=pipeline.sample(look.mask, seed))


def reroll(
    pipeline: GroupDNetPipeline, session: Session, class_: str | int, seed: int | None = None
) -> Session:
    """One class drawn anew.

    Raises:
        ValueError: if the class is not on the label map.
    """
    look = current(session)
    name = pipeline.labels.names[pipeline.labels.id_of(class_)]
    if name not in look.classes:
        raise ValueError(f"{name} is not on this label map; it holds {', '.join(look.classes)}.")
    return replace(session, look=pipeline.reroll(look, name, seed))


def keep(session: Session) -> Session:
    """Put the look on the shelf."""
    return replace(session, shelf=(*session.shelf, current(session))[-SHELF_SIZE:])


def mix(
    pipeline: GroupDNetPipeline, session: Session, first: str, second: str, classes: Sequence[str]
) -> Session:
    """The first look, on its label map, with some classes' appearance taken from the second.

    Args:
        first, second: names from ``session.shelf_names``.
        classes: what is taken from the second look.
    """
    base, other = session.named(first), session.named(second)
    mixed = pipeline.mix(base.mask, dict.fromkeys(classes, other), base=base)
    return replace(session, look=mixed)
