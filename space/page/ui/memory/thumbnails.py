"""Small pictures of looks, each of which is sent to a page once: from then on its components know it by a key."""

from __future__ import annotations

from typing import Any

from ...core import session as sessions
from ...core.memory.packed_looks import PackedLook
from ...core.session import Session
from ..components import file_url


class Thumbnails:
    """What the components of a page are sent of looks.

    Args:
        shown: the session that the page shows already; None for a page that shows nothing.
    """

    def __init__(self, shown: Session | None) -> None:
        self._known = set() if shown is None else {look.key for look in _looks(shown)}

    def of(self, look: PackedLook) -> dict[str, Any]:
        """Return what stands for a look: its key, and its small picture and label map if the page lacks them."""
        if look.key in self._known:
            return {"look": look.key}
        picture, label_map = (
            file_url(look.thumbnail, "image/webp"),
            file_url(look.map_thumbnail, "image/png"),
        )
        return {"look": look.key, "src": picture, "map": label_map}


def _looks(session: Session) -> list[PackedLook]:
    history = [] if session.look is None else sessions.history(session)
    return [*history, *(item.packed for item in (*session.shelf, *session.bundled))]
