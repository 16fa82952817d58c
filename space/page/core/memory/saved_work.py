"""A visitor's work, to be saved and brought back: the pictures of the history, the shelf, the locks.

A work is a ``work.json`` and a look for each key that it names. As a file it is a zip archive: ``work.json``, and the
looks as ``looks/KEY.zip``, which ``Look.load`` reads. A browser keeps the same, one look at a time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from groupdnet_hub import GroupDNetConfig, LabelSet, Look
from groupdnet_hub.io.archives import archive_of
from groupdnet_hub.io.strict_json import parse_json, shown

from .. import session as sessions
from ..session import MAX_SEED, SHELF_SIZE, UNDO_STEPS, Session, ShelfItem
from .model_identity import ModelIdentity
from .packed_looks import PackedLook, packed
from .shelf import checked_name, free_name

FORMAT = 1
WORK_FILE = "work.json"
# Of the looks of a work together: a page takes files of 25 MB.
MOST_BYTES = 24 * 2**20
MOST_FILES = 1 + (UNDO_STEPS + 1) + SHELF_SIZE
_MOST_COUNTED = 10**6
_FOLDER = "looks"


@dataclass(frozen=True)
class Work:
    """What is saved of a session.

    Attributes:
        steps: the pictures of the history, the oldest first.
        at: which of them is on the page.
        shelf: kept looks.
        session: what it is of.
        left_out: how many pictures had to be left out, so that it stays below :data:`MOST_BYTES`.
    """

    steps: tuple[PackedLook, ...]
    at: int
    shelf: tuple[ShelfItem, ...]
    session: Session
    left_out: int = 0

    @property
    def looks(self) -> dict[str, PackedLook]:
        """The looks by their keys."""
        return {look.key: look for look in (*self.steps, *(item.packed for item in self.shelf))}

    def facts(self, model: ModelIdentity) -> dict[str, Any]:
        """Return what ``work.json`` holds."""
        return {
            "format": FORMAT,
            "model": model.as_json(),
            "steps": [look.key for look in self.steps],
            "at": self.at,
            "shelf": [{"name": item.name, "look": item.packed.key} for item in self.shelf],
            "locked": list(self.session.locked),
            "looks_so_far": self.session.looks_so_far,
            "photos_so_far": self.session.photos_so_far,
        }

    def to_bytes(self, model: ModelIdentity) -> bytes:
        """Return the file."""
        files = {f"{_FOLDER}/{key}.zip": look.archive for key, look in self.looks.items()}
        return archive_of({WORK_FILE: json.dumps(self.facts(model), indent=1).encode(), **files})


def work_of(session: Session) -> Work:
    """Return what is saved of a session.

    Where it is too much, the oldest pictures of the history are left out first, then those that redo would reach, and
    looks of the shelf last.

    Raises:
        ValueError: if there is no picture yet.
    """
    work = Work(sessions.history(session), len(session.earlier), session.shelf, session)
    while sum(len(look.archive) for look in work.looks.values()) > MOST_BYTES:
        if work.at > 0:
            work = replace(work, steps=work.steps[1:], at=work.at - 1)
        elif len(work.steps) > 1:
            work = replace(work, steps=work.steps[:-1])
        elif work.shelf:
            work = replace(work, shelf=work.shelf[1:])
        else:
            break
        work = replace(work, left_out=work.left_out + 1)
    return work


def read_work(
    facts: Any,
    looks: Mapping[str, bytes],
    start: Session,
    model: ModelIdentity,
    config: GroupDNetConfig,
) -> Session:
    """Return the session that a work was saved from. Both of its parts may come from anyone.

    Args:
        facts: of ``work.json``.
        looks: archives by their keys.
        start: a session as a page opens with, whose bundled looks there will be.
        model: the page's.
        config: of that model.

    Raises:
        ValueError: for the work of another model, with the names of both, and for anything that is no work.
    """
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise ValueError(f"this work is not of format {FORMAT}, the one that this page reads")
    model.check_is(facts.get("model"), "this work")
    shelf = _list(facts, "shelf", 0, SHELF_SIZE)
    if not all(isinstance(one, dict) for one in shelf):
        raise ValueError("this work is damaged: its shelf holds something that is no look")
    read: dict[str, PackedLook] = {}

    def look(key: Any) -> PackedLook:
        if not isinstance(key, str) or key not in looks:
            raise ValueError(f"this work is damaged: it lacks the look {shown(key)}")
        if key not in read:
            read[key] = packed(read_look(looks[key], config))
        return read[key]

    steps = tuple(look(key) for key in _list(facts, "steps", 1, UNDO_STEPS + 1))
    at = _count(facts, "at", len(steps) - 1)
    session = replace(
        start,
        look=steps[at].look,
        earlier=steps[:at],
        later=tuple(reversed(steps[at + 1 :])),
        looks_so_far=_count(facts, "looks_so_far", _MOST_COUNTED),
        photos_so_far=_count(facts, "photos_so_far", _MOST_COUNTED),
        shelf=(),
        deleted=None,
    )
    for one in shelf:
        # A bundled look of another release may have its name by now.
        name = free_name(session, checked_name(one.get("name")))
        session = replace(session, shelf=(*session.shelf, ShelfItem(name, look(one.get("look")))))
    locked = _list(facts, "locked", 0, len(config.class_names))
    if not all(isinstance(name, str) for name in locked):
        raise ValueError("this work is damaged: it locks something that is no class")
    return sessions.lock(session, LabelSet(config.class_names, config.palette), locked)


def read_look(archive: bytes, config: GroupDNetConfig, what: str = "a look of this work") -> Look:
    """Return a look that may come from anyone.

    Raises:
        ValueError: for anything that is no look, or one that a model of this configuration cannot draw.
    """
    look = Look.from_bytes(archive, what, config=config)
    look.check_fits(config)
    if look.seed is not None and not 0 <= look.seed <= MAX_SEED:
        raise ValueError(f"{what} has the seed {shown(look.seed)}; the page's are 0 to {MAX_SEED}")
    return look


def read_files(files: Mapping[str, bytes]) -> tuple[Any, dict[str, bytes]]:
    """Return the two parts of a work from the files of its archive.

    Raises:
        ValueError: if there is no ``work.json``, or it is no JSON.
    """
    if WORK_FILE not in files:
        raise ValueError(f"this is no saved work: it has no {WORK_FILE}")
    try:
        text = files[WORK_FILE].decode()
    except UnicodeDecodeError:
        raise ValueError(f"this work is damaged: its {WORK_FILE} is not text") from None
    looks = {PurePosixPath(name).stem: content for name, content in files.items() if name.endswith(".zip")}
    return parse_json(text, WORK_FILE), looks


def _list(facts: Mapping[str, Any], name: str, least: int, most: int) -> list[Any]:
    found = facts.get(name)
    if not isinstance(found, list) or not least <= len(found) <= most:
        count = len(found) if isinstance(found, list) else shown(found)
        raise ValueError(f"this work is damaged: {name} must be a list of {least} to {most}; it is {count}")
    return found


def _count(facts: Mapping[str, Any], name: str, most: int) -> int:
    found = facts.get(name)
    if type(found) is not int or not 0 <= found <= most:
        raise ValueError(f"this work is damaged: {name} must be from 0 to {most}; it is {shown(found)}")
    return found
