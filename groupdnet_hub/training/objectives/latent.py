"""The objectives of BicycleGAN and DSCGAN: one latent code for the entire picture, kept alive by a loss of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.baselines import SystemConfig
from groupdnet_hub.data.unknown import grey_unknown
from groupdnet_hub.models.discriminator import MultiScaleDiscriminator
from groupdnet_hub.models.encoder import Gaussian
from groupdnet_hub.training.objectives.discriminator_inputs import (
    LEAST_SQUARES_MIDDLE,
    Batch,
    Change,
    Discriminator,
    discriminator_input,
    halves,
    label_input,
    logits,
    mean_logits,
    observe,
    place_weights,
)
from groupdnet_hub.training.objectives.loss_weights import LossWeights
from groupdnet_hub.training.objectives.losses import (
    kl_loss,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
)
from groupdnet_hub.training.objectives.objective import ObjectiveParts

# DSCGAN's bound on the ratio of the pictures' distance to the codes', against an exploding gain.
_DIVERSITY_BOUND = 10.0


class TwoDiscriminators(nn.Module):
    """A discriminator for encoded codes and one for random codes, in one module that processes can share."""

    def __init__(self, config: SystemConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.encoded = MultiScaleDiscriminator(config, generator=generator)
        self.random = MultiScaleDiscriminator(config, generator=generator)

    def forward(self, encoded: Tensor, random: Tensor) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
        """Return the features of each for its input [B, C (+ 1) + 3, H, W]."""
        return self.encoded(encoded), self.random(random)


class BicycleObjective:
    """cVAE-GAN (encode a picture, draw it again) and cLR-GAN (draw a random code, read it back) at once.

    Zhu et al., "Toward Multimodal Image-to-Image Translation", NeurIPS 2017, with least-squares losses. The distance
    between the random code and the one read back trains the generator only.
    """

    used: tuple[str, ...] = ("adversarial", "l1", "latent", "kl")

    def __init__(self, config: SystemConfig, parts: ObjectiveParts | None = None) -> None:
        self.config, self.parts = config, parts or ObjectiveParts()

    def make_discriminator(self, generator: torch.Generator) -> nn.Module:
        """Return a discriminator for each half of the bicycle."""
        return TwoDiscriminators(self.config, generator)

    def noise_shape(self) -> tuple[int, ...]:
        """Return the shape of the posterior's noise and a random code."""
        return (2, *self.config.code_shape)

    def draw(self, model: nn.Module, batch: Batch, noise: Tensor) -> tuple[Tensor, ...]:
        """Return the pictures of the encoded and of the random code, grey at unknown pixels."""
        encoded, _, random, _ = self._drawn(model, batch, noise)
        return encoded, random

    @staticmethod
    def _drawn(model: nn.Module, batch: Batch, noise: Tensor) -> tuple[Tensor, Gaussian, Tensor, Tensor]:
        """Return what the model's step does, its pictures grey at unknown pixels."""
        unknown = batch.get("unknown")
        encoded, posterior, random, recovered = model(
            batch["image"], batch["label"], batch.get("instance"), noise, unknown
        )
        return grey_unknown(encoded, unknown), posterior, grey_unknown(random, unknown), recovered

    def generator_losses(
        self,
        model: nn.Module,
        frozen_discriminator: nn.Module,
        batch: Batch,
        noise: Tensor,
        weights: LossWeights,
    ) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """Return the losses of both halves of the bicycle, and their pictures."""
        encoded, posterior, random, recovered = self._drawn(model, batch, noise)
        condition = label_input(batch, self.config)
        shown = [discriminator_input(condition, (one,), self.parts.augment) for one in (encoded, random)]
        on_encoded, on_random = (
            least_squares_generator_loss(logits(found), place_weights(one, self.config))
            for found, one in zip(frozen_discriminator(*shown), shown, strict=True)
        )
        losses = {
            "adversarial": weights.adversarial * (on_encoded + on_random),
            "l1": weights.l1 * F.l1_loss(encoded.float(), batch["image"].float()),
            "latent": weights.latent * F.l1_loss(recovered.float(), noise[:, 1].float()),
            "kl": weights.kl * kl_loss(posterior),
        }
        return losses, (encoded, random)

    def discriminator_losses(
        self, discriminator: nn.Module, fakes: tuple[Tensor, ...], batch: Batch
    ) -> dict[str, Tensor]:
        """Return the losses of each discriminator on its pictures and on the real ones, added up."""
        condition, image = label_input(batch, self.config), batch["image"]
        shown = [discriminator_input(condition, (fake.detach(), image), self.parts.augment) for fake in fakes]
        sums, found, weights = torch.zeros(2, device=image.device), [], []
        for output, one in zip(discriminator(*shown), shown, strict=True):
            on_fake, on_real = halves(output)
            places = place_weights(one[: len(image)], self.config)
            found += on_real
            weights += [places] * len(on_real)
            sums = sums + torch.stack(
                least_squares_discriminator_loss(logits(on_fake), logits(on_real), places)
            )
        observe(self.parts.augment, found, weights, LEAST_SQUARES_MIDDLE)
        return {"discriminator_fake": sums[0], "discriminator_real": sums[1]}

    def real_scores(
        self, discriminator: Discriminator, batch: Batch, augment: Change | None = None
    ) -> Tensor:
        """Return the mean logit of both discriminators, over places and scales."""
        shown = discriminator_input(label_input(batch, self.config), (batch["image"],), augment)
        places = place_weights(shown, self.config)
        return torch.stack([mean_logits(found, places) for found in discriminator(shown, shown)]).mean(dim=0)


class DiversityObjective:
    """A conditional GAN whose pictures of two codes should differ as much as the codes do.

    Yang et al., "Diversity-Sensitive Conditional Generative Adversarial Networks", ICLR 2019: the ratio of the mean
    distance of two pictures of one label map to that of their codes is raised, up to a bound.
    """

    used: tuple[str, ...] = ("adversarial", "l1", "diversity")

    def __init__(self, config: SystemConfig, parts: ObjectiveParts | None = None) -> None:
        self.config, self.parts = config, parts or ObjectiveParts()

    def make_discriminator(self, generator: torch.Generator) -> nn.Module:
        """Return the multi-scale discriminator."""
        return MultiScaleDiscriminator(self.config, generator=generator)

    def noise_shape(self) -> tuple[int, ...]:
        """Return the shape of two codes."""
        return (2, *self.config.code_shape)

    def draw(self, model: nn.Module, batch: Batch, noise: Tensor) -> tuple[Tensor, ...]:
        """Return the pictures of both codes, grey at unknown pixels."""
        first, second = model(batch["image"], batch["label"], batch.get("instance"), noise)
        return grey_unknown(first, batch.get("unknown")), grey_unknown(second, batch.get("unknown"))

    def generator_losses(
        self,
        model: nn.Module,
        frozen_discriminator: nn.Module,
        batch: Batch,
        noise: Tensor,
        weights: LossWeights,
    ) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """Draw two pictures for each label map, both compared with the real one too, so that they stay like it."""
        first, second = self.draw(model, batch, noise)
        condition = label_input(batch, self.config)
        shown = discriminator_input(condition, (first, second), self.parts.augment)
        found, places = logits(frozen_discriminator(shown)), place_weights(shown, self.config)
        real = batch["image"].float()
        apart = (first.float() - second.float()).abs().mean(dim=(1, 2, 3))
        codes_apart = (noise[:, 0] - noise[:, 1]).float().abs().flatten(1).mean(dim=1)
        ratio = (apart / codes_apart.clamp(min=1e-5)).clamp(max=_DIVERSITY_BOUND).mean()
        losses = {
            "adversarial": weights.adversarial * least_squares_generator_loss(found, places),
            "l1": weights.l1 * (F.l1_loss(first.float(), real) + F.l1_loss(second.float(), real)) / 2,
            "diversity": -weights.diversity * ratio,
        }
        return losses, (first, second)

    def discriminator_losses(
        self, discriminator: nn.Module, fakes: tuple[Tensor, ...], batch: Batch
    ) -> dict[str, Tensor]:
        """Return the losses on the pictures of the first codes and on the real ones."""
        condition = label_input(batch, self.config)
        pictures = (fakes[0].detach(), batch["image"])
        shown = discriminator_input(condition, pictures, self.parts.augment)
        on_fake, on_real = halves(discriminator(shown))
        places = place_weights(shown[: len(condition)], self.config)
        observe(self.parts.augment, on_real, [places] * len(on_real), LEAST_SQUARES_MIDDLE)
        fake, real = least_squares_discriminator_loss(logits(on_fake), logits(on_real), places)
        return {"discriminator_fake": fake, "discriminator_real": real}

    def real_scores(
        self, discriminator: Discriminator, batch: Batch, augment: Change | None = None
    ) -> Tensor:
        """Return the mean logit, over places and scales."""
        shown = discriminator_input(label_input(batch, self.config), (batch["image"],), augment)
        return mean_logits(discriminator(shown), place_weights(shown, self.config))
