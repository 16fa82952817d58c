"""Everything of a run that draws random numbers as it trains; all of it is part of a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from accelerate import Accelerator

from groupdnet_hub.baselines import System, SystemConfig
from groupdnet_hub.training.augment.adaptive import AdaptiveDiffAugment
from groupdnet_hub.training.augment.class_colours import ClassColours
from groupdnet_hub.training.augment.class_crops import ClassCrops, DiscriminatorCrops
from groupdnet_hub.training.augment.diffaugment import DiffAugment
from groupdnet_hub.training.augment.label_mix import LabelMix
from groupdnet_hub.training.config import ResolvedTrainConfig
from groupdnet_hub.training.fast.draws_ahead import DrawsAhead
from groupdnet_hub.training.objectives.code_memory import CodeMemory
from groupdnet_hub.training.objectives.redraw_loss import ClassExchange
from groupdnet_hub.training.objectives.redraw_window import RedrawWindows, plan_redraw_windows
from groupdnet_hub.training.shared_stream import NoiseSource, RunSeed, SharedStream
from groupdnet_hub.training.state.extra_state import Stateful


@dataclass(frozen=True)
class Streams:
    """What a run draws from, each the same for any number of processes; None where no setting asks for it.

    The fields' names are those of a checkpoint's extra state.

    Attributes:
        noise: noise of the codes.
        augmentation: changes what the discriminator sees.
        crops: windows for the perceptual loss.
        windows: windows for the discriminator.
        label_mix: masks for the per-pixel discriminator.
        exchange: codes for the redraw loss, of the same batch or from a memory.
        redraw_windows: windows of each picture for that loss.
        colours: hues of some classes of the training pictures.
    """

    noise: NoiseSource
    augmentation: DiffAugment | None
    crops: ClassCrops | None
    windows: DiscriminatorCrops | None
    label_mix: LabelMix | None
    exchange: ClassExchange | CodeMemory | None
    redraw_windows: RedrawWindows | None
    colours: ClassColours | None

    def draw_ahead(self, draws: DrawsAhead) -> None:
        """Have the numbers of a step drawn before it begins."""
        for part in self.shared():
            part.ahead = draws

    def shared(self) -> list[SharedStream]:
        """Return those that draw random numbers."""
        return [part for part in self.parts().values() if isinstance(part, SharedStream)]

    def parts(self) -> dict[str, Stateful]:
        """Return those that there are, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: part for name, part in found.items() if part is not None}


def build_streams(settings: ResolvedTrainConfig, accelerator: Accelerator, model: System) -> Streams:
    """Return the streams that the settings ask for.

    Raises:
        ValueError: for classes to recolour that the model does not have, and for windows that it cannot draw.
    """
    classes, device = model.config.num_classes, accelerator.device
    seed = RunSeed(settings.seed, accelerator.process_index, accelerator.num_processes)
    plan = plan_redraw_windows(settings, model.config)
    return Streams(
        noise=NoiseSource(seed),
        augmentation=_augmentation(settings, seed, device),
        crops=ClassCrops(settings.perceptual_crop, classes, seed) if settings.perceptual_crop else None,
        windows=DiscriminatorCrops(settings.discriminator_crop, classes, seed)
        if settings.discriminator_crop
        else None,
        label_mix=LabelMix(classes, seed) if settings.labelmix_weight else None,
        exchange=_exchange(settings, model.config, seed, device),
        redraw_windows=None if plan is None else RedrawWindows(plan, seed, device),
        colours=ClassColours(
            model.labels.ids_of(settings.recoloured_classes), settings.recoloured_share, seed
        )
        if settings.recoloured_classes
        else None,
    )


def _augmentation(settings: ResolvedTrainConfig, seed: RunSeed, device: torch.device) -> DiffAugment | None:
    if not settings.diffaugment:
        return None
    if settings.diffaugment_target is None:
        return DiffAugment(seed)
    return AdaptiveDiffAugment(settings.diffaugment_target, settings.diffaugment_rise, seed, device)


def _exchange(
    settings: ResolvedTrainConfig, config: SystemConfig, seed: RunSeed, device: torch.device
) -> ClassExchange | CodeMemory | None:
    if not settings.redraw_weight:
        return None
    if settings.redraw_memory:
        return CodeMemory(config.code_shape, settings.redraw_memory, seed, device)
    return ClassExchange(config.num_classes, seed)
