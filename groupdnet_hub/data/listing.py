"""Lists of the pictures and maps of a data set: files that a folder names, or rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from groupdnet_hub.data.rows import picture_in, undecoded
from groupdnet_hub.io.strict_json import parse_json, shown

# A picture and its label map, each anything that the strict readers take; the instance map may be missing.
Pair = tuple[Any, Any, Any]


class FolderPairs(Sequence[Pair]):
    """Files named by the ``metadata.jsonl`` (file_name, label_file_name, perhaps instance_file_name) of some folders.

    Args:
        folders: splits of data sets, whose pairs follow one another.

    Raises:
        ValueError: for a folder without ``metadata.jsonl``, an entry that is not of its form or names a file outside
            the folder, and a list without pictures.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.pairs: list[tuple[Path, Path, Path | None]] = []
        for folder in folders:
            self._add(folder)

    def _add(self, folder: Path) -> None:
        before = len(self.pairs)
        listing = folder / "metadata.jsonl"
        if not listing.is_file():
            raise ValueError(f"there is no metadata.jsonl in {folder}: is this a split of a paired data set?")
        for number, line in enumerate(listing.read_text(encoding="utf-8").splitlines(), start=1):
            if not line.strip():
                continue
            try:
                entry = parse_json(line, "the line")
                names = (entry["file_name"], entry["label_file_name"], entry.get("instance_file_name"))
            except (ValueError, KeyError, TypeError, AttributeError):
                raise ValueError(
                    f"line {number} of {listing} is not a JSON object with file_name and label_file_name"
                ) from None
            picture, label, instance = names
            for name in names[:2] if instance is None else names:
                if not _lies_inside(name):
                    raise ValueError(
                        f"line {number} of {listing} names the file {shown(name)}; names are those of files below "
                        "this folder, such as 'images/a.jpg'"
                    )
            self.pairs.append((folder / picture, folder / label, folder / instance if instance else None))
        if len(self.pairs) == before:
            raise ValueError(f"{listing} names no picture")

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: Any) -> Any:
        return self.pairs[index]


def _lies_inside(name: object) -> bool:
    if not isinstance(name, str) or not name or "\0" in name:
        return False
    return not PurePath(name).is_absolute() and ".." not in PurePath(name).parts


class RowPairs(Sequence[Pair]):
    """Rows of a table with a picture column and a label column (a Hugging Face ``datasets.Dataset``).

    Raises:
        ValueError: for a column that the rows lack.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], image_column: str, label_column: str) -> None:
        rows = undecoded(rows, (image_column, label_column, "instance"))
        first = rows[0]
        for column in (image_column, label_column):
            if column not in first:
                raise ValueError(f"the data set has no column {column!r}; it has {', '.join(first)}")
        self.rows, self.image_column, self.label_column = rows, image_column, label_column

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        row = self.rows[index]
        try:
            return tuple(
                map(picture_in, (row[self.image_column], row[self.label_column], row.get("instance")))
            )
        except ValueError as error:
            raise ValueError(f"item {index}: {error}") from None
