"""The weights of the losses, and how they change over a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from torch import Tensor

from groupdnet_hub.training.config import ResolvedTrainConfig
from groupdnet_hub.training.schedules import kl_weight_at, risen_fraction


@dataclass(frozen=True)
class LossWeights:
    """Weights of the generator's losses; an objective uses those it has. The KL weight is per picture.

    Each is a number, or a scalar on the device where a step is recorded: then it can change while the step stays.

    The first four are those of Eq. 6. ``l1`` is the distance to the picture, ``latent`` BicycleGAN's to the random
    code, ``diversity`` is DSCGAN's; ``redraw`` is that of :mod:`groupdnet_hub.training.objectives.redraw_loss`.
    """

    adversarial: float | Tensor = 1.0
    feature_matching: float | Tensor = 10.0
    perceptual: float | Tensor = 10.0
    kl: float | Tensor = 0.4
    l1: float | Tensor = 0.0
    latent: float | Tensor = 0.5
    diversity: float | Tensor = 8.0
    redraw: float | Tensor = 0.0

    def weighted(self) -> frozenset[str]:
        """Return the names of the losses that count."""
        return frozenset(f.name for f in fields(self) if has_weight(getattr(self, f.name)))

    def numbers(self) -> list[float]:
        """Return all of them in order."""
        return [float(getattr(self, f.name)) for f in fields(self)]

    def on_device(self, numbers: Tensor) -> LossWeights:
        """Return those that count as scalars of ``numbers``, which :meth:`numbers` were sent to; the others stay 0."""
        scalars = zip(fields(self), numbers.unbind(), strict=True)
        return LossWeights(
            **{f.name: value if has_weight(getattr(self, f.name)) else 0.0 for f, value in scalars}
        )


def has_weight(weight: float | Tensor) -> bool:
    """Return whether a loss of this weight counts; one on the device does."""
    return isinstance(weight, Tensor) or weight != 0


def used_weights(names: Iterable[str], weights: LossWeights) -> dict[str, float]:
    """Return the weights of these names that are not 0, for the model card."""
    return {name: value for name in names if (value := getattr(weights, name))}


def weights_at(settings: ResolvedTrainConfig, step: int) -> LossWeights:
    """Return the weights that the settings have at a step."""
    risen = risen_fraction(step, settings.discriminator_warmup_steps, settings.adversarial_warmup_steps)
    return LossWeights(
        adversarial=settings.adversarial_weight * risen,
        feature_matching=settings.feature_matching_weight * risen,
        perceptual=settings.perceptual_weight,
        kl=kl_weight_at(step, settings.kl_weight_start, settings.kl_weight, settings.kl_warmup_steps),
        l1=settings.l1_weight,
        latent=settings.latent_weight,
        diversity=settings.diversity_weight,
        redraw=settings.redraw_weight,
    )


def with_redraw_every(weights: LossWeights, step: int, interval: int) -> LossWeights:
    """Return an update's weights, counted from 0, when the redraw loss is measured only every ``interval``-th time.

    It then counts ``interval`` times, so that its part of the sum over many updates stays what its weight says
    (lazy regularisation; Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020).
    """
    return replace(weights, redraw=0.0 if (step + 1) % interval else interval * weights.redraw)
