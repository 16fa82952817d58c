"""Lists of the pictures and maps of a data set: files that a folder names, or rows of a table."""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from groupdnet_hub.data.rows import picture_in, undecoded
from groupdnet_hub.data.shards.layout import shards_hint
from groupdnet_hub.io.names import Names
from groupdnet_hub.io.strict_json import read_json_lines, shown

# A picture and its label map, each anything that the strict readers take; the instance map may be missing.
Pair = tuple[Any, Any, Any]

LISTING = "metadata.jsonl"
_SHOWN = 3


class FolderPairs(Sequence[Pair]):
    """Files named by the ``metadata.jsonl`` (file_name, label_file_name, perhaps instance_file_name) of some folders.

    A name in another Unicode normal form than the file's, or with the backslashes of Windows, names the file too. A
    picture may be listed several times.

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
        listing = folder / LISTING
        problem = split_problem(folder)
        if problem is not None:
            raise ValueError(problem)
        names = Names(folder)

        def file(name: object, place: str) -> Path:
            if not _lies_inside(name):
                raise ValueError(
                    f"{place} names the file {shown(name)}; names are those of files below this folder, such as "
                    "'images/a.jpg'"
                )
            return names.file(str(name))

        for place, entry in read_json_lines(listing):
            if not isinstance(entry, dict) or not {"file_name", "label_file_name"} <= set(entry):
                raise ValueError(f"{place} is not a JSON object with file_name and label_file_name")
            instance = entry.get("instance_file_name")
            self.pairs.append(
                (
                    file(entry["file_name"], place),
                    file(entry["label_file_name"], place),
                    None if instance is None else file(instance, place),
                )
            )
        if len(self.pairs) == before:
            raise ValueError(f"{listing} names no picture")

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: Any) -> Any:
        return self.pairs[index]


def _lies_inside(name: object) -> bool:
    if not isinstance(name, str) or not name or "\0" in name:
        return False
    try:
        os.fsencode(name)
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    parts = name.replace("\\", "/").split("/")
    return parts[0] != "" and ".." not in parts and not os.path.splitdrive(name)[0]


# -- splits of a data set --------------------------------------------------------------------------------------------


def is_split(folder: Path) -> bool:
    """Return whether a folder is a split of a paired data set: whether it has a listing."""
    return (folder / LISTING).is_file()


def splits_in(folder: Path) -> list[str]:
    """Return the names of the splits of a data set folder, those of its folders with a listing."""
    try:
        return sorted(path.name for path in folder.iterdir() if is_split(path))
    except OSError:
        return []


def split_problem(folder: Path) -> str | None:
    """Return why a folder is not a split of a paired data set, and what to name instead; None if it is one."""
    if is_split(folder):
        return None
    if not folder.is_dir():
        return data_folder_problem(folder.parent, folder.name)
    splits = splits_in(folder)
    if splits:
        return (
            f"there is no {LISTING} in {folder}: it is a data set with the splits {', '.join(splits)}; name one of "
            f"them, such as {folder / splits[0]}"
        )
    return f"there is no {LISTING} in {folder}: is this a split of a paired data set?"


def data_folder_problem(folder: Path, split: str) -> str | None:
    """Return why a folder is not a data set with a split of this name, and what to name instead; None if it is one."""
    if (folder / split).is_dir():
        return None
    if folder.is_file():
        return f"{folder} is a file, not the folder of a data set"
    if not folder.is_dir():
        return f"there is no folder {folder}"
    problem = f"there is no folder {split} in {folder}"
    if (hint := shards_hint(folder, split)) is not None:
        return f"{problem}: {hint}"
    if is_split(folder):
        name = Path(os.path.abspath(folder)).name
        return (
            f"{problem}: it is itself the split {name} of a data set; name the folder of the data set, "
            f"{_parent(folder)}"
        )
    splits = splits_in(folder)
    if splits:
        return f"{problem}: it has {'the split' if len(splits) == 1 else 'the splits'} {', '.join(splits)}"
    if is_split(folder.parent):
        return f"{problem}: it is a part of the split {folder.parent}; name the folder of the data set"
    return f"{problem}, nor another split with {LISTING}"


def _parent(folder: Path) -> Path:
    return folder.parent if folder.name not in ("", "..") else Path(os.path.abspath(folder)).parent


# -- instance maps ---------------------------------------------------------------------------------------------------


def with_instances(pairs: Sequence[Pair], wanted: bool | None) -> Sequence[Pair]:
    """Return pairs with or without instance maps, as all of them must be that become one batch.

    Args:
        pairs: the pairs.
        wanted: whether they need one each; False leaves out those that there are; with None, all have one or none has.

    Raises:
        ValueError: for files where some lack an instance map that is needed, or some have one and others have none;
            the message names the first. Rows of a table are refused when they are read.
    """
    if wanted is False:
        return _CheckedPairs(pairs, False)
    if not isinstance(pairs, FolderPairs):
        return _CheckedPairs(pairs, wanted)
    lacking = [picture for picture, _, instance in pairs if instance is None]
    if lacking and (wanted or len(lacking) < len(pairs)):
        lack = "has" if len(lacking) == 1 else "have"
        raise ValueError(
            f"{'this model draws instance edges: ' if wanted else ''}{len(lacking)} of {len(pairs)} items {lack} no "
            f"instance map (no instance_file_name in {LISTING}): {_first(lacking)}"
            + ("" if wanted else ". Give all one, or none")
        )
    return pairs


def has_instances(pairs: Sequence[Pair]) -> bool:
    """Return whether some of the files, or the first row of a table, have an instance map."""
    if isinstance(pairs, FolderPairs):
        return any(instance is not None for _, _, instance in pairs)
    return pairs[0][2] is not None


def _first(files: Sequence[Path]) -> str:
    named = ", ".join("/".join(file.parts[-3:]) for file in files[:_SHOWN])
    return named + (", ..." if len(files) > _SHOWN else "")


def checked_pair(pair: Pair, wanted: bool | None, first: Pair, name: str) -> Pair:
    """Return a pair with or without its instance map; see :func:`with_instances`.

    Args:
        pair: the pair.
        wanted: whether it needs an instance map; False leaves it out; None if the first one has it.
        first: the first pair.
        name: name of the pair in messages.

    Raises:
        ValueError: for a missing instance map, and for one that the first pair lacks.
    """
    if wanted is False:
        return (*pair[:2], None)
    has, needs = pair[2] is not None, wanted or first[2] is not None
    if has != needs:
        why = (
            ": this model draws instance edges" if wanted else ", unlike the first one: give all one, or none"
        )
        raise ValueError(f"{name} has {'an' if has else 'no'} instance map{why}")
    return pair


class _CheckedPairs(Sequence[Pair]):
    """Pairs whose instance maps are checked when they are read; see :func:`with_instances`."""

    def __init__(self, pairs: Sequence[Pair], wanted: bool | None) -> None:
        self.pairs, self._wanted = pairs, wanted
        self._first: Pair | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        pair = self.pairs[index]
        if self._first is None:
            first = pair if index == 0 or self._wanted is not None else self.pairs[0]
            self._first = (None, None, first[2])  # its picture need not stay in memory
        return checked_pair(pair, self._wanted, self._first, f"item {index}")


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


def without_items(pairs: Sequence[Pair], left_out: Collection[int]) -> Sequence[Pair]:
    """Return the pairs of a folder or of rows without those of some indices."""
    bad = set(left_out)
    if not bad:
        return pairs
    chosen = [index for index in range(len(pairs)) if index not in bad]
    fewer = copy.copy(pairs)
    if isinstance(fewer, FolderPairs):
        fewer.pairs = [fewer.pairs[index] for index in chosen]
    elif isinstance(fewer, RowPairs) and hasattr(fewer.rows, "select"):
        fewer.rows = fewer.rows.select(chosen)
    else:
        return [pairs[index] for index in chosen]
    return fewer
