"""The batches of a stream that this process reads, by one worker or by several in turn, from where a run stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch import Tensor
from torch.utils.data import DataLoader, default_collate, get_worker_info

from groupdnet_hub import StreamedImages
from groupdnet_hub.training.config import TrainConfig
from groupdnet_hub.training.data.batches import Batches
from groupdnet_hub.training.data.progress import StreamProgress


class StreamBatches(Batches):
    """Batches of this process's part of a stream, from where a run stands onwards, without end.

    Workers give a batch each in turn; one that has no more in this epoch is passed over. So the order depends on the
    stream, the number of processes and that of workers alone, not on which worker is faster.

    Args:
        settings: batch size, workers and seed.
        data: the stream of all processes.
        accelerator: says which process this is.

    Raises:
        ValueError: for more workers than shards.
    """

    data: StreamedImages
    progress: StreamProgress

    def __init__(self, settings: TrainConfig, data: StreamedImages, accelerator: Accelerator) -> None:
        processes, workers = accelerator.num_processes, settings.dataloader_num_workers
        refuse_idle_workers(data.shards, processes, workers)
        if processes > (data.shards or 1):
            accelerator.print(
                f"the stream has fewer shards ({data.shards or 1}) than there are processes: each reads all of it, and "
                f"trains on one picture of {processes}"
            )
        self.accelerator, self.data = accelerator, data.part(accelerator.process_index, processes)
        self.progress = StreamProgress(accelerator, max(1, workers))
        self._size, on_cuda = settings.train_batch_size, accelerator.device.type == "cuda"
        self._loader = DataLoader(
            self.data,
            batch_size=self._size,
            drop_last=True,
            num_workers=workers,
            persistent_workers=workers > 0,
            collate_fn=_with_worker,
            pin_memory=on_cuda,
            generator=torch.Generator().manual_seed(settings.seed),
        )

    def __iter__(self) -> Iterator[Mapping[str, Tensor]]:
        progress, device = self.progress, self.accelerator.device
        while True:
            self.data.set_epoch(progress.epoch)
            for worker, loaded in self._after(progress.given):
                progress.count(worker)
                yield send_to_device(loaded, device, non_blocking=device.type == "cuda")
            if not progress.batch:
                raise ValueError(
                    f"the stream has fewer pictures than --train_batch_size {self._size} for each process and worker: "
                    "lower it, or start fewer of them"
                )
            progress.next_epoch()

    def _after(self, given: Sequence[int]) -> Iterator[tuple[int, Mapping[str, Tensor]]]:
        """Yield the batches of an epoch after those that each worker has given, with the worker that reads them.

        The round in which those ended is read again, so that the next batch is of the worker whose turn it is.
        """
        rounds = max(0, max(given) - 1)
        again = [count - min(count, rounds) for count in given]
        self.data.skip([min(count, rounds) * self._size for count in given])
        for worker, batch in self._loader:
            if again[worker]:
                again[worker] -= 1
            else:
                yield worker, batch


def refuse_idle_workers(shards: int | None, processes: int, workers: int) -> None:
    """Refuse workers that would find no shard of their own.

    Args:
        shards: number of the stream's shards; None for rows that are not in shards.
        processes: processes that train together.
        workers: workers of each.

    Raises:
        ValueError: saying how many there may be.
    """
    if workers < 2 or (shards or 0) >= processes * workers:
        return
    most = max(1, (shards or 1) // processes)
    each = "" if processes == 1 else f" in each of {processes} processes"
    raise ValueError(
        f"--dataloader_num_workers {workers}{each} needs a stream of {processes * workers} shards or more, and this "
        f"one has {shards or 1}: give --dataloader_num_workers {most}, or write more shards (prepare.py --shard_size)"
    )


def _with_worker(items: Sequence[Mapping[str, Tensor]]) -> tuple[int, Any]:
    info = get_worker_info()
    return 0 if info is None else info.id, default_collate(list(items))
