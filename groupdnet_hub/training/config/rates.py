"""Learning rates and weights that each objective is trained with where the command line says nothing."""

from __future__ import annotations

from dataclasses import dataclass


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
LABELMIX_WEIGHT = 10.0
# Fraction of the steps after which the rates fall, by scheduler; 60 of 100 epochs are the paper's (section 4.1).
DECAY_START = {"constant": 1.0, "linear": 0.6, "cosine": 0.0}
