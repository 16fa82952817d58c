"""What each system is trained to do: its discriminator, its losses and the rates it is trained with.

The trainer makes one generator step and one discriminator step a batch, whatever the objective.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from class_exchange import Exchange, change_outside
from torch import Tensor, nn

from groupdnet_hub import (
    MultiScaleDiscriminator,
    PerceptualLoss,
    class_weights,
    feature_matching_loss,
    hinge_discriminator_loss,
    hinge_generator_loss,
    instance_edges,
    kl_loss,
    l1_loss,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
    one_hot,
)
from groupdnet_hub.baselines import SystemConfig

Batch = Mapping[str, Tensor]
# Label input and picture [copies * B, channels, H, W], and copies -> the same, all copies augmented alike.
Augment = Callable[[Tensor, int], Tensor]
# Label map [B, H, W] and pictures [B, 3, H, W] -> windows of the pictures.
Crops = Callable[[Tensor, Sequence[Tensor]], Sequence[Tensor]]
# For each scale of a discriminator its features, the logits last.
Features = Sequence[Sequence[Tensor]]


@dataclass(frozen=True)
class LossWeights:
    """Weights of the generator's losses; an objective uses those it has. The KL weight is per picture.

    The first four are those of Eq. 6. ``l1`` is the distance to the picture, ``latent`` BicycleGAN's to the random
    code, ``diversity`` is DSCGAN's; ``redraw`` is that of :mod:`class_exchange`.
    """

    adversarial: float = 1.0
    feature_matching: float = 10.0
    perceptual: float = 10.0
    kl: float = 0.4
    l1: float = 0.0
    latent: float = 0.5
    diversity: float = 8.0
    redraw: float = 0.0


@dataclass(frozen=True)
class Rates:
    """How the networks of an objective are optimised.

    Attributes:
        generator, discriminator: learning rates.
        betas: Adam's moments.
        kl_weight: weight of the KL divergence per picture.
        l1_weight: weight of the distance to the picture.
    """

    generator: float
    discriminator: float
    betas: tuple[float, float]
    kl_weight: float = 0.0
    l1_weight: float = 0.0


# Section 4.1, and the papers of the others.
RATES = {
    "hinge": Rates(1e-4, 4e-4, (0.0, 0.9), 0.4),
    "pix2pixhd": Rates(2e-4, 2e-4, (0.5, 0.999)),
    "bicyclegan": Rates(2e-4, 2e-4, (0.5, 0.999), 0.01, l1_weight=10.0),
    "dscgan": Rates(2e-4, 2e-4, (0.5, 0.999), l1_weight=10.0),
}


class Objective(Protocol):
    """Losses of one system.

    Attributes:
        used: names of the fields of :class:`LossWeights` that count here.
    """

    used: tuple[str, ...]

    def make_discriminator(self, generator: torch.Generator) -> nn.Module:
        """The discriminator, or several in one module; ``generator`` draws the weights."""

    def noise_shape(self) -> tuple[int, ...]:
        """Shape of the noise that the generator takes for one picture."""

    def draw(self, model: nn.Module, batch: Batch, noise: Tensor) -> tuple[Tensor, ...]:
        """The pictures that :meth:`generator_losses` makes, without the losses."""

    def generator_losses(
        self, model: nn.Module, judge: nn.Module, batch: Batch, noise: Tensor, weights: LossWeights
    ) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """(weighted losses by name, their sum is what is minimised; the pictures made)."""

    def discriminator_losses(
        self, discriminator: nn.Module, fakes: tuple[Tensor, ...], batch: Batch
    ) -> dict[str, Tensor]:
        """Losses on pictures that the generator step made, and on the real ones."""

    def real_score(
        self, discriminator: Callable[..., Any], batch: Batch, *, as_trained: bool = True
    ) -> Tensor:
        """How real the discriminator finds the real pictures: the mean of its logits, a scalar; gradients flow.

        Args:
            discriminator: the module, or a function like it.
            as_trained: the pictures are augmented as those that it learns from; else they are as they are.
        """


def label_input(batch: Batch, config: SystemConfig) -> Tensor:
    """The discriminator's label input [B, C (+ 1), H, W]: one-hot labels, and the edge map with instances."""
    channels = one_hot(batch["label"], config.num_classes)
    if config.instance_edges:
        channels = torch.cat((channels, instance_edges(batch["instance"])), dim=1)
    return channels


def seen(condition: Tensor, pictures: Sequence[Tensor], augment: Augment | None) -> Tensor:
    """What a discriminator sees of several batches of pictures of the same label maps, in one batch."""
    together = torch.cat([torch.cat((condition, picture), dim=1) for picture in pictures])
    if augment is not None:
        together = augment(together, len(pictures))
    return together.contiguous(memory_format=torch.channels_last)


def halves(outputs: Features) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
    """The features of a batch's first and second half."""
    return (
        [[feature[: len(feature) // 2] for feature in scale] for scale in outputs],
        [[feature[len(feature) // 2 :] for feature in scale] for scale in outputs],
    )


def logits(outputs: Features) -> list[Tensor]:
    """The patch logits of each scale."""
    return [scale[-1] for scale in outputs]


def mean_logit(outputs: Features, weights: Tensor | None = None) -> Tensor:
    """The mean of the patch logits, over scales as in the adversarial losses; a scalar."""
    return -hinge_generator_loss(logits(outputs), weights)


class MultiScaleObjective:
    """Adversarial loss, feature matching, perceptual loss, and KL divergence where there is an encoder (Eq. 6).

    With the hinge loss it is that of GroupDNet, SPADE and all between; with least squares that of pix2pixHD.

    Args:
        least_squares: the adversarial loss.
        augment: changes label input and picture before the discriminator sees them.
        crops: cuts out what the perceptual loss sees; by default whole pictures.
        exchange: what else changes when a class's code is exchanged is a loss too; for models with codes of classes.
        free_nats: of the KL divergence, for each class.
        class_balance: of the losses on what the discriminator sees and of the distance to the picture, see
            :func:`groupdnet_hub.losses.class_weights`.
    """

    def __init__(
        self,
        config: SystemConfig,
        perceptual: PerceptualLoss | None,
        augment: Augment | None = None,
        crops: Crops | None = None,
        exchange: Exchange | None = None,
        *,
        free_nats: float = 0.0,
        class_balance: float = 0.0,
        least_squares: bool = False,
    ) -> None:
        self.config, self.perceptual, self.augment, self.crops = config, perceptual, augment, crops
        self.exchange, self.free_nats, self.class_balance = exchange, free_nats, class_balance
        self.used = (
            "adversarial",
            "feature_matching",
            "perceptual",
            *(() if least_squares else ("kl",)),
            "l1",
        )
        if exchange is not None:
            self.used += ("redraw",)
        self._generator_loss = least_squares_generator_loss if least_squares else hinge_generator_loss
        self._discriminator_loss = (
            least_squares_discriminator_loss if least_squares else hinge_discriminator_loss
        )

    def make_discriminator(self, generator: torch.Generator) -> nn.Module:
        """The multi-scale discriminator (Fig. 7)."""
        return MultiScaleDiscriminator(self.config, generator=generator)

    def noise_shape(self) -> tuple[int, ...]:
        """That of the codes."""
        return self.config.code_shape

    def draw(self, model: nn.Module, batch: Batch, noise: Tensor) -> tuple[Tensor, ...]:
        """The reconstructions."""
        fake, _ = model(batch["image"], batch["label"], batch.get("instance"), noise)
        return (fake,)

    def generator_losses(
        self, model: nn.Module, judge: nn.Module, batch: Batch, noise: Tensor, weights: LossWeights
    ) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """Reconstruct a batch and weigh the result; ``model`` is called as (image, label, instance, noise)."""
        # Unwrapped, where processes share the work: their wrapper counts gradients wherever parameters were used.
        network = getattr(model, "module", model)
        maps = batch["label"], batch.get("instance")
        # Two decodes on one scene.
        scene = (network.prepare(*maps),) if self.exchange is not None and weights.redraw else ()
        fake, posterior = model(batch["image"], *maps, noise, *scene)
        condition = label_input(batch, self.config)
        shown = seen(condition, (fake, batch["image"]), self.augment)
        fakes, reals = halves(judge(shown))
        places = self._place_weights(shown[: len(condition)])
        losses = {
            "adversarial": weights.adversarial * self._generator_loss(logits(fakes), places),
            "feature_matching": weights.feature_matching * feature_matching_loss(fakes, reals, places),
        }
        if weights.l1:
            losses["l1"] = weights.l1 * l1_loss(fake, batch["image"], self._place_weights(condition))
        if posterior is not None:
            losses["kl"] = weights.kl * kl_loss(posterior, self.free_nats)
        if self.perceptual is not None:
            pictures: Sequence[Tensor] = (fake, batch["image"])
            if self.crops is not None:
                pictures = self.crops(batch["label"], pictures)
            losses["perceptual"] = weights.perceptual * self.perceptual(*pictures)
        if self.exchange is not None:
            codes = posterior.with_noise(noise).detach()
            if scene:
                mixed, classes = self.exchange.redraw(codes, batch["label"])
                redrawn = network.decode(mixed, *scene)
                change = change_outside(fake, redrawn, batch["label"], classes)
                losses["redraw"] = weights.redraw * change
            self.exchange.remember(codes, batch["label"])
        return losses, (fake,)

    def discriminator_losses(
        self, discriminator: nn.Module, fakes: tuple[Tensor, ...], batch: Batch
    ) -> dict[str, Tensor]:
        """On the reconstructions and on the real pictures."""
        condition = label_input(batch, self.config)
        pictures = (fakes[0].detach(), batch["image"])
        shown = seen(condition, pictures, self.augment)
        on_fake, on_real = halves(discriminator(shown))
        places = self._place_weights(shown[: len(condition)])
        fake, real = self._discriminator_loss(logits(on_fake), logits(on_real), places)
        return {"discriminator_fake": fake, "discriminator_real": real}

    def real_score(
        self, discriminator: Callable[..., Any], batch: Batch, *, as_trained: bool = True
    ) -> Tensor:
        """Weighted by place as the losses are."""
        condition = label_input(batch, self.config)
        shown = seen(condition, (batch["image"],), self.augment if as_trained else None)
        return mean_logit(discriminator(shown), self._place_weights(shown))

    def _place_weights(self, shown: Tensor) -> Tensor | None:
        """How much each place counts, by the label input that ``shown`` begins with, moved and cut as that is."""
        if not self.class_balance:
            return None
        return class_weights(shown[:, : self.config.num_classes], self.class_balance)


def used_weights(objective: Objective, weights: LossWeights) -> dict[str, float]:
    """The weights that count, for the model card."""
    return {name: value for name in objective.used if (value := getattr(weights, name))}


def with_redraw_every(weights: LossWeights, step: int, interval: int) -> LossWeights:
    """The weights of an update, counted from 0, when the redraw loss is measured every ``interval``-th time only.

    It then counts ``interval`` times, so that its share in the sum over many updates stays what its weight says
    (lazy regularisation; Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020).
    """
    return replace(weights, redraw=0.0 if (step + 1) % interval else interval * weights.redraw)
