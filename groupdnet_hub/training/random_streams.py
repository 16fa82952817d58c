"""Everything of a run that draws random numbers as it trains; all of it is part of a checkpoint."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields

from accelerate import Accelerator

from groupdnet_hub.baselines import System
from groupdnet_hub.training.augment.adaptive import AdaptiveDiffAugment
from groupdnet_hub.training.augment.class_colours import ClassColours
from groupdnet_hub.training.augment.class_crops import ClassCrops, DiscriminatorCrops
from groupdnet_hub.training.augment.diffaugment import DiffAugment
from groupdnet_hub.training.augment.label_mix import LabelMix
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


def build_streams(args: argparse.Namespace, accelerator: Accelerator, model: System) -> Streams:
    """The streams that the command line asks for.

    Raises:
        ValueError: for classes to recolour that the model does not have, and for windows that it cannot draw.
    """
    config = model.config
    stream = args.seed, accelerator.process_index, accelerator.num_processes
    classes = config.num_classes, *stream
    augmentation, exchange, colours, windows = None, None, None, None
    if args.diffaugment and args.diffaugment_target is not None:
        adaptive = args.diffaugment_target, args.diffaugment_rise
        augmentation = AdaptiveDiffAugment(*adaptive, *stream, accelerator.device)
    elif args.diffaugment:
        augmentation = DiffAugment(*stream)
    if args.redraw_weight and args.redraw_memory:
        exchange = CodeMemory(config.code_shape, args.redraw_memory, *stream, accelerator.device)
    elif args.redraw_weight:
        exchange = ClassExchange(*classes)
    if args.recoloured_classes:
        class_ids = model.labels.ids_of(args.recoloured_classes)
        colours = ClassColours(class_ids, args.recoloured_share, *stream)
    if args.discriminator_crop:
        windows = DiscriminatorCrops(args.discriminator_crop, *classes)
    crops = ClassCrops(args.perceptual_crop, *classes) if args.perceptual_crop else None
    label_mix = LabelMix(*classes) if args.labelmix_weight else None
    plan = plan_redraw_windows(args, config)
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
