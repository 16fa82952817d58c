"""The objectives of BicycleGAN and DSCGAN: one latent code for the whole picture, kept alive by a loss of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.baselines import SystemConfig
from groupdnet_hub.models.discriminator import MultiScaleDiscriminator
from groupdnet_hub.training.objectives.discriminator_io import (
    LEAST_SQUARES_MIDDLE,
    Augment,
    Batch,
    Change,
    halves,
    label_input,
    logits,
    mean_logits,
    observe,
    seen,
)
from groupdnet_hub.training.objectives.loss_weights import LossWeights
from groupdnet_hub.training.objectives.losses import (
    kl_loss,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
)

# DSCGAN's bound on the ratio of the pictures' distance to the codes', against an exploding gain.
_DIVERSITY_BOUND = 10.0


class TwoDiscriminators(nn.Module):
    """A discriminator for encoded codes and one for random codes, in one module that processes can share."""

    def __init__(self, config: SystemConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.encoded = MultiScaleDiscriminator(config, generator=generator)
        self.random = MultiScaleDiscriminator(config, generator=generator)

    def forward(self, encoded: Tensor, random: Tensor) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """What each sees -> what each says."""
        return self.encoded(encoded), self.random(random)


class BicycleObjective:
    """cVAE-GAN (encode a picture, draw it again) and cLR-GAN (draw a random code, read it back) at once.

    Zhu et al., "Toward Multimodal Image-to-Image Translation", NeurIPS 2017, with least-squares losses. The distance
    between the random code and the one read back trains the generator only.
    """

    used = ("adversarial", "l1", "latent", "kl")
    windows = None
    judged_together = True

    def __init__(self, config: SystemConfig, augment: Augment | None = None) -> None:
        self.config, self.augment = config, augment

    def make_discriminator(self, generator: torch.Generator) -> nn.Module:
        """One for each half of the bicycle."""
        return TwoDiscriminators(self.config, generator)

    def noise_shape(self) -> tuple[int, ...]:
        """The posterior's noise, and a random code."""
        return (2, *self.config.code_shape)

    def draw(self, model: nn.Module, batch: Batch, noise: Tensor) -> tuple[Tensor, ...]:
        """The picture of the encoded code, and that of the random one."""
        encoded, _, random, _ = model(batch["image"], batch["label"], batch.get("instance"), noise)
        return encoded, random

    def generator_losses(
        self, model: nn.Module, judge: nn.Module, batch: Batch, noise: Tensor, weights: LossWeights
    ) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """Both halves of the bicycle."""
        encoded, posterior, random, recovered = model(
            batch["image"], batch["label"], batch.get("instance"), noise
        )
        condition = label_input(batch, self.config)
        on_encoded, on_random = judge(
            seen(condition, (encoded,), self.augment), seen(condition, (random,), self.augment)
        )
        losses = {
            "adversarial": weights.adversarial
            * (
                least_squares_generator_loss(logits(on_encoded))
                + least_squares_generator_loss(logits(on_random))
            ),
            "l1": weights.l1 * F.l1_loss(encoded.float(), batch["image"].float()),
            "latent": weights.latent * F.l1_loss(recovered.float(), noise[:, 1].float()),
            "kl": weights.kl * kl_loss(posterior),
        }
        return losses, (encoded, random)

    def discriminator_losses(
        self, discriminator: nn.Module, fakes: tuple[Tensor, ...], batch: Batch
    ) -> dict[str, Tensor]:
        """Each discriminator on its pictures and on the real ones."""
        condition, image = label_input(batch, self.config), batch["image"]
        outputs = discriminator(*(seen(condition, (fake.detach(), image), self.augment) for fake in fakes))
        sums, found = torch.zeros(2, device=image.device), []
        for output in outputs:
            on_fake, on_real = halves(output)
            found += on_real
            sums = sums + torch.stack(least_squares_discriminator_loss(logits(on_fake), logits(on_real)))
        observe(self.augment, found, LEAST_SQUARES_MIDDLE)
        return {"discriminator_fake": sums[0], "discriminator_real": sums[1]}

    def real_scores(
        self, discriminator: Callable[..., Any], batch: Batch, augment: Change | None = None
    ) -> Tensor:
        """The mean logit of both discriminators, over places and scales."""
        shown = seen(label_input(batch, self.config), (batch["image"],), augment)
        return torch.stack([mean_logits(outputs) for outputs in discriminator(shown, shown)]).mean(dim=0)


class DiversityObjective:
    """A conditional GAN whose pictures of two codes should differ as much as the codes do.

    Yang et al., "Diversity-Sensitive Conditional Generative Adversarial Networks", ICLR 2019: the ratio of the mean
    distance of two pictures of one label map to that of their codes is raised, up to a bound.
    """

    used = ("adversarial", "l1", "diversity")
    windows = None
    judged_together = True

    def __init__(self, config: SystemConfig, augment: Augment | None = None) -> None:
        self.config, self.augment = config, augment

    def make_discriminator(self, generator: torch.Generator) -> nn.Module:
        """The multi-scale discriminator."""
        return MultiScaleDiscriminator(self.config, generator=generator)

    def noise_shape(self) -> tuple[int, ...]:
        """Two codes."""
        return (2, *self.config.code_shape)

    def draw(self, model: nn.Module, batch: Batch, noise: Tensor) -> tuple[Tensor, ...]:
        """The pictures of both codes."""
        first, second = model(batch["image"], batch["label"], batch.get("instance"), noise)
        return first, second

    def generator_losses(
        self, model: nn.Module, judge: nn.Module, batch: Batch, noise: Tensor, weights: LossWeights
    ) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """Two pictures for each label map, both also held against the real one, so that they stay pictures of it."""
        first, second = model(batch["image"], batch["label"], batch.get("instance"), noise)
        condition = label_input(batch, self.config)
        outputs = judge(seen(condition, (first, second), self.augment))
        real = batch["image"].float()
        apart = (first.float() - second.float()).abs().mean(dim=(1, 2, 3))
        codes_apart = (noise[:, 0] - noise[:, 1]).float().abs().flatten(1).mean(dim=1)
        ratio = (apart / codes_apart.clamp(min=1e-5)).clamp(max=_DIVERSITY_BOUND).mean()
        losses = {
            "adversarial": weights.adversarial * least_squares_generator_loss(logits(outputs)),
            "l1": weights.l1 * (F.l1_loss(first.float(), real) + F.l1_loss(second.float(), real)) / 2,
            "diversity": -weights.diversity * ratio,
        }
        return losses, (first, second)

    def discriminator_losses(
        self, discriminator: nn.Module, fakes: tuple[Tensor, ...], batch: Batch
    ) -> dict[str, Tensor]:
        """On the pictures of the first codes and on the real ones."""
        condition = label_input(batch, self.config)
        pictures = (fakes[0].detach(), batch["image"])
        on_fake, on_real = halves(discriminator(seen(condition, pictures, self.augment)))
        observe(self.augment, on_real, LEAST_SQUARES_MIDDLE)
        fake, real = least_squares_discriminator_loss(logits(on_fake), logits(on_real))
        return {"discriminator_fake": fake, "discriminator_real": real}

    def real_scores(
        self, discriminator: Callable[..., Any], batch: Batch, augment: Change | None = None
    ) -> Tensor:
        """The mean logit, over places and scales."""
        return mean_logits(discriminator(seen(label_input(batch, self.config), (batch["image"],), augment)))
