"""The weights of the losses, and the rates that each objective is trained with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


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
        feature_matching_weight: weight of feature matching, where there is any.
    """

    generator: float
    discriminator: float
    betas: tuple[float, float]
    kl_weight: float = 0.0
    l1_weight: float = 0.0
    feature_matching_weight: float = 10.0


# Section 4.1, and the papers of the others. That of the per-pixel discriminator matches no features.
RATES = {
    "hinge": Rates(1e-4, 4e-4, (0.0, 0.9), 0.4),
    "segmentation": Rates(1e-4, 4e-4, (0.0, 0.9), 0.4, feature_matching_weight=0.0),
    "pix2pixhd": Rates(2e-4, 2e-4, (0.5, 0.999)),
    "bicyclegan": Rates(2e-4, 2e-4, (0.5, 0.999), 0.01, l1_weight=10.0),
    "dscgan": Rates(2e-4, 2e-4, (0.5, 0.999), l1_weight=10.0),
}


def used_weights(names: Iterable[str], weights: LossWeights) -> dict[str, float]:
    """The weights of these names that are not 0, for the model card."""
    return {name: value for name in names if (value := getattr(weights, name))}


def with_kl(weights: LossWeights, kl: float) -> LossWeights:
    """The same weights with another one of the KL divergence."""
    return replace(weights, kl=kl)
