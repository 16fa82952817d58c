"""GroupDNet's objective (section 3.5): reconstruction, and the multi-scale discriminator's part in it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from groupdnet_hub.baselines import SystemConfig
from groupdnet_hub.models.discriminator import MultiScaleDiscriminator
from groupdnet_hub.training.objectives.discriminator_inputs import (
    LEAST_SQUARES_MIDDLE,
    Batch,
    Change,
    Discriminator,
    discriminator_input,
    frozen_features,
    halves,
    label_input,
    logits,
    mean_logits,
    observe,
    place_weights,
)
from groupdnet_hub.training.objectives.loss_weights import LossWeights
from groupdnet_hub.training.objectives.losses import (
    feature_matching_loss,
    hinge_discriminator_loss,
    hinge_generator_loss,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
)
from groupdnet_hub.training.objectives.objective import ObjectiveParts
from groupdnet_hub.training.objectives.reconstruction import ReconstructionObjective


class MultiScaleObjective(ReconstructionObjective):
    """Adversarial loss and feature matching of the multi-scale discriminator, beside those of reconstruction.

    With the hinge loss it is that of GroupDNet, SPADE and all between; with least squares that of pix2pixHD.

    Args:
        config, parts: as of :class:`.reconstruction.ReconstructionObjective`.
        least_squares: the adversarial loss.
    """

    def __init__(
        self, config: SystemConfig, parts: ObjectiveParts | None = None, *, least_squares: bool = False
    ) -> None:
        super().__init__(config, parts)
        if least_squares:
            self.used = tuple(name for name in self.used if name != "kl")
        self._middle = LEAST_SQUARES_MIDDLE if least_squares else 0.0
        self._generator_loss = least_squares_generator_loss if least_squares else hinge_generator_loss
        self._discriminator_loss = (
            least_squares_discriminator_loss if least_squares else hinge_discriminator_loss
        )

    def make_discriminator(self, generator: torch.Generator) -> nn.Module:
        """Return the multi-scale discriminator (Fig. 7)."""
        return MultiScaleDiscriminator(self.config, generator=generator)

    def generator_terms(
        self,
        frozen_discriminator: nn.Module,
        condition: Tensor,
        fake: Tensor,
        real: Tensor,
        weights: LossWeights,
    ) -> dict[str, Tensor]:
        """Return the adversarial loss and feature matching."""
        on_fake, on_real, shown = frozen_features(
            frozen_discriminator, condition, fake, real, self.parts.augment, together=self.parts.one_batch
        )
        places = self._place_weights(shown)
        return {
            "adversarial": weights.adversarial * self._generator_loss(logits(on_fake), places),
            "feature_matching": weights.feature_matching * feature_matching_loss(on_fake, on_real, places),
        }

    def discriminator_terms(
        self, discriminator: nn.Module, condition: Tensor, fake: Tensor, real: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses on generated and on real pictures."""
        shown = discriminator_input(condition, (fake, real), self.parts.augment)
        on_fake, on_real = halves(discriminator(shown))
        maps = shown[: len(condition)]
        observe(self.parts.augment, on_real, [place_weights(maps, self.config)] * len(on_real), self._middle)
        places = self._place_weights(maps)
        fake_loss, real_loss = self._discriminator_loss(logits(on_fake), logits(on_real), places)
        return {"discriminator_fake": fake_loss, "discriminator_real": real_loss}

    def real_scores(
        self, discriminator: Discriminator, batch: Batch, augment: Change | None = None
    ) -> Tensor:
        """Return the mean logit, over places and scales."""
        shown = discriminator_input(label_input(batch, self.config), (batch["image"],), augment)
        return mean_logits(discriminator(shown), self._place_weights(shown))
