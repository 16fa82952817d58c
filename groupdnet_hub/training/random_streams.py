"""Everything of a run that draws random numbers as it trains; all of it is part of a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, fields

from accelerate import Accelerator

from groupdnet_hub.baselines import System
from groupdnet_hub.training.augment.adaptive import AdaptiveDiffAugment
from groupdnet_hub.training.augment.class_colours import ClassColours
from groupdnet_hub.training.augment.class_crops import ClassCrops, DiscriminatorCrops
from groupdnet_hub.training.augment.diffaugment import DiffAugment
from groupdnet_hub.training.augment.label_mix import LabelMix
from groupdnet_hub.training.config import ResolvedTrainConfig
from groupdnet_hub.training.distributed import NoiseSource, SharedStream
from groupdnet_hub.training.fast.draws_ahead import DrawsAhead
from groupdnet_hub.training.objectives.code_memory import CodeMemory
from groupdnet_hub.training.objectives.redraw_loss import ClassExchange
from groupdnet_hub.training.objectives.redraw_window import RedrawWindows, plan_redraw_windows
from groupdnet_hub.training.state.extra_state import Stateful


@dataclass(frozen=True)
class Streams:
    """What a run draws from, each the same for any number of processes; None where the flags have no effect.

    Attributes:
        noise: of the codes.
        augmentation: of what the discriminator sees.
        crops: windows for the perceptual loss.
        windows: for the discriminator.
        label_mix: masks for the per-pixel discriminator.
        exchange: codes for the redraw loss, of the same batch or from a memory.
        redraw_windows: what that loss looks at of each picture.
        colours: of some classes of the training pictures.
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
        """Those that draw random numbers."""
        return [part for part in self.parts().values() if isinstance(part, SharedStream)]

    def parts(self) -> dict[str, Stateful]:
        """Those that there are, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: part for name, part in found.items() if part is not None}


def build_streams(settings: ResolvedTrainConfig, accelerator: Accelerator, model: System) -> Streams:
    """The streams that the command line asks for.

    Raises:
        ValueError: for classes to recolour that the model does not have, and for windows that it cannot draw.
    """
    config = model.config
    stream = settings.seed, accelerator.process_index, accelerator.num_processes
    classes = config.num_classes, *stream
    augmentation, exchange, colours, windows = None, None, None, None
    if settings.diffaugment and settings.diffaugment_target is not None:
        adaptive = settings.diffaugment_target, settings.diffaugment_rise
        augmentation = AdaptiveDiffAugment(*adaptive, *stream, accelerator.device)
    elif settings.diffaugment:
        augmentation = DiffAugment(*stream)
    if settings.redraw_weight and settings.redraw_memory:
        exchange = CodeMemory(config.code_shape, settings.redraw_memory, *stream, accelerator.device)
    elif settings.redraw_weight:
        exchange = ClassExchange(*classes)
    if settings.recoloured_classes:
        class_ids = model.labels.ids_of(settings.recoloured_classes)
        colours = ClassColours(class_ids, settings.recoloured_share, *stream)
    if settings.discriminator_crop:
        windows = DiscriminatorCrops(settings.discriminator_crop, *classes)
    crops = ClassCrops(settings.perceptual_crop, *classes) if settings.perceptual_crop else None
    label_mix = LabelMix(*classes) if settings.labelmix_weight else None
    plan = plan_redraw_windows(settings, config)
    return Streams(
        noise=NoiseSource(*stream),
        augmentation=augmentation,
        crops=crops,
        windows=windows,
        label_mix=label_mix,
        exchange=exchange,
        redraw_windows=None if plan is None else RedrawWindows(plan, *stream, accelerator.device),
        colours=colours,
    )
