"""Drawn people in shards, for several test files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from groupdnet_hub.data.shards.layout import shard_path
from groupdnet_hub.data.shards.writing import row_of, write_shard


def write_shards(source: Path, folder: Path, count: int, split: str = "train") -> Path:
    """Write a split of a data set of files as ``count`` shards, its items dealt out in turn."""
    entries = [json.loads(line) for line in (source / split / "metadata.jsonl").read_text().splitlines()]
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for index in range(count):
        rows = (row_of(entry, source / split) for entry in entries[index::count])
        write_shard(shard_path(folder, split, index, count), rows, {})
    shutil.copy(source / "classes.json", folder)
    return folder
