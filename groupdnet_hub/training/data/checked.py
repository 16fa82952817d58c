"""The check of a run's data before anything is built: what cannot be read is named at once, or left out."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from accelerate import Accelerator

from groupdnet_hub import LabelSet, PairedImages, __version__
from groupdnet_hub.data.checks.items import BadItem, check_item
from groupdnet_hub.data.checks.listing import SHOWN, listed, write_bad_items
from groupdnet_hub.data.checks.verdict import Verdict, data_digest, read_verdict, write_verdict
from groupdnet_hub.data.listing import FolderPairs, Pair, with_instances, without_items
from groupdnet_hub.io.atomic import writing_to
from groupdnet_hub.runs.scripts import ListedError
from groupdnet_hub.runs.sharding import on_main_process, run_sharded
from groupdnet_hub.training.config import TrainConfig
from groupdnet_hub.training.config.data_check import DataCheckSettings
from groupdnet_hub.training.data.pictures import GivenPairs
from groupdnet_hub.training.network_fields import draws_edges

S = TypeVar("S", bound=DataCheckSettings)

VERDICT_FILE, BAD_FILE, SKIPPED_FILE = "data_check.json", "bad_items.jsonl", "skipped_items.jsonl"
# Threads that check, where nobody says how many.
_MOST_THREADS = 16


@dataclass(frozen=True)
class Splits:
    """The data of a run.

    Attributes:
        pairs: pictures and maps of each split, by its name, with all instance maps that there are.
        labels: label set of the maps.
        instances: whether instance maps are read.
        workers: ``--dataloader_num_workers``.
    """

    pairs: Mapping[str, Sequence[Pair]]
    labels: LabelSet
    instances: bool
    workers: int

    def count(self) -> int:
        """Return how many items all splits have."""
        return sum(map(len, self.pairs.values()))

    def item(self, number: int) -> tuple[str, int]:
        """Return the split of an item and its index in it, for its number in all splits."""
        for split, pairs in self.pairs.items():
            if number < len(pairs):
                return split, number
            number -= len(pairs)
        raise IndexError(number)

    def threads(self) -> int:
        """Return how many threads of each process check; rows of a table are not read by several at once."""
        if not all(isinstance(pairs, FolderPairs) for pairs in self.pairs.values()):
            return 1
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        return self.workers or max(1, min(_MOST_THREADS, (os.cpu_count() or 1) // processes))


def with_checked_data(
    settings: TrainConfig, given: Mapping[str, GivenPairs], labels: LabelSet, accelerator: Accelerator
) -> TrainConfig:
    """Check the training data, and the validation split that the run looks at, as ``--check_data`` says.

    Of a pretrained model only the configuration is read.

    Args:
        settings: settings of the run.
        given: the pictures and maps of each split; none of a stream, which is not checked.
        labels: label set of the maps.
        accelerator: accelerator of the run.

    Returns:
        The settings, with the items to leave out.

    Raises:
        ValueError: naming the bad items, on every process alike.
    """
    if settings.streaming or settings.check_level == "none":
        return settings
    splits = Splits(given, labels, draws_edges(settings), settings.dataloader_num_workers)
    return without_bad_items(settings, splits, accelerator, settings.output_path)


def without_bad_items(settings: S, splits: Splits, accelerator: Accelerator, folder: Path) -> S:
    """Check all items of some splits, unless the folder of the run says what an earlier check has found.

    Args:
        settings: how to check, and whether to leave bad items out.
        splits: the items.
        accelerator: accelerator of the run, whose processes share the work.
        folder: folder of the run.

    Returns:
        The settings, with the items to leave out.

    Raises:
        ValueError: naming the bad items, if they are not to be left out, and for a split without others.
        OSError: if the folder cannot be written to.
    """
    if settings.check_level == "none":
        return settings
    verdict, is_new = _verdict(settings, splits, accelerator, folder)
    count, bad = splits.count(), verdict.bad
    if is_new or bad:
        _write(settings, verdict, accelerator, folder)
    if bad and not settings.skip_bad_items:
        raise ListedError(
            f"{len(bad)} of {count} items cannot be trained on:\n"
            f"{listed([one.reason for one in bad], f'; all are in {folder / BAD_FILE}')}\n"
            "Fix them, or leave them out with --skip_bad_items"
        )
    left_out = {name: tuple(one.item for one in bad if one.split == name) for name in splits.pairs}
    for name, items in left_out.items():
        if len(items) == len(splits.pairs[name]):
            raise ListedError(
                f"all {len(items)} items of the split {name} are bad, and none is left:\n"
                f"{listed([one.reason for one in bad if one.split == name], f'; all are in {folder / SKIPPED_FILE}')}"
            )
    if bad:
        accelerator.print(f"{len(bad)} of {count} items are left out: {folder / SKIPPED_FILE} says which")
    accelerator.print(
        f"{count:,} items were checked ({verdict.level}{'' if is_new else ', in an earlier run'})"
    )
    return replace(settings, left_out=left_out)


def _verdict(
    settings: DataCheckSettings, splits: Splits, accelerator: Accelerator, folder: Path
) -> tuple[Verdict, bool]:
    """Return what an earlier check has found, or else a new one, and whether it is new."""

    def known() -> tuple[str, Verdict | None]:
        digest = data_digest(splits.pairs, splits.labels, __version__, instances=splits.instances) or ""
        found = read_verdict(folder / VERDICT_FILE)
        if not digest or found is None or not found.answers(digest, settings.check_level):
            return digest, None
        # Whoever does not leave bad items out may have mended them, in ways that do not show in a file's time.
        return digest, found if settings.skip_bad_items or not found.bad else None

    digest, found = on_main_process(accelerator, known)  # other processes may see another folder
    if found is not None:
        return found, False

    def check(number: int) -> BadItem | None:
        split, index = splits.item(number)
        return check_item(
            splits.pairs[split],
            index,
            splits.labels,
            settings.check_level,
            split=split,
            instances=splits.instances,
        )

    answers = run_sharded(splits.count(), check, accelerator, "checking the data", threads=splits.threads())
    bad = tuple(answer for answer in answers if answer is not None)
    return Verdict(digest, settings.check_level, bad), True


def _write(settings: DataCheckSettings, verdict: Verdict, accelerator: Accelerator, folder: Path) -> None:
    """Write what was found, where a later run or a person needs it; what earlier checks left there goes.

    Raises:
        ValueError: on every process alike, if the folder cannot be written to.
    """
    passed = settings.skip_bad_items or not verdict.bad
    if not passed and len(verdict.bad) <= SHOWN:
        return

    def write() -> None:
        with writing_to(folder):
            folder.mkdir(parents=True, exist_ok=True)
        if passed and verdict.digest:
            write_verdict(folder / VERDICT_FILE, verdict)
        named = folder / (SKIPPED_FILE if passed else BAD_FILE)
        if verdict.bad:
            write_bad_items(named, verdict.bad)
        for other in (folder / SKIPPED_FILE, folder / BAD_FILE):
            if passed and (other != named or not verdict.bad):
                other.unlink(missing_ok=True)

    on_main_process(accelerator, write)


def checked_images(
    settings: DataCheckSettings, data: PairedImages, accelerator: Accelerator, folder: Path, workers: int
) -> PairedImages:
    """Check all items of a split as :func:`without_bad_items` does, and return the data without those to leave out."""
    name = "the data"
    splits = Splits({name: data.given}, data.labels, data.instances is not False, workers)
    left_out = without_bad_items(settings, splits, accelerator, folder).left_out.get(name, ())
    fewer = copy.copy(data)
    fewer.given = without_items(data.given, left_out)
    fewer.pairs = with_instances(fewer.given, data.instances)
    return fewer
