"""The model as a run shows and saves it: averaged, with ordinary batch norms, and with a fitted prior."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from itertools import islice

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.utils.data import DataLoader

from groupdnet_hub import GroupDNet, StreamedImages
from groupdnet_hub.baselines import System
from groupdnet_hub.training.config import ResolvedTrainConfig
from groupdnet_hub.training.data import Data
from groupdnet_hub.training.state.checkpoints import MovingAverage, recalibrate

# Batches over which weights are given batch-norm statistics of their own.
_RECALIBRATION_BATCHES = 40
# Pictures to whose codes a prior is fitted, at most.
_PRIOR_PICTURES = 4096


class ShownModel:
    """A copy of the model being trained, where that one is not what is to be shown.

    Attributes:
        average: the moving average of the weights, part of a checkpoint; None if not asked for.
    """

    def __init__(
        self,
        settings: ResolvedTrainConfig,
        accelerator: Accelerator,
        model: System,
        data: Data,
        noise_shape: tuple[int, ...],
    ) -> None:
        self.settings, self.accelerator, self.noise_shape = settings, accelerator, noise_shape
        # A model is measured on pictures as they are.
        self.data = data.untransformed()
        # Copies with ordinary batch norms: the main process measures and saves them while the others wait.
        self.average = MovingAverage(model, settings.ema_decay) if settings.use_ema else None
        # In training, statistics follow the pictures that are drawn: too many of rare classes, on simplified maps.
        self._altered = bool(settings.balanced_sampling or settings.simplified_maps)
        replaced = accelerator.num_processes > 1 or settings.batch_norm_parts > 1 or self._altered
        self._single = copy.deepcopy(model) if replaced and not settings.use_ema else None
        self._shown: System | None = None
        self._measured_at: int | None = None

    def follow(self, live: System) -> None:
        """Let the average follow an update."""
        if self.average is not None:
            self.average.update_parameters(live)

    def at(self, step: int, live: System) -> System:
        """The model at a step, in evaluation mode; a sample grid and a checkpoint of one step share the work."""
        if self._shown is None or self._measured_at != step:
            self._shown = self._weights_of(live)
            self._measure(self._shown)
            self._measured_at = step
        return self._shown.eval()

    def _weights_of(self, live: System) -> System:
        if self.average is not None:
            return self.average.module
        if self._single is None:
            return live
        # A fitted prior is the copy's own: the model being trained has none.
        own = {key: value for key, value in self._single.state_dict().items() if key.startswith("prior.")}
        self._single.load_state_dict(live.state_dict() | own)
        return self._single

    def _measure(self, shown: System) -> None:
        """The fitted prior, and the batch-norm statistics where those in training are of other weights or pictures."""
        device = self.accelerator.device
        if self.average is not None or self._altered:
            generator = torch.Generator().manual_seed(self.settings.seed)

            def noise(pictures: int) -> Tensor:
                return torch.randn(pictures, *self.noise_shape, generator=generator).to(device)

            batches = (
                {name: value.to(device) for name, value in batch.items()}
                for batch in self._spread(_RECALIBRATION_BATCHES * self.settings.train_batch_size)
            )
            with self.accelerator.autocast():
                recalibrate(shown, batches, noise)
        if isinstance(shown, GroupDNet) and (shown.config.prior_rank or shown.config.prior_codes):
            pictures = self._spread(_PRIOR_PICTURES)
            shown.fit_prior((batch["image"].to(device), batch["label"]) for batch in pictures)

    def _spread(self, pictures: int) -> Iterator[Mapping[str, Tensor]]:
        """At least this many training pictures in batches, always the same ones, as they are and each at most once.

        They are chosen among all, in mixed batches: pictures that lie side by side may be alike. Of a stream they are
        the first ones.
        """
        size = self.settings.train_batch_size
        batches = -(-pictures // size)
        # Of its own, for what a loader draws from the global one.
        generator = torch.Generator().manual_seed(self.settings.seed)
        order = None
        if not isinstance(self.data, StreamedImages):
            order = torch.randperm(len(self.data), generator=generator)[: batches * size].tolist()
        loader = DataLoader(self.data, size, sampler=order, drop_last=True, generator=generator)
        return islice(iter(loader), batches)
