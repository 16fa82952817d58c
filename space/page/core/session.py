"""What one visitor has made so far: pictures with undo and redo, a shelf of looks, locks. Pure functions, no page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from groupdnet_hub import LabelSet, Look
from groupdnet_hub.data.person_frames import Box

from .photo_reading.files import WholePhoto

CURRENT = "current"
# Looks on the shelf; the oldest leaves when another is kept.
SHELF_SIZE = 8
UNDO_STEPS = 10
MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class ShelfItem:
    """A look with a name. It stays its own when older ones leave the shelf."""

    name: str
    look: Look


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo that a look is taken from.

    Attributes:
        whole: the photo before it was cropped.
        picture: the part of it in the frame, of the model's proportions, and no larger than is of use to the model.
        box: the frame, in pixels of ``whole.picture``; it may reach beyond it.
        is_framed: whether a visitor or a parser chose the frame; if not, the person of a label map may.
        label: the label map that was brought for all of the photo, uint16 [H, W] at any size; it is cropped alike.
    """

    whole: WholePhoto
    picture: Image.Image
    box: Box
    is_framed: bool = False
    label: np.ndarray | None = None


@dataclass(frozen=True)
class Session:
    """One visitor's state.

    Attributes:
        look: the picture on the page.
        earlier: the pictures before it, the newest last.
        later: those that undo went back from, the nearest last.
        candidates: what a class was redrawn to, to pick one from.
        redrawn: the class that the candidates redraw.
        locked: the classes that new samples and rerolls leave alone.
        shelf: kept looks, the oldest first.
        looks_so_far, photos_so_far: how many were ever kept; the names on the shelf count on.
        bundled: looks that every visitor finds.
        photo: an uploaded photo whose label map is being made.
    """

    look: Look | None = None
    earlier: tuple[Look, ...] = ()
    later: tuple[Look, ...] = ()
    candidates: tuple[Look, ...] = ()
    redrawn: str = ""
    locked: tuple[str, ...] = ()
    shelf: tuple[ShelfItem, ...] = ()
    looks_so_far: int = 0
    photos_so_far: int = 0
    bundled: tuple[ShelfItem, ...] = ()
    photo: Photo | None = None

    @property
    def named_looks(self) -> tuple[ShelfItem, ...]:
        """Every look that can be mixed: the picture on the page, the shelf, the bundled ones."""
        here = () if self.look is None else (ShelfItem(CURRENT, self.look),)
        return (*here, *self.shelf, *self.bundled)

    @property
    def names(self) -> list[str]:
        """What the looks are called where one of them is chosen."""
        return [item.name for item in self.named_looks]

    def named(self, name: str) -> Look:
        """Return a look by one of :attr:`names`.

        Raises:
            ValueError: for another name, or if there is no picture yet.
        """
        if name == CURRENT:
            return current(self)
        for item in self.named_looks:
            if item.name == name:
                return item.look
        raise ValueError(f"there is no look {name!r}; there are {', '.join(self.names)}.")


def checked_seed(value: float | None) -> int:
    """Return the seed that a visitor typed.

    Raises:
        ValueError: for an empty field, and outside 0 to ``MAX_SEED``.
    """
    if value is None or not 0 <= value <= MAX_SEED or value != int(value):
        raise ValueError(f"the seed must be a whole number from 0 to {MAX_SEED}.")
    return int(value)


def current(session: Session) -> Look:
    """Return the look on the page.

    Raises:
        ValueError: if there is none yet.
    """
    if session.look is None:
        raise ValueError("there is no picture yet: choose an example or upload a label map first.")
    return session.look


def show(session: Session, look: Look) -> Session:
    """Show another picture on the page; the one before can be brought back by :func:`undo`."""
    earlier = session.earlier
    if session.look is not None:
        earlier = (*earlier, session.look)
        if look.mask is not session.look.mask and np.array_equal(look.mask, session.look.mask):
            look = replace(look, mask=session.look.mask)  # the pictures of a history mostly share one map
    return replace(session, look=look, earlier=earlier[-UNDO_STEPS:], later=(), candidates=(), redrawn="")


def undo(session: Session) -> Session:
    """Go back to the picture before this one.

    Raises:
        ValueError: if there is none.
    """
    if not session.earlier:
        raise ValueError("there is no earlier picture.")
    return go_to(session, len(session.earlier) - 1)


def redo(session: Session) -> Session:
    """Go forward to the picture that undo went back from.

    Raises:
        ValueError: if there is none.
    """
    if not session.later:
        raise ValueError("there is no later picture.")
    return go_to(session, len(session.earlier) + 1)


def history(session: Session) -> tuple[Look, ...]:
    """Return all pictures that undo and redo reach, the oldest first, the one on the page among them."""
    return (*session.earlier, current(session), *reversed(session.later))


def go_to(session: Session, index: int) -> Session:
    """Show a picture of the history by its place in :func:`history`; none is lost.

    Raises:
        ValueError: for a place that the history does not have.
    """
    pictures = history(session)
    if not isinstance(index, int) or not 0 <= index < len(pictures):
        raise ValueError(f"there is no picture {index!r} in the history, which holds {len(pictures)}.")
    return replace(
        session,
        look=pictures[index],
        earlier=pictures[:index],
        later=tuple(reversed(pictures[index + 1 :])),
        candidates=(),
        redrawn="",
    )


def lock(session: Session, labels: LabelSet, classes: Iterable[str | int]) -> Session:
    """Lock exactly these classes from now on.

    Raises:
        ValueError: for an unknown class, and if no class would be left to draw.
    """
    ids = sorted(labels.ids_of(classes))
    if len(ids) == len(labels):
        raise ValueError("all classes would be locked: leave at least one to draw.")
    return replace(session, locked=tuple(labels.names[class_id] for class_id in ids))


def keep(session: Session) -> Session:
    """Put the look on the shelf."""
    number = session.looks_so_far + 1
    item = ShelfItem(f"look {number}", current(session))
    return replace(session, shelf=(*session.shelf, item)[-SHELF_SIZE:], looks_so_far=number)


def keep_photo(session: Session, look: Look) -> Session:
    """Put the look of a photo on the shelf."""
    number = session.photos_so_far + 1
    item = ShelfItem(f"photo {number}", look)
    return replace(session, shelf=(*session.shelf, item)[-SHELF_SIZE:], photos_so_far=number)


def take_back(session: Session, name: str) -> Session:
    """Show a named look as the picture on the page; it stays where it was."""
    return show(session, session.named(name))


def mixable(base: Look, other: Look) -> tuple[str, ...]:
    """Return the classes that both looks show: only these can be taken from the other."""
    return tuple(name for name in base.classes if name in other.classes)
