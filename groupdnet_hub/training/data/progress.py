"""Where a run stands in its data; ``progress.json`` of a checkpoint holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from accelerate import Accelerator
from accelerate.utils import gather_object

_EPOCH, _BATCHES = "epoch", "batches"


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        step: updates made so far.
        epoch: times that the data was gone through.
        batch: batches of this epoch that were trained on, those of this process.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0

    def record(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)

    def load(self, record: Mapping[str, int]) -> None:
        """Stand where a checkpoint's record says.

        Raises:
            ValueError: for a record that lacks a count.
        """
        if not {"step", "epoch", "batch"} <= set(record):
            raise ValueError(f"the checkpoint's progress is {record}; it must have step, epoch and batch")
        self.step, self.epoch, self.batch = record["step"], record["epoch"], record["batch"]


class StreamProgress(Progress):
    """Where a run on a stream stands: each process in an epoch of its own, each of its workers after some batches.

    Args:
        accelerator: knows the other processes; all of them record at the same time.
        workers: number of each process's workers.

    Attributes:
        given: batches of this epoch that each worker of this process has given.
    """

    def __init__(self, accelerator: Accelerator, workers: int) -> None:
        super().__init__()
        self._accelerator, self.given = accelerator, [0] * workers

    def count(self, worker: int) -> None:
        """Count a batch of a worker."""
        self.batch += 1
        self.given[worker] += 1

    def next_epoch(self) -> None:
        """Stand at the beginning of the next epoch."""
        self.epoch, self.batch, self.given = self.epoch + 1, 0, [0] * len(self.given)

    def record(self) -> dict[str, int]:
        """Return the counts by name, those of all processes."""
        counts = super().record()
        for process, (epoch, given) in enumerate(gather_object([(self.epoch, self.given)])):
            counts[f"{_EPOCH}_{process}"] = epoch
            counts |= {f"{_BATCHES}_{process}_{worker}": count for worker, count in enumerate(given)}
        return counts

    def load(self, record: Mapping[str, int]) -> None:
        """Stand where a checkpoint's record says, or at the beginning of the next epoch if other readers wrote it.

        Raises:
            ValueError: for a record that lacks a count.
        """
        super().load(record)
        process, processes = self._accelerator.process_index, self._accelerator.num_processes
        names = [[f"{_BATCHES}_{one}_{i}" for i in range(len(self.given))] for one in range(processes)]
        recorded = {name for name in record if name.startswith(f"{_BATCHES}_")}
        if recorded == {name for of_one in names for name in of_one}:
            self.epoch = record.get(f"{_EPOCH}_{process}", self.epoch)
            self.given = [record[name] for name in names[process]]
            self.batch = sum(self.given)
        elif not recorded and len(self.given) == processes == 1:  # of an earlier version
            self.given = [self.batch]
        elif self.batch or recorded:
            self.epoch = max(count for name, count in record.items() if name.startswith(_EPOCH))
            self.next_epoch()
