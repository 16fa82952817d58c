"""The training losses (section 3.5, Eq. 6): pure functions of network outputs, and the perceptual distance."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.metrics.imagenet_trunks import imagenet_trunk
from groupdnet_hub.models.encoder import Gaussian
from groupdnet_hub.training.objectives.feature_distance import sum_of_distances

# Activations relu1_1 ... relu5_1 as positions in torchvision's ``features``, and their weights.
PERCEPTUAL_LAYERS = {"vgg19": (1, 6, 11, 20, 29), "vgg16": (1, 6, 11, 18, 25)}
PERCEPTUAL_WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)


def hinge_discriminator_loss(
    fake: Sequence[Tensor], real: Sequence[Tensor], weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the hinge loss of the discriminator, mean over scales: (on generated, on real pictures).

    Args:
        fake: patch logits [B, 1, h, w] of each scale, on generated pictures.
        real: the same on real pictures.
        weights: how much each pixel [B, 1, H, W] of the pictures counts, see :func:`class_weights`.
    """
    on_fake = torch.stack([_mean(F.relu(1 + logits.float()), weights) for logits in fake]).mean()
    on_real = torch.stack([_mean(F.relu(1 - logits.float()), weights) for logits in real]).mean()
    return on_fake, on_real


def hinge_generator_loss(fake: Sequence[Tensor], weights: Tensor | None = None) -> Tensor:
    """Return the hinge loss of the generator: minus the mean of its pictures' logits, mean over scales.

    Args:
        fake: as in :func:`hinge_discriminator_loss`.
        weights: as in :func:`hinge_discriminator_loss`.
    """
    return torch.stack([-_mean(logits.float(), weights) for logits in fake]).mean()


def least_squares_discriminator_loss(
    fake: Sequence[Tensor], real: Sequence[Tensor], weights: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return the least-squares loss of the discriminator (LSGAN), mean over scales: (on generated, on real).

    Args:
        fake: as in :func:`hinge_discriminator_loss`; the goal is 0.
        real: as in :func:`hinge_discriminator_loss`; the goal is 1.
        weights: as in :func:`hinge_discriminator_loss`.
    """
    on_fake = torch.stack([_mean(logits.float().square(), weights) for logits in fake]).mean()
    on_real = torch.stack([_mean((logits.float() - 1).square(), weights) for logits in real]).mean()
    return on_fake, on_real


def least_squares_generator_loss(fake: Sequence[Tensor], weights: Tensor | None = None) -> Tensor:
    """Return the least-squares loss of the generator (LSGAN), mean over scales: its logits should be 1.

    Args:
        fake: as in :func:`hinge_discriminator_loss`.
        weights: as in :func:`hinge_discriminator_loss`.
    """
    return torch.stack([_mean((logits.float() - 1).square(), weights) for logits in fake]).mean()


def feature_matching_loss(
    fake: Sequence[Sequence[Tensor]], real: Sequence[Sequence[Tensor]], weights: Tensor | None = None
) -> Tensor:
    """Return the L1 distance of the discriminator's hidden features, summed over layers, mean over scales.

    Args:
        fake: for each scale the features of generated pictures, the logits last (these are left out).
        real: the same of real pictures; no gradient flows to them.
        weights: as in :func:`hinge_discriminator_loss`.
    """
    found, wanted = ([feature for scale in side for feature in scale[:-1]] for side in (fake, real))
    return sum_of_distances(found, wanted, [1 / len(fake)] * len(found), weights)


def l1_loss(fake: Tensor, real: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean absolute difference of two batches [B, channels, h, w]; on pictures, not in the paper.

    Args:
        fake: generated pictures.
        real: pictures of the data.
        weights: as in :func:`hinge_discriminator_loss`.
    """
    return _mean((fake.float() - real.float()).abs(), weights)


def class_weights(one_hot: Tensor, balance: float) -> Tensor:
    """Return how much each pixel of a label map counts in a loss that is to see small classes too: not in the paper.

    A pixel counts by its class's fraction of the picture to the power of ``-balance``. The discriminator's losses are
    means over places, most of which show background; class-balanced losses are after Sushko et al., "You Only Need
    Adversarial Supervision for Semantic Image Synthesis" (ICLR 2021).

    Args:
        one_hot: label maps [B, C, H, W]; a pixel of no class does not count.
        balance: from 0, every pixel counts alike, to 1, every class counts alike.

    Returns:
        [B, 1, H, W], of mean 1 for each picture that shows any class.
    """
    maps = one_hot.float()
    counts = maps.sum(dim=(2, 3), keepdim=True)
    weights = (maps * counts.clamp(min=1).pow(-balance)).sum(dim=1, keepdim=True)
    return weights / weights.mean(dim=(2, 3), keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)


def picture_means(values: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean [B] of each picture's values [B, channels, h, w].

    Args:
        values: of any size; h and w may be smaller than the pictures'.
        weights: as in :func:`hinge_discriminator_loss`.
    """
    values = values.float()
    if weights is not None:
        values = values * F.adaptive_avg_pool2d(weights, (values.shape[2], values.shape[3]))
    return values.mean(dim=(1, 2, 3))


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean of values [B, channels, h, w], weighted by what the pixels behind each place count."""
    if weights is None:
        return values.mean()
    return (values * F.adaptive_avg_pool2d(weights, (values.shape[2], values.shape[3]))).mean()


def kl_loss(posterior: Gaussian, free_nats: float = 0.0) -> Tensor:
    """Return the KL divergence of the codes from N(0, 1) in nats: sum over a picture's codes, mean over the batch.

    The authors' code sums over the batch of one process: their weight 0.05 at its 8 pictures is 0.4 here, and the
    result does not depend on how many processes share a batch.

    Args:
        posterior: of the codes of a batch.
        free_nats: what the codes of one class may hold on average at no cost (the free bits of Kingma et al.,
            "Improving Variational Inference with Inverse Autoregressive Flow", NeurIPS 2016), so that the codes of
            small classes are not pressed into saying nothing.
    """
    return posterior.kl().mean(dim=0).clamp(min=free_nats).sum()


class PerceptualLoss(nn.Module):
    """Weighted L1 distance of ImageNet features relu1_1 ... relu5_1 of two batches of pictures.

    Args:
        net: ``vgg19`` (the paper's) or ``vgg16``.
        weights: a safetensors file with torchvision's key names (``features.N.weight``); by default torchvision
            downloads its own. A result should say which net it was trained with.
        normalise: shift and scale pictures as the features were trained; the authors' code does not.

    Raises:
        ValueError: for an unknown net, or weights that do not fit it.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, net: str = "vgg19", weights: str | os.PathLike[str] | None = None, *, normalise: bool = False
    ) -> None:
        super().__init__()
        if net not in PERCEPTUAL_LAYERS:
            raise ValueError(
                f"perceptual net {net!r} is not known; there are {', '.join(sorted(PERCEPTUAL_LAYERS))}"
            )
        layers = PERCEPTUAL_LAYERS[net]
        self.trunk = imagenet_trunk(net, layers[-1] + 1, weights, flag="--perceptual_weights")
        self.layers = layers
        self.normalise = normalise
        self.register_buffer("mean", torch.tensor((0.485, 0.456, 0.406)).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor((0.229, 0.224, 0.225)).view(1, 3, 1, 1), persistent=False)

    def features(self, image: Tensor) -> list[Tensor]:
        """Return the five activations of pictures [B, 3, H, W] in [-1, 1]."""
        x = ((image + 1) / 2 - self.mean) / self.std if self.normalise else image
        x = x.to(next(self.trunk.parameters()).dtype)
        found = []
        for i, module in enumerate(self.trunk):
            x = module(x)
            if i in self.layers:
                found.append(x)
        return found

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        """Return the distance of two batches [B, 3, H, W] in [-1, 1]; no gradient flows into ``target``."""
        with torch.no_grad():
            wanted = self.features(target)
        return sum_of_distances(self.features(image), wanted, PERCEPTUAL_WEIGHTS)
