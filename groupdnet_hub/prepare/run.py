"""Preparing all items of a data set, on several processes, with a record from which a stopped run resumes."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm.auto import tqdm

from groupdnet_hub import LabelSet
from groupdnet_hub.data.listing import LISTING
from groupdnet_hub.io.atomic import atomic_write, writing_to
from groupdnet_hub.io.strict_json import json_line
from groupdnet_hub.prepare.items import Outcome
from groupdnet_hub.prepare.sources import Found, Item, Problem
from groupdnet_hub.runs.output_lock import sole_writer

# Beside the metadata of a split: the settings of the preparation, and a line for each finished item.
_SETTINGS, _DONE = ".prepare.json", ".prepare.jsonl"


class Preparation(Protocol):
    """How one item is prepared; worker processes get copies."""

    @property
    def labels(self) -> LabelSet:
        """Label set of the written maps."""

    def prepare(self, item: Item, output: Path) -> Outcome:
        """Write an item's files below ``output``, each atomically."""


@dataclass
class Summary:
    """Summary of a run.

    Attributes:
        prepared: number of items in the folder.
        cached: number of these that an earlier run prepared.
        left_out: number of items left out, by reason.
        problems: files that were skipped.
        remarks: further lines.
    """

    prepared: int = 0
    cached: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield the lines of the summary."""
        text = f"prepared {self.prepared}"
        if self.cached:
            text += f" ({self.cached} of them before)"
        text += f", left out {self.left_out.total()}"
        if self.left_out:
            text += " (" + ", ".join(f"{count} {why}" for why, count in sorted(self.left_out.items())) + ")"
        yield text + f", skipped {len(self.problems)}" + (":" if self.problems else "")
        yield from (f"  {problem.path}: {problem.reason}" for problem in self.problems)
        yield from self.remarks


def prepare_all(
    found: Found, recipe: Preparation, settings: dict[str, Any], output: Path, *, num_workers: int
) -> Summary:
    """Prepare the items that ``output`` lacks; write ``classes.json`` and each split's ``metadata.jsonl``.

    Args:
        found: items to prepare.
        recipe: how an item is prepared.
        settings: JSON values that must be equal for two runs that write to one folder.
        output: folder to write.
        num_workers: number of worker processes; 0 for none.

    Raises:
        ValueError: if the folder holds something else, another run writes to it, or a worker process died.
        OSError: if a file cannot be written.
    """
    splits = sorted({item.split for item in found.items})

    def check() -> None:
        _check_classes(output / "classes.json", recipe.labels)
        for split in splits:
            _check_settings(output / split, settings)

    check()  # before anything is written
    with sole_writer(output, "prepare", "choose another --output"), writing_to(output):
        check()  # another run may have ended meanwhile
        for leftover in output.glob(".*.partial"):
            leftover.unlink(missing_ok=True)
        for split in splits:
            _open_split(output / split, settings, with_instances=any(i.instance for i in found.items))
        return _prepare(found, recipe, output, splits, num_workers)


def _prepare(found: Found, recipe: Preparation, output: Path, splits: list[str], num_workers: int) -> Summary:
    outcomes = {split: read_done(output / split, found.items) for split in splits}
    summary = Summary(problems=list(found.problems), remarks=list(found.remarks))
    summary.cached = sum(outcome.entry is not None for done in outcomes.values() for outcome in done.values())
    waiting = [item for item in found.items if item.name not in outcomes[item.split]]
    journals = {split: (output / split / _DONE).open("a", encoding="utf-8") for split in splits}
    try:
        for outcome in _outcomes(waiting, recipe, output, num_workers):
            if outcome.problem is not None:
                summary.problems.append(
                    Problem(outcome.problem_path or outcome.item.picture, outcome.problem)
                )
                continue
            outcomes[outcome.item.split][outcome.item.name] = outcome
            journal = journals[outcome.item.split]
            journal.write(json.dumps(_as_line(outcome)) + "\n")
            journal.flush()
    finally:
        for journal in journals.values():
            journal.close()

    recipe.labels.to_file(output / "classes.json")
    counts: Counter[str] = Counter()
    for split in splits:
        done = [
            outcomes[split][i.name] for i in found.items if i.split == split and i.name in outcomes[split]
        ]
        entries = [outcome.entry for outcome in done if outcome.entry is not None]
        summary.prepared += len(entries)
        summary.left_out.update(outcome.left_out for outcome in done if outcome.left_out is not None)
        for outcome in done:
            counts.update(outcome.counts)
        _write_text(output / split / LISTING, "".join(map(json_line, entries)))
    summary.problems.sort(key=lambda problem: str(problem.path))
    summary.remarks += [f"{count} {what}" for what, count in sorted(counts.items())]
    return summary


def _check_classes(path: Path, labels: LabelSet) -> None:
    if not path.exists():
        return
    before = LabelSet.from_file(path)
    if (before.names, before.palette) != (labels.names, labels.palette):
        raise ValueError(f"{path} holds other classes than these: choose another --output")
    if before != labels:
        was, now = (", ".join(map(str, one.ignore)) or "nothing" for one in (before, labels))
        raise ValueError(f"{path} ignores {was}, and this run {now}: choose another --output")


def _check_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Refuse the folder of a split that was prepared with other settings, or by another program."""
    if not folder.exists() or not any(folder.iterdir()):
        return
    before = read_settings(folder)
    different = [
        f"{name} was {_short(before.get(name))} and is now {_short(settings.get(name))}"
        for name in sorted({*before, *settings})
        if before.get(name) != settings.get(name)
    ]
    if different:
        raise ValueError(
            f"{folder} was prepared with other settings ({'; '.join(different)}): choose another --output, or delete "
            "that folder"
        )


def read_settings(folder: Path) -> dict[str, Any]:
    """Return the settings that the folder of a split was prepared with.

    Raises:
        ValueError: for a missing or damaged record.
    """
    record = folder / _SETTINGS
    if not record.is_file():
        raise ValueError(f"{folder} holds files that prepare.py did not write: choose another --output")
    try:
        before = json.loads(record.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{record} cannot be read ({error}): delete {folder} and start again") from None
    if not isinstance(before, dict):
        raise ValueError(f"{record} is not a record of settings: delete {folder} and start again")
    return before


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _open_split(folder: Path, settings: dict[str, Any], *, with_instances: bool) -> None:
    """Create the folders and the record, and remove half-written files of a killed run."""
    for part in ("images", "labels", *(["instances"] if with_instances else [])):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for partial in folder.glob("**/.*.partial"):
        partial.unlink(missing_ok=True)
    if not (folder / _SETTINGS).exists():
        _write_text(folder / _SETTINGS, json.dumps(settings, indent=1) + "\n")


def _as_line(outcome: Outcome) -> dict[str, Any]:
    line = {"name": outcome.item.name, "entry": outcome.entry, "left_out": outcome.left_out}
    return {**line, "counts": outcome.counts}


def read_done(folder: Path, items: list[Item]) -> dict[str, Outcome]:
    """Return the outcomes of earlier runs by name, for items whose files all exist.

    Other lines are ignored: their items are prepared again.

    Args:
        folder: folder of the split.
        items: items of the run.
    """
    path = folder / _DONE
    by_name = {item.name: item for item in items if item.split == folder.name}
    done: dict[str, Outcome] = {}
    if not path.is_file():
        return done
    text = path.read_text(encoding="utf-8", errors="replace")
    if text and not text.endswith("\n"):  # a line that a kill cut short: the next must not be appended to it
        text = text[: text.rfind("\n") + 1]
        _write_text(path, text)
    for line in text.split("\n"):
        try:
            record = json.loads(line)
            item, entry = by_name.get(record["name"]), record["entry"]
            files = [] if entry is None else [v for k, v in entry.items() if k.endswith("file_name")]
            left_out, counts = record["left_out"], {str(k): int(v) for k, v in record["counts"].items()}
            outcome = None
            if not isinstance(left_out, str | None):
                continue
            if item is not None and all((folder / file).is_file() for file in files):
                outcome = Outcome(item, entry, left_out, counts=counts)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError, OSError):
            continue
        if outcome is not None:
            done[outcome.item.name] = outcome
    return done


def _outcomes(items: list[Item], recipe: Preparation, output: Path, num_workers: int) -> Iterator[Outcome]:
    """Yield the outcomes as they arrive, with a progress bar."""
    if not items:
        return
    bar: Callable[..., Any] = tqdm
    if num_workers == 0 or len(items) < 2:
        for item in bar(items, desc="preparing", unit="picture"):
            yield recipe.prepare(item, output)
        return
    # Fresh processes: torch's threads do not survive a fork.
    pool = ProcessPoolExecutor(
        min(num_workers, len(items)), multiprocessing.get_context("spawn"), initializer=_start_worker
    )
    try:
        # All frames of one picture go to one worker, which parses it once.
        pictures = [list(frames) for _, frames in itertools.groupby(items, lambda item: item.picture)]
        futures = [pool.submit(_prepare_frames, recipe, frames, output) for frames in pictures]
        with bar(total=len(items), desc="preparing", unit="picture") as progress:
            for future in as_completed(futures):
                outcomes = future.result()
                progress.update(len(outcomes))
                yield from outcomes
    except BrokenProcessPool:
        raise ValueError(
            "a worker process died, perhaps for lack of memory: finished items are kept; run this again, with a "
            "smaller --num_workers"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _prepare_frames(recipe: Preparation, frames: Sequence[Item], output: Path) -> list[Outcome]:
    return [recipe.prepare(item, output) for item in frames]


def _start_worker() -> None:
    """Give the worker one thread, no stack trace on Ctrl-C, and an end with the main process."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    if parent is None:
        return
    sentinel = parent.sentinel

    def follow() -> None:
        # A pool's workers outlive a killed main process: they wait for work that never comes.
        multiprocessing.connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as partial:
        partial.write_text(text, encoding="utf-8")
