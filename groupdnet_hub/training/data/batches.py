"""The batches of a run, in an order that ``--seed`` fixes, and where the run stands in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader

from groupdnet_hub import PairedImages
from groupdnet_hub.data.paired import MoveTables
from groupdnet_hub.data.transforms.moves import MoveTable
from groupdnet_hub.runs.loader_workers import worker_options
from groupdnet_hub.training.config import TrainConfig
from groupdnet_hub.training.data.balanced_sampling import BalancedOrder, classes_of_pictures, picture_weights
from groupdnet_hub.training.data.pictures import Data
from groupdnet_hub.training.data.progress import Progress


class Batches:
    """Batches on the device, from where a run stands onwards, without end.

    Args:
        accelerator: prepares the loader and skips what was trained on.
        loader: a loader of :func:`build_loader`, not prepared.
        data: the pictures that it loads.

    Attributes:
        progress: its ``epoch`` and ``batch`` are kept up to date.
    """

    def __init__(self, accelerator: Accelerator, loader: DataLoader[Any], data: Data) -> None:
        self.accelerator, self.data, self.progress = accelerator, data, Progress()
        self._loader = accelerator.prepare(loader)

    def __iter__(self) -> Iterator[Mapping[str, Tensor]]:
        progress = self.progress
        while True:
            self.data.set_epoch(progress.epoch)
            self._loader.set_epoch(progress.epoch)
            skip = progress.batch
            loader = self.accelerator.skip_first_batches(self._loader, skip) if skip else self._loader
            for loaded in loader:
                progress.batch += 1
                yield batch_of(self.data, loaded)
            progress.epoch, progress.batch = progress.epoch + 1, 0


def build_loader(
    settings: TrainConfig, data: Data, device: torch.device, *, on_device: bool
) -> DataLoader[Any]:
    """Return batches of the training pictures, in an order that ``--seed`` fixes, for :func:`batch_of`.

    Args:
        settings: batch size, order and workers.
        data: the training pictures.
        device: where they are sent.
        on_device: whether pictures are kept there already; batches are then of their moves.
    """
    order = None
    if settings.balanced_sampling and isinstance(data, PairedImages):
        weights = picture_weights(classes_of_pictures(data), settings.balanced_sampling)
        order = BalancedOrder(weights, settings.seed)
    # Where the pictures are on the device, a loader of their moves is enough.
    tables = MoveTables(data) if on_device and isinstance(data, PairedImages) else None
    workers = 0 if tables is not None else settings.dataloader_num_workers
    source: Any = data if tables is None else tables
    return DataLoader(
        source,
        batch_size=settings.train_batch_size,
        sampler=order,
        shuffle=None if order is not None else True,
        drop_last=True,
        **worker_options(workers),
        collate_fn=None if tables is None else tables.collate,
        pin_memory=device.type == "cuda",
        generator=torch.Generator().manual_seed(settings.seed),
    )


def batch_of(data: Data, loaded: Any) -> Mapping[str, Tensor]:
    """Return the batch that a loader of :func:`build_loader` stands for, on the device that it was sent to."""
    if isinstance(loaded, MoveTable) and isinstance(data, PairedImages):
        return data.batch(loaded)
    batch: Mapping[str, Tensor] = loaded
    return batch
