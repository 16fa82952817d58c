"""What a check has found, in a file, so that the same data are not checked again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groupdnet_hub.data.checks.items import BadItem, Level
from groupdnet_hub.data.labels import LabelSet
from groupdnet_hub.data.listing import FolderPairs, Pair
from groupdnet_hub.io.atomic import atomic_write
from groupdnet_hub.io.strict_json import read_json

_LEVELS: Sequence[Level] = ("headers", "full")


@dataclass(frozen=True)
class Verdict:
    """The bad items of some data.

    Attributes:
        digest: digest of the data, from :func:`data_digest`.
        level: how they were checked.
        bad: their bad items.
    """

    digest: str
    level: Level
    bad: tuple[BadItem, ...]

    def answers(self, digest: str, level: Level) -> bool:
        """Return whether this is what a check of some data at some level would find, or more than it would."""
        return self.digest == digest and _LEVELS.index(self.level) >= _LEVELS.index(level)


def data_digest(
    splits: Mapping[str, Sequence[Pair]], labels: LabelSet, version: str, *, instances: bool
) -> str | None:
    """Return the SHA-256 of the names, sizes and times of all files, and of how they are read.

    Args:
        splits: the pairs of each split.
        labels: label set of the maps.
        version: version of the readers.
        instances: whether instance maps are read.

    Returns:
        The digest; None for rows of a table, whose files are not known.
    """
    if not all(isinstance(pairs, FolderPairs) for pairs in splits.values()):
        return None
    total = hashlib.sha256(repr((version, labels, instances)).encode())
    for split, pairs in splits.items():
        total.update(repr((split, len(pairs))).encode())
        for pair in pairs:
            files = pair if instances else pair[:2]
            total.update(repr([file and (os.fsencode(file), *_state(file)) for file in files]).encode())
    return total.hexdigest()


def _state(path: Path) -> tuple[int, ...]:
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns


def read_verdict(path: Path) -> Verdict | None:
    """Return the verdict that a file holds; None without one, and for a damaged file."""
    try:
        values = read_json(path, path.name)
        bad = tuple(_bad_item(one) for one in values["bad"])
        verdict = Verdict(values["digest"], values["level"], bad)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return verdict if isinstance(verdict.digest, str) and verdict.level in _LEVELS else None


def write_verdict(path: Path, verdict: Verdict) -> None:
    """Write a verdict, atomically.

    Raises:
        CannotWriteError: for a full disk and the like.
    """
    bad = [one.record() for one in verdict.bad]
    text = json.dumps({"digest": verdict.digest, "level": verdict.level, "bad": bad})
    with atomic_write(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def _bad_item(record: Any) -> BadItem:
    if not isinstance(record, dict):
        raise ValueError("this is not a bad item")
    files = tuple(value for name, value in record.items() if name.endswith("file_name"))
    split, item, reason = record["split"], record["item"], record["reason"]
    if not (type(item) is int and all(isinstance(text, str) for text in (split, reason, *files))):
        raise ValueError("this is not a bad item")
    return BadItem(split, item, reason, files)
