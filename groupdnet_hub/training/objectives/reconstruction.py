"""The losses of GroupDNet with any discriminator: a picture is encoded and drawn again (section 3.5, Eq. 6)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from groupdnet_hub.baselines import SystemConfig
from groupdnet_hub.data.unknown import grey_unknown, mark_unknown
from groupdnet_hub.models.fast.prepared_map import PreparedMap
from groupdnet_hub.training.objectives.discriminator_inputs import (
    Batch,
    Change,
    Discriminator,
    label_input,
    place_weights,
)
from groupdnet_hub.training.objectives.loss_weights import LossWeights, has_weight
from groupdnet_hub.training.objectives.losses import kl_loss, l1_loss
from groupdnet_hub.training.objectives.objective import ObjectiveParts
from groupdnet_hub.training.objectives.redraw_loss import change_outside
from groupdnet_hub.training.objectives.redraw_window import change_in_window


class ReconstructionObjective(ABC):
    """The perceptual loss, the KL divergence where there is an encoder, and what a subclass's discriminator adds.

    On request the distance to the picture and the loss on exchanged codes as well.

    Args:
        config: configuration of the system.
        parts: what the losses are made with.
    """

    def __init__(self, config: SystemConfig, parts: ObjectiveParts | None = None) -> None:
        self.config, self.parts = config, parts or ObjectiveParts()
        self.used: tuple[str, ...] = ("adversarial", "feature_matching", "perceptual", "kl", "l1")
        if self.parts.exchange is not None:
            self.used += ("redraw",)

    @abstractmethod
    def make_discriminator(self, generator: torch.Generator) -> nn.Module:
        """Return the discriminator; ``generator`` draws the weights."""

    @abstractmethod
    def generator_terms(
        self,
        frozen_discriminator: nn.Module,
        condition: Tensor,
        fake: Tensor,
        real: Tensor,
        weights: LossWeights,
    ) -> dict[str, Tensor]:
        """Return the weighted losses by name that the discriminator has a part in.

        Args:
            frozen_discriminator: the discriminator, whose parameters want no gradients.
            condition: label input [B, C (+ 1), H, W], of entire pictures or of windows.
            fake: generated pictures [B, 3, H, W] of these label maps.
            real: the data's pictures of the same.
            weights: weights of the losses.
        """

    @abstractmethod
    def discriminator_terms(
        self, discriminator: nn.Module, condition: Tensor, fake: Tensor, real: Tensor
    ) -> dict[str, Tensor]:
        """Return the discriminator's losses by name; arguments as of :meth:`generator_terms`, ``fake`` detached."""

    @abstractmethod
    def real_scores(
        self, discriminator: Discriminator, batch: Batch, augment: Change | None = None
    ) -> Tensor:
        """Return how real a batch's own pictures seem, see :meth:`.objective.Objective.real_scores`."""

    def noise_shape(self) -> tuple[int, ...]:
        """Return the shape of one picture's codes."""
        return self.config.code_shape

    def draw(self, model: nn.Module, batch: Batch, noise: Tensor) -> tuple[Tensor, ...]:
        """Return the reconstructions, grey at unknown pixels."""
        fake, _ = model(batch["image"], batch["label"], batch.get("instance"), noise)
        return (grey_unknown(fake, batch.get("unknown")),)

    def generator_losses(
        self,
        model: nn.Module,
        frozen_discriminator: nn.Module,
        batch: Batch,
        noise: Tensor,
        weights: LossWeights,
    ) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """Reconstruct a batch and weigh the result; ``model`` is called as (image, label, instance, noise)."""
        parts = self.parts
        # Unwrapped, where processes share the work: their wrapper counts gradients wherever parameters were used.
        network: Any = getattr(model, "module", model)
        maps = batch["label"], batch.get("instance")
        # Two decodes on one prepared map.
        redraws = parts.exchange is not None and has_weight(weights.redraw)
        prepared = (network.prepare(*maps),) if redraws else ()
        if prepared and parts.redraw_windows is not None:
            prepared = (prepared[0].with_statistics(parts.redraw_windows.first_block),)
        fake, posterior = model(batch["image"], *maps, noise, *prepared)
        fake = grey_unknown(fake, batch.get("unknown"))
        known = mark_unknown(batch["label"], batch.get("unknown"))
        condition = label_input(batch, self.config)
        losses = mean_losses(
            [
                self.generator_terms(frozen_discriminator, *view, weights)
                for view in self._views(batch, condition, fake)
            ]
        )
        if has_weight(weights.l1):
            losses["l1"] = weights.l1 * l1_loss(fake, batch["image"], self._place_weights(condition))
        if posterior is not None:
            losses["kl"] = weights.kl * kl_loss(posterior, parts.free_nats)
        if parts.perceptual is not None:
            pictures: Sequence[Tensor] = (fake, batch["image"])
            if parts.crops is not None:
                pictures = parts.crops(known, pictures)
            losses["perceptual"] = weights.perceptual * parts.perceptual(*pictures)
        if parts.exchange is not None:
            codes = posterior.with_noise(noise).detach()
            if prepared:
                mixed, classes = parts.exchange.redraw(codes, known)
                change = self._change(network, mixed, prepared[0], fake, known, classes)
                losses["redraw"] = weights.redraw * change
            parts.exchange.remember(codes, known)
        return losses, (fake,)

    def _change(
        self,
        network: Any,
        mixed: Tensor,
        prepared: PreparedMap,
        fake: Tensor,
        label: Tensor,
        classes: Tensor,
    ) -> Tensor:
        """Return how much pictures change outside of ``classes`` when drawn with ``mixed`` codes, a scalar.

        Unknown pixels, which ``label`` marks, count as little as those of the classes.
        """
        windows = self.parts.redraw_windows
        if windows is None:
            return change_outside(fake, network.decode(mixed, prepared), label, classes)
        window = windows.draw(label, classes)
        return change_in_window(fake, network.decode(mixed, prepared.at(window)), label, classes, window)

    def discriminator_losses(
        self, discriminator: nn.Module, fakes: tuple[Tensor, ...], batch: Batch
    ) -> dict[str, Tensor]:
        """Return the losses on the reconstructions and on the real pictures."""
        condition = label_input(batch, self.config)
        views = self._views(batch, condition, fakes[0].detach())
        return mean_losses([self.discriminator_terms(discriminator, *view) for view in views])

    def _views(
        self, batch: Batch, condition: Tensor, fake: Tensor
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield what the discriminator is shown one after the other: label input, generated and real pictures."""
        yield condition, fake, batch["image"]
        if self.parts.windows is not None:
            drawn = self.parts.windows.draw(mark_unknown(batch["label"], batch.get("unknown")))
            window = drawn.batch(batch)
            yield label_input(window, self.config), drawn.pictures([fake])[0], window["image"]

    def _place_weights(self, shown: Tensor) -> Tensor | None:
        """Return how much each pixel counts, by the label input that ``shown`` begins with, moved and cut alike."""
        return place_weights(shown, self.config, self.parts.class_balance)


def mean_losses(views: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the mean of each loss over what a discriminator was shown one after the other.

    Args:
        views: the losses of each view, all of the same names.
    """
    if len(views) == 1:
        return dict(views[0])
    return {name: torch.stack([view[name] for view in views]).mean() for name in views[0]}
