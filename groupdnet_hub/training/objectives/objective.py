"""What an objective is: a system's discriminator and its losses, and the parts that objectives are made of.

Training makes one generator step and one discriminator step a batch, whatever the objective.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from groupdnet_hub.training.augment.class_crops import ClassCrops
from groupdnet_hub.training.augment.label_mix import LabelMix
from groupdnet_hub.training.objectives.discriminator_inputs import Augment, Batch, Change, Discriminator
from groupdnet_hub.training.objectives.loss_weights import LossWeights
from groupdnet_hub.training.objectives.losses import PerceptualLoss
from groupdnet_hub.training.objectives.redraw_loss import Exchange
from groupdnet_hub.training.objectives.redraw_window import RedrawWindows

# Label map [B, H, W] and pictures [B, 3, H, W] -> windows of the pictures.
Crops = Callable[[Tensor, Sequence[Tensor]], Sequence[Tensor]]


@dataclass(frozen=True, kw_only=True)
class ObjectiveParts:
    """What losses are made with beside the networks; an objective uses those that it has a use for.

    Attributes:
        perceptual: the perceptual loss.
        augment: changes label input and picture before the discriminator sees them.
        crops: cuts out what the perceptual loss sees; by default entire pictures.
        windows: cuts out what the discriminator sees as well: its losses are the means of those on entire pictures and
            those on windows of them and of their label maps.
        exchange: what else changes when a class's code is exchanged is a loss too; for models with per-class codes.
        redraw_windows: of each picture, a window is drawn with the exchanged code; by default the entire picture.
        label_mix: draws the masks of LabelMix, for the per-pixel discriminator; without it there is no LabelMix.
        labelmix_weight: weight of LabelMix's consistency loss.
        free_nats: what the codes of each class hold at no cost in the KL divergence.
        class_balance: from 0 to 1, of the losses on what the discriminator sees and of the distance to the picture, see
            :func:`groupdnet_hub.training.objectives.losses.class_weights`.
        one_batch: the generator's step shows the discriminator generated and real pictures in one batch.
    """

    perceptual: PerceptualLoss | None = None
    augment: Augment | None = None
    crops: Crops | None = None
    windows: ClassCrops | None = None
    exchange: Exchange | None = None
    redraw_windows: RedrawWindows | None = None
    label_mix: LabelMix | None = None
    labelmix_weight: float = 10.0
    free_nats: float = 0.0
    class_balance: float = 0.0
    one_batch: bool = False


class Objective(Protocol):
    """Losses of one system.

    Attributes:
        used: names of the fields of :class:`LossWeights` that have an effect here.
        parts: what the losses are made with.
    """

    used: tuple[str, ...]
    parts: ObjectiveParts

    def make_discriminator(self, generator: torch.Generator) -> nn.Module:
        """Return the discriminator, or several in one module; ``generator`` draws the weights."""

    def noise_shape(self) -> tuple[int, ...]:
        """Return the shape of the noise that the generator takes for one picture."""

    def draw(self, model: nn.Module, batch: Batch, noise: Tensor) -> tuple[Tensor, ...]:
        """Return the pictures that :meth:`generator_losses` makes, without the losses."""

    def generator_losses(
        self,
        model: nn.Module,
        frozen_discriminator: nn.Module,
        batch: Batch,
        noise: Tensor,
        weights: LossWeights,
    ) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """Return (weighted losses by name, their sum is what is minimised; the pictures made)."""

    def discriminator_losses(
        self, discriminator: nn.Module, fakes: tuple[Tensor, ...], batch: Batch
    ) -> dict[str, Tensor]:
        """Return the losses on pictures that the generator step made, and on the real ones."""

    def real_scores(
        self, discriminator: Discriminator, batch: Batch, augment: Change | None = None
    ) -> Tensor:
        """Return how real the discriminator finds each of a batch's own pictures: [B], higher is more real.

        Gradients flow to the picture where it requires them, for a penalty on them; and the mean over training
        pictures stands above that over others as soon as the discriminator knows its pictures by heart.

        Args:
            discriminator: the module, or a function like it.
            batch: a training batch.
            augment: changes label input and picture first; by default they stay as they are.
        """
