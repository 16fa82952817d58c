"""Writing a shard: rows with the files of a picture and its maps, byte by byte, and what else is known of the item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from groupdnet_hub.io.atomic import atomic_write

# Rows that are held in memory, and that a reader of the shard holds.
ROW_GROUP = 64
# Columns that are pictures, by the names of files in metadata.jsonl.
_PICTURES = {"file_name": "image", "label_file_name": "label", "instance_file_name": "instance"}


def require_parquet(flag: str) -> None:
    """Check that what writes shards is installed.

    Args:
        flag: flag that needs it, for the message.

    Raises:
        ValueError: if it is not; the message names the install command.
    """
    try:
        import datasets  # noqa: F401
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise ValueError(
            f"{flag} needs the library datasets: pip install 'groupdnet-hub[hub-data]', or pip install datasets"
        ) from None


def row_of(entry: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the row of an item: its files as they are, and the other values of its entry.

    Args:
        entry: line of metadata.jsonl.
        folder: folder that its files lie in.
    """
    row: dict[str, Any] = {"name": Path(entry["label_file_name"]).stem}
    for key, value in entry.items():
        if key in _PICTURES:
            row[_PICTURES[key]] = {"bytes": (folder / value).read_bytes(), "path": Path(value).name}
        else:
            row[key] = value
    return row


def write_shard(path: Path, rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> int:
    """Write a shard, atomically and row by row, and return the number of its rows.

    All shards of a data set have the same columns, also one without rows: ``name``, ``image``, ``label``, and more.

    Args:
        path: path of the shard.
        rows: rows of :func:`row_of`.
        columns: further columns and their types: ``picture``, ``number`` or ``integers``.

    Raises:
        CannotWriteError: for a full disk and the like.
    """
    import datasets
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    kinds = {
        "picture": datasets.Image(),
        "number": datasets.Value("float64"),
        "integers": datasets.Sequence(datasets.Value("int64")),
    }
    known = {"name": datasets.Value("string"), "image": kinds["picture"], "label": kinds["picture"]}
    schema = datasets.Features(
        {**known, **{name: kinds[kind] for name, kind in columns.items()}}
    ).arrow_schema
    count, left = 0, iter(rows)
    # Pictures are compressed already.
    with atomic_write(path) as partial, ParquetWriter(partial, schema, compression="none") as writer:
        while group := list(islice(left, ROW_GROUP)):
            writer.write_table(pyarrow.Table.from_pylist(group, schema=schema), row_group_size=ROW_GROUP)
            count += len(group)
    return count
