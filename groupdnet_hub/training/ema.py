"""The model as a run previews and saves it: averaged, with ordinary batch norms, and with a fitted prior."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from groupdnet_hub import GroupDNet, StreamedImages
from groupdnet_hub.baselines import System
from groupdnet_hub.data.unknown import with_grey_unknown
from groupdnet_hub.models.fast.working_weights import copy_all
from groupdnet_hub.training.config import ResolvedTrainConfig
from groupdnet_hub.training.data.pictures import Data

# Batches over which weights are given batch-norm statistics of their own.
_RECALIBRATION_BATCHES = 40
# Pictures to whose codes a prior is fitted, at most.
_PRIOR_PICTURES = 4096


class MovingAverage(AveragedModel):
    """An exponential moving average of a model's parameters; buffers are those of the model itself.

    The first updates count more, so that the initial weights are soon forgotten.

    Args:
        decay: how much of the average stays at an update, in the long run.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model)
        self._decay = decay
        # On the host: a GPU would be waited for.
        self._updates = 0

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Let the average follow an update of the model."""
        n = self._updates
        fraction = 1 - min(self._decay, (1 + n) / (10 + n)) if n else 1.0
        torch._foreach_lerp_(list(self.module.parameters()), list(model.parameters()), fraction)
        copy_all(list(self.module.buffers()), list(model.buffers()))
        self.n_averaged += 1
        self._updates += 1

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load a state, as ``nn.Module.load_state_dict`` does."""
        found = super().load_state_dict(*args, **kwargs)
        self._updates = int(self.n_averaged)
        return found


class InferenceModel:
    """A copy of the model being trained, where that one is not what is to be previewed and saved.

    Args:
        settings: settings of the run.
        accelerator: the device that it is measured on.
        model: the model being trained, with ordinary batch norms.
        data: the training pictures.
        noise_shape: shape of the noise that the model takes for one picture.

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
        self._measured: System | None = None
        self._measured_at: int | None = None

    def follow(self, live: System) -> None:
        """Let the average follow an update of the model being trained."""
        if self.average is not None:
            self.average.update_parameters(live)

    def resumed_at(self, step: int) -> None:
        """Take the average of a checkpoint, which was just loaded, as it is: it was measured before it was saved."""
        if self.average is not None:
            self._measured, self._measured_at = cast(System, self.average.module), step

    def at(self, step: int, live: System) -> System:
        """Return the model at a step, in evaluation mode; a preview and a checkpoint of one step share the work."""
        if self._measured is None or self._measured_at != step:
            self._measured = self._weights_of(live)
            self._measure(self._measured)
            self._measured_at = step
        return self._measured.eval()

    def _weights_of(self, live: System) -> System:
        if self.average is not None:
            return cast(System, self.average.module)
        if self._single is None:
            return live
        # A fitted prior is the copy's own: the model being trained has none.
        own = {key: value for key, value in self._single.state_dict().items() if key.startswith("prior.")}
        self._single.load_state_dict(live.state_dict() | own)
        return self._single

    def _measure(self, model: System) -> None:
        """Fit the prior, and measure batch-norm statistics where those in training are of other weights or pictures."""
        device = self.accelerator.device
        if self.average is not None or self._altered:
            generator = torch.Generator().manual_seed(self.settings.seed)

            def noise(pictures: int) -> Tensor:
                return torch.randn(pictures, *self.noise_shape, generator=generator).to(device)

            batches = (
                with_grey_unknown({name: value.to(device) for name, value in batch.items()})
                for batch in self._spread(_RECALIBRATION_BATCHES * self.settings.train_batch_size)
            )
            with self.accelerator.autocast():
                recalibrate(model, batches, noise)
        if isinstance(model, GroupDNet) and (model.config.prior_rank or model.config.prior_codes):
            pictures = self._spread(_PRIOR_PICTURES)
            model.fit_prior({**batch, "image": batch["image"].to(device)} for batch in pictures)

    def _spread(self, pictures: int) -> Iterator[Mapping[str, Tensor]]:
        """Yield at least this many training pictures in batches, always the same, not moved and each at most once.

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


@torch.no_grad()
def recalibrate(
    model: System,
    batches: Iterable[Mapping[str, Tensor]],
    noise: Callable[[int], Tensor],
) -> None:
    """Measure batch-norm statistics and singular vectors anew, for averaged weights.

    Statistics of the last few batches belong to the weights that made them, not to their average.

    Args:
        model: in evaluation mode afterwards.
        batches: training batches on its device.
        noise: makes what the model's forward takes for a number of pictures.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative mean
    model.train()
    for batch in batches:
        model(batch["image"], batch["label"], batch.get("instance"), noise(len(batch["image"])))
    model.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
