"""Files that a visitor opens: saved work, a single look, or a picture that carries its look."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from groupdnet_hub import GroupDNetConfig
from groupdnet_hub.io.archives import files_in

from .. import session as sessions
from ..session import Session
from . import picture_files
from .model_identity import ModelIdentity
from .saved_work import MOST_BYTES, MOST_FILES, WORK_FILE, read_files, read_look, read_work
from .shelf import put_named

# With some room for what a zip archive holds beside its files.
_MOST_FILE = MOST_BYTES + 2**20


@dataclass(frozen=True)
class OpenedFile:
    """What a file made of the session.

    Attributes:
        session: with what was opened.
        told: a sentence on it.
        replaced: whether it is other work than before.
    """

    session: Session
    told: str
    replaced: bool = False


def open_file(
    path: str | os.PathLike[str],
    session: Session,
    start: Session,
    model: ModelIdentity,
    config: GroupDNetConfig,
) -> OpenedFile:
    """Open work in the place of the session, a look on its shelf, or a picture as a step of its history.

    Args:
        path: of the file; it may be anyone's.
        session: the visitor's.
        start: a session as a page opens with.
        model: the page's.
        config: of that model.

    Raises:
        ValueError: for any other file, a damaged one, and one of another model.
    """
    path = Path(path)
    if path.stat().st_size > _MOST_FILE:
        raise ValueError(f"{path.name} is larger than {_MOST_FILE / 2**20:.0f} MiB, the most that is opened")
    content = path.read_bytes()
    if content.startswith(picture_files.SIGNATURE):
        look = picture_files.look_of_picture(content, model, config)
        return OpenedFile(sessions.show(session, look), "This is the picture's look: go on from here.")
    files = files_in(content, path.name, most_files=MOST_FILES, most_bytes=2 * _MOST_FILE)
    if WORK_FILE in files:
        opened = read_work(*read_files(files), start, model, config)
        return OpenedFile(opened, f"Your work is open: {described(opened)}.", replaced=True)
    if "look.json" in files:
        look = read_look(content, config, path.name)
        kept = put_named(session, look, path.stem)
        if session.look is None:
            kept = sessions.show(kept, look)
        return OpenedFile(kept, f"Put on the shelf as {kept.shelf[-1].name}.")
    raise ValueError(f"{path.name} holds neither saved work ({WORK_FILE}) nor a look (look.json)")


def described(session: Session) -> str:
    """Return what a session holds, as part of a sentence."""
    pictures, looks = len(sessions.history(session)), len(session.shelf)
    return f"{_counted(pictures, 'picture')}, {_counted(looks, 'look')} on the shelf"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
