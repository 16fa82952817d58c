"""One update of the generator (encoder and decoder) and one of the discriminator (section 3.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from groupdnet_hub import (
    Gaussian,
    PerceptualLoss,
    feature_matching_loss,
    hinge_discriminator_loss,
    hinge_generator_loss,
    instance_edges,
    kl_loss,
    one_hot,
)

# Label input and picture [B, channels, H, W] -> the same, augmented.
Augment = Callable[[Tensor], Tensor]


# Adam's moments (section 4.1).
_BETAS = (0.0, 0.9)


@dataclass(frozen=True)
class LossWeights:
    """Weights of the generator's losses (Eq. 6); the KL weight is per picture."""

    adversarial: float = 1.0
    feature_matching: float = 10.0
    perceptual: float = 10.0
    kl: float = 0.4


def discriminator_condition(batch: Mapping[str, Tensor], num_classes: int, with_edges: bool) -> Tensor:
    """The discriminator's label input [B, C (+ 1), H, W]: one-hot labels, and the edge map with instances."""
    condition = one_hot(batch["label"], num_classes)
    if with_edges:
        condition = torch.cat((condition, instance_edges(batch["instance"])), dim=1)
    return condition


def _judge(
    discriminator: nn.Module, condition: Tensor, fake: Tensor, real: Tensor, augment: Augment | None
) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
    """Features of generated and real pictures, judged in one batch: (fake, real)."""
    pairs = [torch.cat((condition, picture), dim=1) for picture in (fake, real)]
    both = torch.cat(pairs if augment is None else [augment(pair) for pair in pairs])
    outputs = discriminator(both.contiguous(memory_format=torch.channels_last))
    half = fake.shape[0]
    return (
        [[feature[:half] for feature in scale] for scale in outputs],
        [[feature[half:] for feature in scale] for scale in outputs],
    )


def generator_losses(
    model: nn.Module,
    discriminator: nn.Module,
    perceptual: PerceptualLoss | None,
    batch: Mapping[str, Tensor],
    condition: Tensor,
    noise: Tensor,
    weights: LossWeights,
    augment: Augment | None = None,
) -> tuple[dict[str, Tensor], Tensor, Gaussian]:
    """Reconstruct a batch and weigh the result.

    Args:
        model: GroupDNet, called as ``model(image, label, instance, noise)``.
        batch: ``image`` [B, 3, H, W] in [-1, 1], ``label`` [B, H, W], perhaps ``instance``.
        condition: of :func:`discriminator_condition`.
        noise: [B, C, z, h, w] for the codes.
        augment: changes label input and picture before the discriminator sees them.

    Returns:
        (weighted losses by name, their sum is what is minimised; the pictures made; the posterior).
    """
    fake, posterior = model(batch["image"], batch["label"], batch.get("instance"), noise)
    fake_features, real_features = _judge(discriminator, condition, fake, batch["image"], augment)
    losses = {
        "adversarial": weights.adversarial * hinge_generator_loss([scale[-1] for scale in fake_features]),
        "feature_matching": weights.feature_matching * feature_matching_loss(fake_features, real_features),
        "kl": weights.kl * kl_loss(posterior),
    }
    if perceptual is not None:
        losses["perceptual"] = weights.perceptual * perceptual(fake, batch["image"])
    return losses, fake, posterior


def discriminator_losses(
    discriminator: nn.Module,
    fake: Tensor,
    batch: Mapping[str, Tensor],
    condition: Tensor,
    augment: Augment | None = None,
) -> dict[str, Tensor]:
    """The hinge losses on pictures that the generator step made, and on the real ones."""
    fakes, reals = _judge(discriminator, condition, fake.detach(), batch["image"], augment)
    on_fake, on_real = hinge_discriminator_loss([s[-1] for s in fakes], [s[-1] for s in reals])
    return {"discriminator_fake": on_fake, "discriminator_real": on_real}


def learning_rate_factor(step: float, decay_start: float, total: float) -> float:
    """Constant 1, then linearly down to 0 at ``total`` (section 4.1: 60 + 40 epochs on DeepFashion)."""
    if step <= decay_start or total <= decay_start:
        return 1.0
    return max(0.0, 1.0 - (step - decay_start) / (total - decay_start))


def kl_weight_at(step: int, start: float | None, end: float, warmup_steps: int) -> float:
    """KL weight: linear from ``start`` at step 0 to ``end`` at ``warmup_steps``, constant from there on."""
    if start is None or step >= warmup_steps:
        return end
    return start + (end - start) * step / warmup_steps


def make_optimizer(kind: str, network: nn.Module, rate: float, device_type: str) -> torch.optim.Optimizer:
    """``adam`` (section 4.1; fused where the device has it), or plain ``sgd``."""
    if kind == "sgd":
        return torch.optim.SGD(network.parameters(), lr=rate)
    fused = device_type in ("cpu", "cuda")
    return torch.optim.Adam(network.parameters(), lr=rate, betas=_BETAS, fused=fused)
