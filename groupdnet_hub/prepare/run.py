"""Preparing all items of a data set over processes and machines, with a record from which a stopped run resumes."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import gather_object
from tqdm.auto import tqdm

from groupdnet_hub import LabelSet
from groupdnet_hub.data.listing import LISTING
from groupdnet_hub.data.shards.layout import FOLDER
from groupdnet_hub.io.atomic import atomic_write, writing_to
from groupdnet_hub.io.strict_json import json_line
from groupdnet_hub.prepare.items import Outcome
from groupdnet_hub.prepare.sources import Found, Item, Problem
from groupdnet_hub.prepare.work.journal import Journal, Record
from groupdnet_hub.prepare.work.shards import (
    ShardJournal,
    ShardPlan,
    batches,
    prepare_shard,
)
from groupdnet_hub.prepare.work.summary import Preparation, Summary, problem_of
from groupdnet_hub.prepare.work.tasks import run_tasks
from groupdnet_hub.runs.sharding import on_main_process, shard, sole_run

# Beside the metadata of a split, or the shards: the settings of the preparation.
_SETTINGS = ".prepare.json"


@dataclass(frozen=True)
class Preparing:
    """The preparation of items, on one of the processes of a run.

    Attributes:
        found: items to prepare, the same on all processes.
        recipe: how items are prepared.
        settings: JSON values that must be equal for two runs that write to one folder.
        output: folder to write, which all processes see.
        accelerator: accelerator of the run.
        num_workers: number of worker processes of each process; 0 for none.
    """

    found: Found
    recipe: Preparation
    settings: Mapping[str, Any]
    output: Path
    accelerator: Accelerator
    num_workers: int

    def files(self) -> Summary:
        """Prepare what ``output`` lacks; write ``classes.json``, and each split's ``metadata.jsonl``.

        Raises:
            ValueError: if the folder holds something else, another run writes to it, or a worker process died.
            OSError: if a file cannot be written.
        """
        splits = sorted({item.split for item in self.found.items})

        def check() -> None:
            _refuse_form(self.output / FOLDER, "a data set in shards", "give --shard_size as it was")
            for split in splits:
                _check_settings(self.output / split, self.settings)

        def begin() -> tuple[list[int], int]:
            for split in splits:
                _open_split(self.output / split, self.settings, with_instances=self._has("instance"))
            journals = {split: Journal(self.output / split) for split in splits}
            for split, journal in journals.items():
                journal.mend()
                journal.read({item.name for item in self.found.items if item.split == split})
            waiting = [
                index
                for index, batch in enumerate(batches(self.found.items, self.recipe.batch_size))
                if any(item.name not in journals[item.split] for item in batch)
            ]
            return waiting, sum(journal.prepared for journal in journals.values())

        with self._sole_run(check):
            waiting, cached = on_main_process(self.accelerator, begin)
            problems = self._shared(waiting, partial(self._write_files, splits))
            return on_main_process(self.accelerator, lambda: self._listed(splits, problems, cached))

    def shards(self, size: int) -> Summary:
        """Write the shards that ``output`` lacks, of ``size`` pictures each, and ``classes.json``.

        Raises:
            ValueError, OSError: as :meth:`files`.
        """
        plan, folder = ShardPlan(self.found, size), self.output / FOLDER
        settings = {**self.settings, **plan.conditions()}
        names = plan.names()

        def check() -> None:
            for split in sorted({split for split, _ in names}):
                _refuse_form(self.output / split, "a data set of single files", "leave out --shard_size")
            _check_settings(folder, settings)

        def begin() -> tuple[list[int], int]:
            folder.mkdir(parents=True, exist_ok=True)
            _remove_half_written(folder)
            if not (folder / _SETTINGS).exists():
                _write_text(folder / _SETTINGS, json.dumps(settings, indent=1) + "\n")
            done = ShardJournal(self.output).read(plan)
            waiting = [number for number, name in enumerate(names) if plan.key(*name) not in done]
            return waiting, sum(result.prepared for result in done.values())

        with self._sole_run(check):
            waiting, cached = on_main_process(self.accelerator, begin)
            problems = self._shared(waiting, partial(self._write_shards, plan))
            return on_main_process(self.accelerator, lambda: self._counted(plan, problems, cached))

    # -- what all processes do together ----------------------------------------------------------------------

    @contextmanager
    def _sole_run(self, check: Callable[[], None]) -> Iterator[None]:
        """Hold the lock of the output, after a check that changes nothing, and after it once more."""

        def check_all() -> None:
            _check_classes(self.output / "classes.json", self.recipe.labels)
            check()

        on_main_process(self.accelerator, check_all)  # before anything is written
        with (
            sole_run(self.accelerator, self.output, "prepare", "choose another --output"),
            writing_to(self.output),
        ):
            on_main_process(self.accelerator, check_all)  # another run may have ended meanwhile
            if self.accelerator.is_main_process:
                _remove_half_written(self.output)
            yield

    def _shared(
        self, waiting: Sequence[int], write: Callable[[Sequence[int]], list[Problem]]
    ) -> list[Problem]:
        """Let each process write its share of what waits; return the problems of all.

        Raises:
            ValueError, OSError: if it fails on one of them, on every process.
        """
        problems: list[Problem] = []
        error: ValueError | OSError | None = None
        try:
            problems = write([waiting[i] for i in shard(len(waiting), self.accelerator)])
        except (ValueError, OSError) as raised:
            error = raised
        gathered = gather_object([(problems, None if error is None else str(error))])
        if error is not None:
            raise error
        for _, elsewhere in gathered:
            if elsewhere is not None:
                raise ValueError(elsewhere)
        return [problem for part, _ in gathered for problem in part]

    def _results(self, fn: Callable[[Any], Any], tasks: Iterable[Any], pictures: int) -> Iterator[Any]:
        """Yield the results of this process's tasks, with a progress bar."""
        on_device = self.recipe.device != "cpu"
        workers = 0 if pictures < 2 else min(self.num_workers, pictures)
        several = self.accelerator.num_processes > 1
        bar = tqdm(
            total=pictures,
            desc="preparing the first process's share" if several else "preparing",
            unit="picture",
            disable=not self.accelerator.is_main_process or not pictures,
        )
        with bar:
            for count, result in run_tasks(fn, tasks, workers, on_device=on_device):
                bar.update(count)
                yield result

    def _has(self, name: str) -> bool:
        return any(getattr(item, name) is not None for item in self.found.items)

    # -- single files ----------------------------------------------------------------------------------------

    def _write_files(self, splits: Sequence[str], share: Sequence[int]) -> list[Problem]:
        """Prepare the batches of these numbers, and record every finished item."""
        journals = {split: Journal(self.output / split, self.accelerator.process_index) for split in splits}
        before = {split: Journal(self.output / split) for split in splits}
        names = {item.name for item in self.found.items} if share else set()
        for journal in before.values():
            journal.read(names)
        wanted = set(share)

        def tasks() -> Iterator[list[Item]]:
            for index, batch in enumerate(batches(self.found.items, self.recipe.batch_size)):
                if index in wanted:
                    # The maps of a batch depend on all of it, by rounding.
                    alone = self.recipe.batch_size == 1
                    yield [item for item in batch if not alone or item.name not in before[item.split]]

        problems = []
        try:
            pictures = sum(map(len, tasks()))
            for outcomes in self._results(
                partial(_prepare_batch, self.recipe, self.output), tasks(), pictures
            ):
                for outcome in outcomes:
                    problem = problem_of(outcome)
                    if problem is not None:
                        problems.append(problem)
                    else:
                        record = Record(outcome.entry, outcome.left_out, outcome.counts)
                        journals[outcome.item.split].write(outcome.item.name, record)
        finally:
            for journal in journals.values():
                journal.close()
        return problems

    def _listed(self, splits: Sequence[str], problems: list[Problem], cached: int) -> Summary:
        """Write the lists of all splits, in the order of the items, and sum up."""
        self.recipe.labels.to_file(self.output / "classes.json")
        summary = self._summary(problems, cached)
        counts: Counter[str] = Counter()
        for split in splits:
            journal = Journal(self.output / split)
            journal.read({item.name for item in self.found.items if item.split == split}, check_files=False)
            lines = self._lines(split, journal, summary, counts)
            with (
                atomic_write(self.output / split / LISTING) as path,
                path.open("w", encoding="utf-8") as listing,
            ):
                listing.writelines(lines)
            journal.close()
        summary.finish(counts)
        return summary

    def _lines(self, split: str, journal: Journal, summary: Summary, counts: Counter[str]) -> Iterator[str]:
        """Yield the lines of a split's items in their order, and count what became of the items."""
        for item in self.found.items:
            if item.split != split or item.name not in journal:
                continue
            record = journal.record(item.name)
            counts.update(record.counts)
            if record.left_out is not None:
                summary.left_out[record.left_out] += 1
            if record.entry is not None:
                summary.prepared += 1
                yield json_line(record.entry)

    def _summary(self, problems: list[Problem], cached: int) -> Summary:
        return Summary(
            cached=cached, problems=[*self.found.problems, *problems], remarks=list(self.found.remarks)
        )

    # -- shards ----------------------------------------------------------------------------------------------

    def _write_shards(self, plan: ShardPlan, share: Sequence[int]) -> list[Problem]:
        """Write the shards of these numbers, and record each."""
        journal = ShardJournal(self.output, self.accelerator.process_index)
        names = plan.names()
        columns = {
            **({"instance": "picture"} if self._has("instance") else {}),
            **({"crop": "integers"} if any(item.frame != "none" for item in self.found.items) else {}),
            **self.recipe.columns,
        }
        pictures = sum(plan.pictures(*names[number]) for number in share)
        write = partial(prepare_shard, recipe=self.recipe, output=self.output, columns=columns)
        problems = []
        for result in self._results(write, (plan.shard(*names[number]) for number in share), pictures):
            journal.write(result)
            problems += result.problems
        return problems

    def _counted(self, plan: ShardPlan, problems: list[Problem], cached: int) -> Summary:
        self.recipe.labels.to_file(self.output / "classes.json")
        summary = self._summary(problems, cached)
        counts: Counter[str] = Counter()
        for result in ShardJournal(self.output).read(plan, with_problems=True).values():
            summary.prepared += result.prepared
            summary.left_out.update(result.left_out)
            counts.update(result.counts)
        summary.finish(counts)
        return summary


def _prepare_batch(recipe: Preparation, output: Path, items: Sequence[Item]) -> tuple[int, list[Outcome]]:
    return len(items), recipe.prepare_batch(items, output)


# -- the folder ----------------------------------------------------------------------------------------------------


def _refuse_form(folder: Path, form: str, remedy: str) -> None:
    if (folder / _SETTINGS).exists():
        raise ValueError(f"{folder.parent} is {form}: {remedy}, or choose another --output")


def _check_classes(path: Path, labels: LabelSet) -> None:
    if not path.exists():
        return
    before = LabelSet.from_file(path)
    if (before.names, before.palette) != (labels.names, labels.palette):
        raise ValueError(f"{path} holds other classes than these: choose another --output")
    if before != labels:
        was, now = (", ".join(map(str, one.ignore)) or "nothing" for one in (before, labels))
        raise ValueError(f"{path} ignores {was}, and this run {now}: choose another --output")


def _check_settings(folder: Path, settings: Mapping[str, Any]) -> None:
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


def _open_split(folder: Path, settings: Mapping[str, Any], *, with_instances: bool) -> None:
    """Create the folders and the record, and remove half-written files of a killed run."""
    parts = [folder / part for part in ("images", "labels", *(["instances"] if with_instances else []))]
    for part in parts:
        part.mkdir(parents=True, exist_ok=True)
    # Its own hold lists and records that were being written.
    for part in (folder, *parts):
        _remove_half_written(part)
    if not (folder / _SETTINGS).exists():
        _write_text(folder / _SETTINGS, json.dumps(dict(settings), indent=1) + "\n")


def _remove_half_written(folder: Path) -> None:
    """Remove what a killed run left in a folder: half-written files, and folders of files of a shard."""
    for leftover in folder.glob(".*.partial"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink(missing_ok=True)


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as path:
        path.write_text(text, encoding="utf-8")
