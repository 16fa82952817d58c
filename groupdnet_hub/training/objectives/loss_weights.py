"""The weights of the losses, how they change over a run, and the rates that each objective is trained with."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from torch import Tensor

from groupdnet_hub.training.schedules import kl_weight_at, risen_share


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
        """Names of the losses that count."""
        return frozenset(f.name for f in fields(self) if has_weight(getattr(self, f.name)))

    def numbers(self) -> list[float]:
        """All of them in order."""
        return [float(getattr(self, f.name)) for f in fields(self)]

    def on_device(self, numbers: Tensor) -> LossWeights:
        """Those that count as scalars of ``numbers``, which :meth:`numbers` were sent to; the others stay 0."""
        scalars = zip(fields(self), numbers.unbind(), strict=True)
        return LossWeights(
            **{f.name: value if has_weight(getattr(self, f.name)) else 0.0 for f, value in scalars}
        )


def has_weight(weight: float | Tensor) -> bool:
    """Whether a loss of this weight counts; one on the device does."""
    return isinstance(weight, Tensor) or weight != 0


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


def weights_at(args: argparse.Namespace, step: int) -> LossWeights:
    """The weights that the command line sets, at a step."""
    share = risen_share(step, args.discriminator_warmup_steps, args.adversarial_warmup_steps)
    return LossWeights(
        adversarial=args.adversarial_weight * share,
        feature_matching=args.feature_matching_weight * share,
        perceptual=args.perceptual_weight,
        kl=kl_weight_at(step, args.kl_weight_start, args.kl_weight, args.kl_warmup_steps),
        l1=args.l1_weight,
        latent=args.latent_weight,
        diversity=args.diversity_weight,
        redraw=args.redraw_weight,
    )


def with_redraw_every(weights: LossWeights, step: int, interval: int) -> LossWeights:
    """The weights of an update, counted from 0, when the redraw loss is measured every ``interval``-th time only.

    It then counts ``interval`` times, so that its share in the sum over many updates stays what its weight says
    (lazy regularisation; Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020).
    """
    return replace(weights, redraw=0.0 if (step + 1) % interval else interval * weights.redraw)
