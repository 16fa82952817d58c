"""What each system is trained to do: its discriminator and its losses.

The trainer makes one generator step and one discriminator step a batch, whatever the objective.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from groupdnet_hub.baselines import SystemConfig
from groupdnet_hub.models.discriminator import MultiScaleDiscriminator
from groupdnet_hub.models.fast.prepared_map import PreparedMap
from groupdnet_hub.training.augment.class_crops import ClassCrops
from groupdnet_hub.training.objectives.discriminator_io import (
    LEAST_SQUARES_MIDDLE,
    Augment,
    Batch,
    Change,
    halves,
    judged,
    label_input,
    logits,
    mean_logits,
    mean_losses,
    observe,
    seen,
)
from groupdnet_hub.training.objectives.loss_weights import LossWeights, has_weight
from groupdnet_hub.training.objectives.losses import (
    PerceptualLoss,
    class_weights,
    feature_matching_loss,
    hinge_discriminator_loss,
    hinge_generator_loss,
    kl_loss,
    l1_loss,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
)
from groupdnet_hub.training.objectives.redraw_loss import Exchange, change_outside
from groupdnet_hub.training.objectives.redraw_window import RedrawWindows, change_in_window

# Label map [B, H, W] and pictures [B, 3, H, W] -> windows of the pictures.
Crops = Callable[[Tensor, Sequence[Tensor]], Sequence[Tensor]]


class Objective(Protocol):
    """Losses of one system.

    Attributes:
        used: names of the fields of :class:`LossWeights` that count here.
        augment: changes what the discriminator sees in training.
        windows: cuts out what the discriminator sees in training beside the whole pictures.
        judged_together: the generator's step shows the discriminator generated and real pictures in one batch.
    """

    used: tuple[str, ...]
    augment: Augment | None
    windows: ClassCrops | None
    judged_together: bool

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

    def real_scores(
        self, discriminator: Callable[..., Any], batch: Batch, augment: Change | None = None
    ) -> Tensor:
        """How real the discriminator finds each of a batch's own pictures: [B], higher is more real.

        Gradients flow to the picture where it requires them, for a penalty on them; and the mean over training
        pictures stands above that over others as soon as the discriminator knows its pictures by heart.

        Args:
            discriminator: the module, or a function like it.
            augment: changes label input and picture first; by default they stay as they are.
        """


class ReconstructionObjective(ABC):
    """What GroupDNet's losses are whatever the discriminator: pictures are encoded and drawn again (Eq. 6).

    The perceptual loss, the KL divergence where there is an encoder, and on request the distance to the picture and
    the loss on exchanged codes. A subclass adds what its discriminator says.

    Args:
        augment: changes label input and picture before the discriminator sees them.
        crops: cuts out what the perceptual loss sees; by default whole pictures.
        windows: cuts out what the discriminator sees as well: its losses are the means of those on whole pictures and
            those on windows of them and of their label maps.
        exchange: what else changes when a class's code is exchanged is a loss too; for models with codes of classes.
        redraw_windows: of each picture, a window is drawn with the exchanged code; by default the whole picture.
        free_nats: of the KL divergence, for each class.
        class_balance: of the losses on what the discriminator sees and of the distance to the picture, see
            :func:`groupdnet_hub.training.objectives.losses.class_weights`.
    """

    def __init__(
        self,
        config: SystemConfig,
        perceptual: PerceptualLoss | None,
        augment: Augment | None = None,
        crops: Crops | None = None,
        exchange: Exchange | None = None,
        *,
        windows: ClassCrops | None = None,
        redraw_windows: RedrawWindows | None = None,
        free_nats: float = 0.0,
        class_balance: float = 0.0,
    ) -> None:
        self.windows, self.redraw_windows, self.judged_together = windows, redraw_windows, False
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
            condition: label input [B, C (+ 1), H, W], of whole pictures or of windows.
            fake, real: pictures [B, 3, H, W] of these label maps.
        """

    @abstractmethod
    def discriminator_terms(
        self, discriminator: nn.Module, condition: Tensor, fake: Tensor, real: Tensor
    ) -> dict[str, Tensor]:
        """Losses of the discriminator by name; the pictures are those of :meth:`generator_terms`, detached."""

    @abstractmethod
    def real_scores(
        self, discriminator: Callable[..., Any], batch: Batch, augment: Change | None = None
    ) -> Tensor:
        """As :meth:`Objective.real_scores`."""

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
        scene = (network.prepare(*maps),) if self.exchange is not None and has_weight(weights.redraw) else ()
        if scene and self.redraw_windows is not None:
            scene = (scene[0].with_statistics(self.redraw_windows.first_block),)
        fake, posterior = model(batch["image"], *maps, noise, *scene)
        condition = label_input(batch, self.config)
        losses = mean_losses(
            [self.generator_terms(judge, *view, weights) for view in self._views(batch, condition, fake)]
        )
        if has_weight(weights.l1):
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
                losses["redraw"] = weights.redraw * self._change(
                    network, mixed, scene[0], fake, batch["label"], classes
                )
            self.exchange.remember(codes, batch["label"])
        return losses, (fake,)

    def _change(
        self,
        network: nn.Module,
        mixed: Tensor,
        scene: PreparedMap,
        fake: Tensor,
        label: Tensor,
        classes: Tensor,
    ) -> Tensor:
        """How much pictures change outside of ``classes`` when they are drawn with ``mixed`` codes, a scalar."""
        if self.redraw_windows is None:
            return change_outside(fake, network.decode(mixed, scene), label, classes)
        window = self.redraw_windows.draw(label, classes)
        return change_in_window(fake, network.decode(mixed, scene.at(window)), label, classes, window)

    def discriminator_losses(
        self, discriminator: nn.Module, fakes: tuple[Tensor, ...], batch: Batch
    ) -> dict[str, Tensor]:
        """On the reconstructions and on the real pictures."""
        condition = label_input(batch, self.config)
        views = self._views(batch, condition, fakes[0].detach())
        return mean_losses([self.discriminator_terms(discriminator, *view) for view in views])

    def _views(
        self, batch: Batch, condition: Tensor, fake: Tensor
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """What the discriminator is shown one after the other: label input, generated and real pictures."""
        yield condition, fake, batch["image"]
        if self.windows is not None:
            drawn = self.windows.draw(batch["label"])
            window = drawn.batch(batch)
            yield label_input(window, self.config), drawn.pictures([fake])[0], window["image"]

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
        exchange: Exchange | None = None,
        *,
        windows: ClassCrops | None = None,
        redraw_windows: RedrawWindows | None = None,
        free_nats: float = 0.0,
        class_balance: float = 0.0,
        least_squares: bool = False,
    ) -> None:
        super().__init__(
            config,
            perceptual,
            augment,
            crops,
            exchange,
            windows=windows,
            redraw_windows=redraw_windows,
            free_nats=free_nats,
            class_balance=class_balance,
        )
        if least_squares:
            self.used = tuple(name for name in self.used if name != "kl")
        self._middle = LEAST_SQUARES_MIDDLE if least_squares else 0.0
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
        fakes, reals, shown = judged(
            judge, condition, fake, real, self.augment, together=self.judged_together
        )
        places = self._place_weights(shown)
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
        observe(self.augment, on_real, self._middle)
        places = self._place_weights(shown[: len(condition)])
        of_fake, of_real = self._discriminator_loss(logits(on_fake), logits(on_real), places)
        return {"discriminator_fake": of_fake, "discriminator_real": of_real}

    def real_scores(
        self, discriminator: Callable[..., Any], batch: Batch, augment: Change | None = None
    ) -> Tensor:
        """The mean logit, over places and scales."""
        shown = seen(label_input(batch, self.config), (batch["image"],), augment)
        return mean_logits(discriminator(shown), self._place_weights(shown))
