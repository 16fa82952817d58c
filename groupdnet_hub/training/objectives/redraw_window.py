"""The redraw loss on a window of each picture: its second decode then costs a third. Not in the paper."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub import GroupDNetConfig
from groupdnet_hub.baselines import SystemConfig
from groupdnet_hub.models.fast.decode_window import DecodeWindow, TilePlan, decode_window, plan_tiles
from groupdnet_hub.training.augment.class_choice import choose_weighted
from groupdnet_hub.training.config import ResolvedTrainConfig
from groupdnet_hub.training.objectives.redraw_loss import is_outside
from groupdnet_hub.training.shared_stream import RunSeed, SharedStream, StreamId

# Of height and width, where the command line names none.
DEFAULT_FRACTION = 0.5


class RedrawWindows(SharedStream):
    """Chooses one tile of each picture for the second decode of a redraw step.

    The mean over the draws is the loss of entire pictures.

    Args:
        plan: of the tiles.
        device: of the pictures.
    """

    stream_id = StreamId.REDRAW_WINDOWS

    def __init__(
        self,
        plan: TilePlan,
        seed: RunSeed,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(seed)
        self.plan, self.tables = plan, plan.tables().to(device)

    @property
    def first_block(self) -> int:
        """Return the first block of the decoder that draws windows."""
        return self.plan.first

    def draw(self, label: Tensor, classes: Tensor) -> DecodeWindow:
        """Return the window of each label map int64 [B, H, W] for the exchange of a class [B]."""
        draws = self.uniform(len(label), device=label.device)
        chances = tile_chances(label == classes[:, None, None], self.plan.tiles)
        chosen = choose_weighted(chances, draws)
        return decode_window(
            self.plan,
            self.tables,
            torch.div(chosen, self.plan.tiles, rounding_mode="floor"),
            chosen % self.plan.tiles,
            chances.gather(1, chosen[:, None])[:, 0],
        )


def tile_chances(inside: Tensor, tiles: int) -> Tensor:
    """Return how likely each tile of a picture is, float32 [B, tiles * tiles], row by row.

    What an exchanged code changes elsewhere is mostly near its class: half of the chances go by how much of the class
    lies in a tile, so that few draws say as much as many, and half are the same for all.

    Args:
        inside: bool [B, H, W], where the class is.
        tiles: number of tiles along each side.
    """
    areas = F.adaptive_avg_pool2d(inside[:, None].float(), tiles).flatten(1)
    total = areas.sum(dim=1, keepdim=True)
    fractions = torch.where(total > 0, areas / total.clamp(min=torch.finfo(areas.dtype).tiny), 1 / tiles**2)
    return 0.5 / tiles**2 + 0.5 * fractions


def plan_redraw_windows(settings: ResolvedTrainConfig, config: SystemConfig) -> TilePlan | None:
    """Return the plan that ``--redraw_window`` asks for; None where entire pictures are decoded.

    Without the flag there are windows where the model's norms and the pictures' size let it be.

    Raises:
        ValueError: for a fraction below 1 that cannot be had.
    """
    fraction = DEFAULT_FRACTION if settings.redraw_window is None else settings.redraw_window
    if not settings.redraw_weight or fraction == 1 or not isinstance(config, GroupDNetConfig):
        return None
    problem, plan = None, None
    if config.norm_kind != "batch":
        problem = f"norms of kind {config.norm_kind} have no statistics of a batch"
    elif settings.batch_norm_parts != 1:
        problem = f"--batch_norm_parts {settings.batch_norm_parts} normalises parts of a batch on their own"
    else:
        # Behind the last block there are the layers that mix groups, and the one that makes the picture.
        border = 1 + config.fusion_layers
        plan = plan_tiles(config.image_size, math.ceil(1 / fraction), len(config.blocks), border)
        if plan is None:
            height, width = config.image_size
            problem = f"in pictures of {height}x{width} the windows would be hardly smaller"
    if problem and settings.redraw_window is not None:
        raise ValueError(f"--redraw_window {fraction} cannot be had: {problem}; give 1, for entire pictures")
    return plan


def change_in_window(
    before: Tensor, after: Tensor, label: Tensor, classes: Tensor, window: DecodeWindow
) -> Tensor:
    """Estimate :func:`.redraw_loss.change_outside` of entire pictures from the windows that were redrawn.

    Args:
        before: pictures [B, 3, H, W].
        after: their windows [B, 3, h, w].
        label: int64 [B, H, W].
        classes: int64 [B], whose code differs.
        window: where ``after`` lies.

    Returns:
        A scalar, its mean over all draws of ``window`` that of entire pictures.
    """
    pixels = is_outside(label, classes).sum()
    seen = window.pictures
    outside = is_outside(seen.of_maps(label), classes)[:, None] & window.counted
    difference = (after.float() - seen.of(before).float()).abs() * outside
    # What is seen less often counts more.
    return (difference.sum(dim=(1, 2, 3)) / window.chance).sum() / (before.shape[1] * pixels).clamp(min=1)
