"""The objective with a per-pixel discriminator, which says of each pixel which class it shows or that it is fake.

Schoenfeld et al., "You Only Need Adversarial Supervision for Semantic Image Synthesis" (ICLR 2021). All other losses
are those of the multi-scale discriminator's objective.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from groupdnet_hub.models.segmentation_discriminator import SegmentationDiscriminator
from groupdnet_hub.training.augment.label_mix import mix
from groupdnet_hub.training.distributed import tensor_mean_over_processes
from groupdnet_hub.training.objectives.discriminator_inputs import (
    Batch,
    Change,
    Discriminator,
    discriminator_input,
    label_input,
)
from groupdnet_hub.training.objectives.loss_weights import LossWeights, has_weight
from groupdnet_hub.training.objectives.losses import class_weights, feature_matching_loss, picture_means
from groupdnet_hub.training.objectives.reconstruction import ReconstructionObjective
from groupdnet_hub.training.objectives.segmentation_losses import (
    NO_TARGET,
    class_counts,
    class_targets,
    consistency_loss,
    fake_loss,
    realness,
    segmentation_loss,
)


class SegmentationObjective(ReconstructionObjective):
    """Cross entropy of pixels with their class or "fake", and LabelMix.

    Real pixels, and in the generator's step generated ones, are balanced by the frequency of their class in the batch.
    Pixels that are unknown, or that an augmentation cut out or moved in from outside, are no target. Feature matching,
    which the paper has not got, compares the features of the U-Net's decoder. ``parts.class_balance`` is that of the
    fake pixels (0, the paper's: all alike), of feature matching and of the distance to the picture.
    """

    def make_discriminator(self, generator: torch.Generator) -> nn.Module:
        """Return the U-Net."""
        return SegmentationDiscriminator(self.config, generator=generator)

    def generator_terms(
        self,
        frozen_discriminator: nn.Module,
        condition: Tensor,
        fake: Tensor,
        real: Tensor,
        weights: LossWeights,
    ) -> dict[str, Tensor]:
        """Return the loss on generated pixels, which should show their class, and feature matching if it counts."""
        matched = has_weight(weights.feature_matching)
        pictures = (fake, real) if matched else (fake,)
        maps, shown = self._shown(condition, pictures, self.parts.augment)
        frozen: Any = frozen_discriminator
        features = frozen.features(shown) if matched else [frozen(shown)]
        logits = features[-1][: len(fake)]
        target = class_targets(maps)
        counts = tensor_mean_over_processes(class_counts(target, self.config.num_classes))
        losses = {"adversarial": weights.adversarial * segmentation_loss(logits, target, counts)}
        if matched:
            of_fake = [feature[: len(fake)] for feature in features]
            of_real = [feature[len(fake) :] for feature in features]
            distance = feature_matching_loss(
                [of_fake], [of_real], class_weights(maps, self.parts.class_balance)
            )
            losses["feature_matching"] = weights.feature_matching * distance
        return losses

    def discriminator_terms(
        self, discriminator: nn.Module, condition: Tensor, fake: Tensor, real: Tensor
    ) -> dict[str, Tensor]:
        """Return the losses: real pixels show their class, generated ones are fake, mixed ones are as their parts."""
        maps, shown = self._shown(condition, (fake, real), self.parts.augment)
        target = class_targets(maps)
        mask = None if self.parts.label_mix is None else self.parts.label_mix.mask(target)
        if mask is not None:
            # In one batch with the others: a wrapper that sums gradients over processes wants one forward a backward.
            of_fake, of_real = shown.chunk(2)
            shown = torch.cat((shown, mix(mask, of_real, of_fake)))
            shown = shown.contiguous(memory_format=torch.channels_last)
        on_fake, on_real, *on_mixed = discriminator(shown).split(len(fake))
        if self.parts.augment is not None:
            self.parts.augment.observe(realness(on_real.detach()), self._counted(target))
        counts = tensor_mean_over_processes(class_counts(target, self.config.num_classes))
        losses = {
            "discriminator_fake": fake_loss(on_fake, class_weights(maps, self.parts.class_balance)),
            "discriminator_real": segmentation_loss(on_real, target, counts),
        }
        if mask is not None:
            distance = consistency_loss(on_mixed[0], mix(mask, on_real, on_fake), self._counted(target))
            losses["discriminator_mixed"] = self.parts.labelmix_weight * distance
        return losses

    def _counted(self, target: Tensor) -> Tensor | None:
        """Return which pixels count where all with a class do, bool [B, 1, H, W]; None where all count."""
        return (target != NO_TARGET)[:, None] if self.config.ignore else None

    def real_scores(
        self, discriminator: Discriminator, batch: Batch, augment: Change | None = None
    ) -> Tensor:
        """Return the mean over pixels of the log odds of "shows a class" against "fake"."""
        maps, shown = self._shown(label_input(batch, self.config), (batch["image"],), augment)
        return picture_means(realness(discriminator(shown)), class_weights(maps, self.parts.class_balance))

    def _shown(
        self, condition: Tensor, pictures: tuple[Tensor, ...], augment: Change | None
    ) -> tuple[Tensor, Tensor]:
        """Return label maps [B, C, H, W] and all pictures, one batch behind the other, changed alike."""
        together = discriminator_input(condition, pictures, augment)
        maps = together[: len(condition), : self.config.num_classes]
        return maps, together[:, -3:].contiguous(memory_format=torch.channels_last)
