"""What each system is trained to do: its discriminator and its losses.

The trainer makes one generator step and one discriminator step a batch, whatever the objective.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from class_exchange import ClassExchange, change_outside, exchanged
from loss_weights import LossWeights
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
    picture_means,
)
from groupdnet_hub.baselines import SystemConfig

Batch = Mapping[str, Tensor]
# Label input and picture [copies * B, channels, H, W], and copies -> the same, all copies augmented alike.
Augment = Callable[[Tensor, int], Tensor]
# Label map [B, H, W] and pictures [B, 3, H, W] -> windows of the pictures.
Crops = Callable[[Tensor, Sequence[Tensor]], Sequence[Tensor]]
# For each scale of a discriminator its features, the logits last.
Features = Sequence[Sequence[Tensor]]


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

    def generator_losses(
        self, model: nn.Module, judge: nn.Module, batch: Batch, noise: Tensor, weights: LossWeights
    ) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """(weighted losses by name, their sum is what is minimised; the pictures made)."""

    def discriminator_losses(
        self, discriminator: nn.Module, fakes: tuple[Tensor, ...], batch: Batch
    ) -> dict[str, Tensor]:
        """Losses on pictures that the generator step made, and on the real ones."""

    def real_scores(self, discriminator: nn.Module, batch: Batch, augment: Augment | None = None) -> Tensor:
        """How real the discriminator finds each of a batch's own pictures: [B], higher is more real.

        Gradients flow to the picture where it requires them, for a penalty on them; and the mean over training
        pictures stands above that over others as soon as the discriminator knows its pictures by heart.

        Args:
            augment: changes label input and picture first; by default they stay as they are.
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


def mean_logits(outputs: Features, weights: Tensor | None = None) -> Tensor:
    """The mean of each picture's logits over places and scales, [B].

    Args:
        weights: how much each pixel [B, 1, H, W] counts, of mean 1.
    """
    return torch.stack([picture_means(found, weights) for found in logits(outputs)]).mean(dim=0)


class ReconstructionObjective(ABC):
    """What GroupDNet's losses are whatever the discriminator: pictures are encoded and drawn again (Eq. 6).

    The perceptual loss, the KL divergence where there is an encoder, and on request the distance to the picture and
    the loss on exchanged codes. A subclass adds what its discriminator says.

    Args:
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
        exchange: ClassExchange | None = None,
        *,
        free_nats: float = 0.0,
        class_balance: float = 0.0,
    ) -> None:
        self.config, self.perceptual, self.augment, self.crops = config, perceptual, augment, crops
        self.exchange, self.free_nats, self.class_balance = exchange, free_nats, class_balance
        self.used: tuple[str, ...] = ("adversarial", "feature_matching", "perceptual", "kl", "l1")
        if exchange is not None:
            self.used += ("redraw",)

    @abstractmethod
    def make_discriminator(self, generator: torch.Generator) -> nn.Module:
        """The discriminator; ``generator`` draws the weights."""

    @abstractmethod
    def generator_terms(
        self, judge: nn.Module, condition: Tensor, fake: Tensor, real: Tensor, weights: LossWeights
    ) -> dict[str, Tensor]:
        """Weighted losses by name that the discriminator has a part in.

        Args:
            condition: label input [B, C (+ 1), H, W] of any size; a pixel of a window may be of several classes.
            fake, real: pictures [B, 3, H, W] of these label maps.
        """

    @abstractmethod
    def discriminator_terms(
        self, discriminator: nn.Module, condition: Tensor, fake: Tensor, real: Tensor
    ) -> dict[str, Tensor]:
        """Losses of the discriminator by name; the pictures are those of :meth:`generator_terms`, detached."""

    @abstractmethod
    def real_scores(self, discriminator: nn.Module, batch: Batch, augment: Augment | None = None) -> Tensor:
        """As :meth:`Objective.real_scores`."""

    def noise_shape(self) -> tuple[int, ...]:
        """That of the codes."""
        return self.config.code_shape

    def generator_losses(
        self, model: nn.Module, judge: nn.Module, batch: Batch, noise: Tensor, weights: LossWeights
    ) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """Reconstruct a batch and weigh the result; ``model`` is called as (image, label, instance, noise)."""
        # Unwrapped, where processes share the work: their wrapper counts gradients wherever parameters were used.
        network = getattr(model, "module", model)
        maps = batch["label"], batch.get("instance")
        # Two decodes on one scene.
        scene = () if self.exchange is None else (network.prepare(*maps),)
        fake, posterior = model(batch["image"], *maps, noise, *scene)
        condition = label_input(batch, self.config)
        losses = self.generator_terms(judge, condition, fake, batch["image"], weights)
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
            classes = self.exchange.choose(batch["label"])
            codes = posterior.with_noise(noise).detach()
            redrawn = network.decode(exchanged(codes, classes), *scene)
            change = change_outside(fake, redrawn, batch["label"], classes)
            losses["redraw"] = weights.redraw * change
        return losses, (fake,)

    def discriminator_losses(
        self, discriminator: nn.Module, fakes: tuple[Tensor, ...], batch: Batch
    ) -> dict[str, Tensor]:
        """On the reconstructions and on the real pictures."""
        condition = label_input(batch, self.config)
        return self.discriminator_terms(discriminator, condition, fakes[0].detach(), batch["image"])

    def _place_weights(self, shown: Tensor) -> Tensor | None:
        """How much each place counts, by the label input that ``shown`` begins with, moved and cut as that is."""
        if not self.class_balance:
            return None
        return class_weights(shown[:, : self.config.num_classes], self.class_balance)


class MultiScaleObjective(ReconstructionObjective):
    """Adversarial loss and feature matching of the multi-scale discriminator.

    With the hinge loss it is that of GroupDNet, SPADE and all between; with least squares that of pix2pixHD.

    Args:
        least_squares: the adversarial loss.
    """

    def __init__(
        self,
        config: SystemConfig,
        perceptual: PerceptualLoss | None,
        augment: Augment | None = None,
        crops: Crops | None = None,
        exchange: ClassExchange | None = None,
        *,
        free_nats: float = 0.0,
        class_balance: float = 0.0,
        least_squares: bool = False,
    ) -> None:
        super().__init__(
            config, perceptual, augment, crops, exchange, free_nats=free_nats, class_balance=class_balance
        )
        if least_squares:
            self.used = tuple(name for name in self.used if name != "kl")
        self._generator_loss = least_squares_generator_loss if least_squares else hinge_generator_loss
        self._discriminator_loss = (
            least_squares_discriminator_loss if least_squares else hinge_discriminator_loss
        )

    def make_discriminator(self, generator: torch.Generator) -> nn.Module:
        """The multi-scale discriminator (Fig. 7)."""
        return MultiScaleDiscriminator(self.config, generator=generator)

    def generator_terms(
        self, judge: nn.Module, condition: Tensor, fake: Tensor, real: Tensor, weights: LossWeights
    ) -> dict[str, Tensor]:
        """The adversarial loss and feature matching."""
        shown = seen(condition, (fake, real), self.augment)
        fakes, reals = halves(judge(shown))
        places = self._place_weights(shown[: len(condition)])
        return {
            "adversarial": weights.adversarial * self._generator_loss(logits(fakes), places),
            "feature_matching": weights.feature_matching * feature_matching_loss(fakes, reals, places),
        }

    def discriminator_terms(
        self, discriminator: nn.Module, condition: Tensor, fake: Tensor, real: Tensor
    ) -> dict[str, Tensor]:
        """On generated and on real pictures."""
        shown = seen(condition, (fake, real), self.augment)
        on_fake, on_real = halves(discriminator(shown))
        places = self._place_weights(shown[: len(condition)])
        of_fake, of_real = self._discriminator_loss(logits(on_fake), logits(on_real), places)
        return {"discriminator_fake": of_fake, "discriminator_real": of_real}

    def real_scores(self, discriminator: nn.Module, batch: Batch, augment: Augment | None = None) -> Tensor:
        """The mean logit, over places and scales."""
        shown = seen(label_input(batch, self.config), (batch["image"],), augment)
        return mean_logits(discriminator(shown), self._place_weights(shown))
