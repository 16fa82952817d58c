"""Where the shards of a data set lie: ``FOLDER/data/SPLIT-00000-of-00012.parquet``, as on the Hugging Face Hub."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = "data"
_NAME = re.compile(r"(?P<split>\w+)-(?P<index>\d{5,})-of-(?P<count>\d{5,})\.parquet")


def shard_path(root: Path, split: str, index: int, count: int) -> Path:
    """Return the path of one of a split's shards."""
    return root / FOLDER / f"{split}-{index:05d}-of-{count:05d}.parquet"


def shard_files(root: Path, split: str) -> list[Path]:
    """Return the shards of a split that are there, in order."""
    try:
        names = [path for path in (root / FOLDER).iterdir() if _split_of(path) == split]
    except OSError:
        return []
    return sorted(names)


def find_shards(root: Path, split: str) -> list[Path]:
    """Return all shards of a split.

    Raises:
        ValueError: if there are none, or some are missing; the message says what to do.
    """
    found = shard_files(root, split)
    if not found:
        if not root.is_dir():
            raise ValueError(f"there is no folder {root}")
        if (root / split).is_dir():
            raise ValueError(
                f"{root} is a data set of single files, which are not streamed: leave out --streaming, or write shards "
                "by prepare.py --shard_size"
            )
        raise ValueError(
            f"{root} has no shards of {split} (data/{split}-*.parquet): prepare.py --shard_size writes them"
        )
    counts = {match["count"] for path in found if (match := _NAME.fullmatch(path.name))}
    count = int(max(counts))
    if len(counts) > 1:
        raise ValueError(
            f"{root / FOLDER} holds shards of several preparations of {split} (of {', '.join(sorted(counts))}): remove "
            "those of the earlier one"
        )
    if len(found) < count:
        raise ValueError(
            f"{root / FOLDER} has {len(found)} of {count} shards of {split}: the prepare.py that wrote them has not "
            "ended; start it again, and it writes those that are missing"
        )
    return found


def shards_hint(root: Path, split: str) -> str | None:
    """Return how to read a folder of shards where one of single files is expected; None for another folder."""
    if not shard_files(root, split):
        return None
    return f"it is a data set in shards (data/{split}-*.parquet), which train.py reads with --streaming"


def _split_of(path: Path) -> str | None:
    match = _NAME.fullmatch(path.name)
    return None if match is None else match["split"]
