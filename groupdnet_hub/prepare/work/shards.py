"""Preparing items as shards: each is written by one task, in full or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from groupdnet_hub.data.shards.layout import FOLDER, shard_path
from groupdnet_hub.data.shards.writing import row_of, write_shard
from groupdnet_hub.prepare.sources import Found, Item, Problem
from groupdnet_hub.prepare.work.summary import Preparation, problem_of

_DONE = ".prepare.jsonl"


@dataclass(frozen=True)
class Shard:
    """A shard to write.

    Attributes:
        split, index, count: its split, its number, and how many the split has.
        items: its items.
    """

    split: str
    index: int
    count: int
    items: tuple[Item, ...]

    @property
    def key(self) -> str:
        """Its name in records."""
        return ShardPlan.key(self.split, self.index)


@dataclass
class ShardResult:
    """What became of the items of a shard.

    Attributes:
        key: :attr:`Shard.key`.
        prepared: number of its rows.
        left_out, counts: as those of a summary.
        problems: files that were skipped.
    """

    key: str
    prepared: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    def line(self) -> str:
        """Return the line of the record, in which problems are counted: they are looked at again by the next run."""
        values = {"shard": self.key, "prepared": self.prepared, "problems": len(self.problems)}
        return json.dumps({**values, "left_out": self.left_out, "counts": self.counts}) + "\n"


class ShardPlan:
    """Which items go into which shard: pictures in random order, all frames of one in the same shard.

    Args:
        found: the items, frames of one picture in a row.
        size: number of pictures of a shard.
    """

    def __init__(self, found: Found, size: int) -> None:
        self._items, self._size = found.items, size
        self._starts: dict[str, np.ndarray] = {}
        starts: dict[str, list[int]] = {}
        for index, item in enumerate(found.items):
            if index == 0 or item.picture != found.items[index - 1].picture:
                starts.setdefault(item.split, []).append(index)
        for split, firsts in sorted(starts.items()):
            # Neighbours in a raw data set are often alike, and a stream is shuffled within a few shards only.
            self._starts[split] = np.random.default_rng(0).permutation(np.array(firsts, dtype=np.int64))

    def names(self) -> list[tuple[str, int]]:
        """Return the split and the number of each shard."""
        return [(split, index) for split in self._starts for index in range(self.count(split))]

    @staticmethod
    def key(split: str, index: int) -> str:
        """Return the name of a shard in records."""
        return f"{split}-{index:05d}"

    def pictures(self, split: str, index: int) -> int:
        """Return the number of a shard's pictures."""
        return min(self._size, len(self._starts[split]) - index * self._size)

    def count(self, split: str) -> int:
        """Return how many shards a split has."""
        return -(-len(self._starts[split]) // self._size)

    def shard(self, split: str, index: int) -> Shard:
        """Return a shard with its items."""
        items: list[Item] = []
        for start in self._starts[split][index * self._size : (index + 1) * self._size]:
            end = int(start)
            while end < len(self._items) and self._items[end].picture == self._items[int(start)].picture:
                items.append(self._items[end])
                end += 1
        return Shard(split, index, self.count(split), tuple(items))

    def conditions(self) -> dict[str, Any]:
        """Return what must be equal for two runs that write to one folder: other items would make other shards."""
        total = hashlib.sha256()
        for item in self._items:
            total.update(f"{item.split}/{item.name}\n".encode())
        return {"shard_size": self._size, "items": len(self._items), "items_digest": total.hexdigest()}


def prepare_shard(
    shard: Shard, recipe: Preparation, output: Path, columns: Mapping[str, str]
) -> tuple[int, ShardResult]:
    """Prepare the items of a shard and write it below ``output``; return the number of its pictures, and the result.

    At any time no more than a batch of them lies in files, and a few rows in memory.

    Raises:
        OSError: if it cannot be written.
    """
    result = ShardResult(shard.key)
    path = shard_path(output, shard.split, shard.index, shard.count)
    files = path.parent / f".{shard.key}.items.partial"
    shutil.rmtree(files, ignore_errors=True)

    def rows() -> Iterator[dict[str, Any]]:
        for batch in batches(shard.items, recipe.batch_size):
            for part in ("images", "labels", "instances"):
                (files / shard.split / part).mkdir(parents=True, exist_ok=True)
            for outcome in recipe.prepare_batch(batch, files):
                problem = problem_of(outcome)
                if problem is not None:
                    result.problems.append(problem)
                if outcome.left_out is not None:
                    result.left_out[outcome.left_out] += 1
                result.counts.update(outcome.counts)
                if outcome.entry is not None:
                    yield row_of(outcome.entry, files / shard.split)
            shutil.rmtree(files)

    try:
        result.prepared = write_shard(path, rows(), columns)
    finally:
        shutil.rmtree(files, ignore_errors=True)
    return len({item.picture for item in shard.items}), result


def batches(items: Sequence[Item], size: int) -> Iterator[list[Item]]:
    """Yield the items of ``size`` pictures each, all frames of a picture together."""
    batch: list[Item] = []
    pictures = 0
    for index, item in enumerate(items):
        if index == 0 or item.picture != items[index - 1].picture:
            if pictures == size:
                yield batch
                batch, pictures = [], 0
            pictures += 1
        batch.append(item)
    if batch:
        yield batch


class ShardJournal:
    """The record of written shards, beside them; every process of a run appends to a file of its own."""

    def __init__(self, output: Path, process: int = 0) -> None:
        self._output, self._folder = output, output / FOLDER
        self._own = self._folder / (_DONE if process == 0 else f".prepare-{process}.jsonl")

    def read(self, plan: ShardPlan, *, with_problems: bool = False) -> dict[str, ShardResult]:
        """Return what became of the shards that are written, by key.

        Args:
            plan: the shards.
            with_problems: whether to return those with files that were skipped, too.
        """
        wanted = {
            plan.key(split, index): shard_path(self._output, split, index, plan.count(split))
            for split, index in plan.names()
        }
        done: dict[str, ShardResult] = {}
        for path in [self._folder / _DONE, *sorted(self._folder.glob(".prepare-*.jsonl"))]:
            if not path.is_file():
                continue
            for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
                with suppress(ValueError, KeyError, TypeError, RecursionError):
                    values = json.loads(line)
                    key = values["shard"]
                    counts = Counter(values["left_out"]), Counter(values["counts"])
                    result = ShardResult(key, values["prepared"], *counts)
                    if key in wanted and wanted[key].is_file():
                        done.pop(key, None)
                        if with_problems or values["problems"] == 0:
                            done[key] = result
        return done

    def write(self, result: ShardResult) -> None:
        """Append a written shard; a line that a kill cut short stays alone."""
        with self._own.open("a", encoding="utf-8") as file:
            file.write("\n" + result.line())
