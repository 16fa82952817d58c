"""The record of finished items in the folder of a split, from which a stopped run resumes.

Every process of a run appends to a file of its own. Only the places of the lines are held in memory.
"""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from groupdnet_hub.io.atomic import atomic_write

_DONE, _OF_OTHERS = ".prepare.jsonl", ".prepare-*.jsonl"


@dataclass(frozen=True)
class Record:
    """What became of an item: its line of metadata.jsonl, or why it was left out; and what is counted of it."""

    entry: dict[str, Any] | None = None
    left_out: str | None = None
    counts: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of_line(cls, line: bytes) -> tuple[str, Record] | None:
        """Return the name and the record that a line holds; None for a line that is not one."""
        try:
            values = json.loads(line)
            name, entry, left_out = values["name"], values["entry"], values["left_out"]
            counts = {str(key): int(value) for key, value in values["counts"].items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
            return None
        if not (
            isinstance(name, str) and isinstance(entry, dict | None) and isinstance(left_out, str | None)
        ):
            return None
        return name, cls(entry, left_out, counts)


class Journal:
    """The finished items of a split.

    Args:
        folder: folder of the split.
        process: number of the process, in whose file this one writes.
    """

    def __init__(self, folder: Path, process: int = 0) -> None:
        self.folder = folder
        self._own = folder / (_DONE if process == 0 else _OF_OTHERS.replace("*", str(process)))
        self._places: dict[str, tuple[Path, int]] = {}
        self._prepared = 0
        self._open: dict[Path, BinaryIO] = {}
        self._writer: BinaryIO | None = None

    def read(self, names: Container[str], *, check_files: bool = True) -> None:
        """Read which of some items are finished; other lines are ignored, and their items prepared again.

        Args:
            names: names of the run's items.
            check_files: whether an item's files must exist.
        """
        for path in [self.folder / _DONE, *sorted(self.folder.glob(_OF_OTHERS))]:
            if not path.is_file():
                continue
            with path.open("rb") as file:
                place = 0
                for line in file:
                    found = Record.of_line(line)
                    if found is not None and found[0] in names and (not check_files or self._there(found[1])):
                        self._prepared += found[0] not in self._places and found[1].entry is not None
                        self._places[found[0]] = path, place
                    place += len(line)

    def mend(self) -> None:
        """Remove lines that a kill cut short: the next must not be appended to them."""
        for path in [self.folder / _DONE, *self.folder.glob(_OF_OTHERS)]:
            if not path.is_file():
                continue
            with path.open("rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - 1))
                whole = file.read() in (b"", b"\n")
            if not whole:
                content = path.read_bytes()
                with atomic_write(path) as partial:
                    partial.write_bytes(content[: content.rfind(b"\n") + 1])

    def _there(self, record: Record) -> bool:
        names = [value for key, value in (record.entry or {}).items() if key.endswith("file_name")]
        try:
            return all((self.folder / name).is_file() for name in names)
        except (TypeError, ValueError, OSError):
            return False

    def __contains__(self, name: str) -> bool:
        return name in self._places

    @property
    def prepared(self) -> int:
        """Number of finished items that were not left out."""
        return self._prepared

    def record(self, name: str) -> Record:
        """Return the record of a finished item."""
        path, place = self._places[name]
        if path not in self._open:
            self._open[path] = path.open("rb")
        self._open[path].seek(place)
        found = Record.of_line(self._open[path].readline())
        assert found is not None, "only lines that are records have places"
        return found[1]

    def write(self, name: str, record: Record) -> None:
        """Append a finished item."""
        if self._writer is None:
            self._writer = self._own.open("ab")
        self._writer.write(json.dumps({"name": name, **asdict(record)}).encode() + b"\n")
        self._writer.flush()

    def close(self) -> None:
        """Close its files."""
        for file in (*self._open.values(), *([self._writer] if self._writer else [])):
            file.close()
        self._open, self._writer = {}, None
