"""The order and the names of the shelf: what a visitor does with the looks that were kept. Pure functions, no page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from groupdnet_hub import Look

from ..session import CURRENT, LONGEST_NAME, SHELF_SIZE, Session, ShelfItem, next_name, put


def rename(session: Session, place: int, name: Any) -> Session:
    """Give a look on the shelf another name.

    Args:
        session: the visitor's.
        place: of the look on the shelf, from 0 on.
        name: 1 to ``LONGEST_NAME`` characters; white space counts as single spaces.

    Raises:
        ValueError: for another place, an empty or long name, and one that another look has.
    """
    item = _at(session, place)
    plain = checked_name(name)
    if plain != item.name and plain in session.names:
        raise ValueError(f"there is a look {plain!r} already: choose another name.")
    return _with(session, place, ShelfItem(plain, item.packed))


def checked_name(name: Any) -> str:
    """Return a look's name; it may come from anyone.

    Raises:
        ValueError: for an empty or long one.
    """
    plain = " ".join(name.split()) if isinstance(name, str) else ""
    if not plain or len(plain) > LONGEST_NAME or not plain.isprintable():
        raise ValueError(f"a look's name has 1 to {LONGEST_NAME} characters; this has {len(plain)}.")
    return plain


def free_name(session: Session, name: str) -> str:
    """Return a name, or the next one that the shelf would give if another look has it."""
    return name if name not in session.names else next_name(session, "look", session.looks_so_far)[1]


def put_named(session: Session, look: Look, name: str) -> Session:
    """Put a look on the shelf under a name, or under the next that the shelf would give where that cannot be.

    Raises:
        ValueError: if the shelf is full.
    """
    try:
        plain = checked_name(name)
    except ValueError:
        plain = CURRENT  # which no look on the shelf can have
    return put(session, free_name(session, plain), look)


def move(session: Session, place: int, to: int) -> Session:
    """Put a look at another place of the shelf.

    Raises:
        ValueError: for a place that the shelf does not have.
    """
    item, _ = _at(session, place), _at(session, to)
    others = (*session.shelf[:place], *session.shelf[place + 1 :])
    return replace(session, shelf=(*others[:to], item, *others[to:]))


def delete(session: Session, place: int) -> Session:
    """Take a look from the shelf; :func:`restore` brings it back until another one is deleted.

    Raises:
        ValueError: for a place that the shelf does not have.
    """
    item = _at(session, place)
    return replace(
        session, shelf=(*session.shelf[:place], *session.shelf[place + 1 :]), deleted=(place, item)
    )


def restore(session: Session) -> Session:
    """Bring the look back that was deleted last, to its place.

    Raises:
        ValueError: if there is none, or the shelf is full or has another look of its name by now.
    """
    if session.deleted is None:
        raise ValueError("no look was deleted.")
    place, item = session.deleted
    if len(session.shelf) >= SHELF_SIZE:
        raise ValueError(f"the shelf is full: it holds {SHELF_SIZE} looks.")
    if item.name in session.names:
        raise ValueError(f"there is another look {item.name!r} by now: rename that one first.")
    return replace(session, shelf=(*session.shelf[:place], item, *session.shelf[place:]), deleted=None)


def _at(session: Session, place: Any) -> ShelfItem:
    if type(place) is not int or not 0 <= place < len(session.shelf):
        raise ValueError(
            f"there is no look at place {place!r} of the shelf, which holds {len(session.shelf)}."
        )
    return session.shelf[place]


def _with(session: Session, place: int, item: ShelfItem) -> Session:
    return replace(session, shelf=(*session.shelf[:place], item, *session.shelf[place + 1 :]))
