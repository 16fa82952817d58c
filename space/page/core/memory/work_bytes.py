"""How much a session holds that its visitor has made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from PIL import Image

from groupdnet_hub import Look

from ..session import Photo, Session
from .light_looks import light
from .packed_looks import PackedLook


def work_bytes(value: Any) -> int | None:
    """Return about how many bytes a session holds; None if it holds no more than every visitor is shown.

    Args:
        value: a session, or another value that the page remembers of a visitor.
    """
    if not isinstance(value, Session):
        return None
    made = (
        value.earlier,
        value.later,
        value.shelf,
        value.deleted,
        value.candidates,
        value.photo,
        value.locked,
    )
    if not any(made):
        return None
    held = {id(part): part for part in _parts(value)}
    return sum(map(_bytes, held.values()))


def _parts(session: Session) -> Iterator[Look | PackedLook | Photo]:
    """Iterate over what a session holds; things that are there twice come twice."""
    yield from session.earlier
    yield from session.later
    yield from session.candidates
    yield from (item.packed for item in session.shelf)
    if session.look is not None:
        yield session.look
    if session.deleted is not None:
        yield session.deleted[1].packed
    if session.photo is not None:
        yield session.photo
    if session.choice is not None:
        yield from _parts(session.choice.start)


def _bytes(part: Look | PackedLook | Photo) -> int:
    if isinstance(part, PackedLook):
        return len(part.archive) + len(part.thumbnail) + len(part.map_thumbnail)
    if isinstance(part, Look):
        return _pixels(part.image) + light(part).map_bytes + part.codes.tensor.nbytes
    drawn = 0 if part.label is None else part.label.nbytes
    return _pixels(part.whole.picture) + _pixels(part.picture) + drawn


def _pixels(picture: Image.Image) -> int:
    return picture.width * picture.height * len(picture.getbands())
