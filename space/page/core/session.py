"""What one visitor has made so far: pictures with undo and redo, a shelf of looks, locks. Pure functions, no page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from PIL import Image

from groupdnet_hub import LabelSet, Look
from groupdnet_hub.data.person_frames import Box
from groupdnet_hub.io.strict_json import shown

from .memory.light_looks import light
from .memory.packed_looks import PackedLook, packed
from .photo_reading.files import WholePhoto

CURRENT = "current"
# A session of the bundled models holds some 60 KB for each picture of its history and each look on its shelf.
SHELF_SIZE = 100
UNDO_STEPS = 50
LONGEST_NAME = 40
MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class ShelfItem:
    """A look with a name."""

    name: str
    packed: PackedLook

    @property
    def look(self) -> Look:
        """The look itself."""
        return self.packed.look


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
class Choice:
    """What the candidates were drawn from, and which of them is on the page.

    Attributes:
        start: the session before one was picked: however often another one is, that is one step from here.
        keep_pixels: whether the picture keeps its pixels outside of the class.
        picked: the place of the candidate on the page, or None.
        strength: how far the picture is from that of ``start``, 0, to the picked candidate, 1.
    """

    start: Session
    keep_pixels: bool = False
    picked: int | None = None
    strength: float = 1.0


@dataclass(frozen=True)
class Session:
    """One visitor's state.

    Attributes:
        look: the picture on the page.
        earlier: the pictures before it, each with its label map, the newest last.
        later: those that undo went back from, the nearest last.
        candidates: what a class was redrawn to, to pick one from.
        redrawn: the class that the candidates redraw; empty where they are whole samples.
        choice: what the candidates were drawn from, where there are any.
        locked: the classes that new samples and rerolls leave alone.
        shelf: kept looks, in the visitor's order.
        deleted: what was deleted from the shelf last, and its place there, for as long as it can be brought back.
        looks_so_far, photos_so_far: how many were ever kept; the names on the shelf count on.
        bundled: looks that every visitor finds.
        photo: an uploaded photo whose label map is being made.
        work: names this work among others of the same browser; it says nothing about what was made.
    """

    look: Look | None = None
    earlier: tuple[PackedLook, ...] = ()
    later: tuple[PackedLook, ...] = ()
    candidates: tuple[Look, ...] = ()
    redrawn: str = ""
    choice: Choice | None = None
    locked: tuple[str, ...] = ()
    shelf: tuple[ShelfItem, ...] = ()
    deleted: tuple[int, ShelfItem] | None = None
    looks_so_far: int = 0
    photos_so_far: int = 0
    bundled: tuple[ShelfItem, ...] = ()
    photo: Photo | None = None
    work: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "look", None if self.look is None else light(self.look))
        object.__setattr__(self, "candidates", tuple(map(light, self.candidates)))

    @property
    def named_looks(self) -> tuple[ShelfItem, ...]:
        """Every look that can be mixed: the picture on the page, the shelf, the bundled ones."""
        here = () if self.look is None else (ShelfItem(CURRENT, packed(self.look)),)
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
        raise ValueError(f"there is no look {shown(name)}; there are {', '.join(self.names)}.")


def checked_seed(value: float | None) -> int:
    """Return the seed that a visitor typed.

    Raises:
        ValueError: for an empty field, and outside 0 to ``MAX_SEED``.
    """
    wanted = f"a whole number from 0 to {MAX_SEED}"
    if value is None:
        raise ValueError(f"the seed is missing: a seed is {wanted}.")
    if type(value) not in (int, float) or not 0 <= value <= MAX_SEED or value != int(value):
        raise ValueError(f"{shown(value)} is not a seed: a seed is {wanted}.")
    return int(value)


def current(session: Session) -> Look:
    """Return the look on the page.

    Raises:
        ValueError: if there is none yet.
    """
    if session.look is None:
        raise ValueError("there is no picture yet: choose an example or upload a label map first.")
    return session.look


def put_away(session: Session) -> Session:
    """Return the session without anything to pick from; the picture stays."""
    return replace(session, candidates=(), redrawn="", choice=None)


def show(session: Session, look: Look) -> Session:
    """Show another picture on the page; the one before can be brought back by :func:`undo`.

    A picture that is the same as the one on the page is no step of the history.
    """
    if session.look is None:
        return replace(session, look=look)
    if _same(session.look, look):
        return put_away(session)
    earlier = (*session.earlier, packed(session.look))[-UNDO_STEPS:]
    return replace(put_away(session), look=look, earlier=earlier, later=())


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


def history(session: Session) -> tuple[PackedLook, ...]:
    """Return all pictures that undo and redo reach, the oldest first, the one on the page among them."""
    return (*session.earlier, packed(current(session)), *reversed(session.later))


def go_to(session: Session, index: int) -> Session:
    """Show a picture of the history by its place in :func:`history`; none is lost.

    Raises:
        ValueError: for a place that the history does not have.
    """
    pictures = history(session)
    if not isinstance(index, int) or not 0 <= index < len(pictures):
        raise ValueError(f"there is no picture {index!r} in the history, which holds {len(pictures)}.")
    return replace(
        put_away(session),
        look=pictures[index].look,
        earlier=pictures[:index],
        later=tuple(reversed(pictures[index + 1 :])),
    )


def lock(session: Session, labels: LabelSet, classes: Sequence[str | int]) -> Session:
    """Lock exactly these classes from now on.

    Raises:
        ValueError: for an unknown class, for anything but a list of them, and if no class would be left to draw.
    """
    if not isinstance(classes, (list, tuple)):
        raise ValueError('the locked classes must be a list of their names, such as ["hair"].')
    ids = sorted(labels.ids_of(classes))
    if len(ids) == len(labels):
        raise ValueError("all classes would be locked: leave at least one to draw.")
    return replace(session, locked=tuple(labels.names[class_id] for class_id in ids))


def keep(session: Session) -> Session:
    """Put the look on the shelf.

    Raises:
        ValueError: if there is none, or the shelf is full.
    """
    number, name = next_name(session, "look", session.looks_so_far)
    return replace(put(session, name, current(session)), looks_so_far=number)


def keep_photo(session: Session, look: Look) -> Session:
    """Put the look of a photo on the shelf.

    Raises:
        ValueError: if the shelf is full.
    """
    number, name = next_name(session, "photo", session.photos_so_far)
    return replace(put(session, name, look), photos_so_far=number)


def put(session: Session, name: str, look: Look) -> Session:
    """Put a look on the shelf under a name that is free.

    Raises:
        ValueError: if the shelf is full.
    """
    if len(session.shelf) >= SHELF_SIZE:
        raise ValueError(
            f"the shelf is full: it holds {SHELF_SIZE} looks. Delete one that you no longer need."
        )
    return replace(session, shelf=(*session.shelf, ShelfItem(name, packed(look))))


def next_name(session: Session, what: str, number: int) -> tuple[int, str]:
    """Return the next number, and a name with it that is free: the visitor may have given it to another look."""
    while True:
        number += 1
        if f"{what} {number}" not in session.names:
            return number, f"{what} {number}"


def take_back(session: Session, name: str) -> Session:
    """Show a named look as the picture on the page; it stays where it was."""
    return show(session, session.named(name))


def mixable(base: Look, other: Look) -> tuple[str, ...]:
    """Return the classes that both looks show: only these can be taken from the other."""
    return tuple(name for name in base.classes if name in other.classes)


def _same(one: Look, other: Look) -> bool:
    """Return whether two looks show the same and can be changed to the same, wherever they come from."""
    return one is other or (
        one.image.tobytes() == other.image.tobytes()
        and torch.equal(one.codes.tensor, other.codes.tensor)
        and np.array_equal(one.mask, other.mask)
    )
