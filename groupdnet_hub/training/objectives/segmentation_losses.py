"""The losses of the per-pixel discriminator: pure functions of its logits.

After Schoenfeld et al., "You Only Need Adversarial Supervision for Semantic Image Synthesis" (ICLR 2021), Eq. 1 to 4.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# What a pixel without a class has for a target: it counts in no loss.
NO_TARGET = -1


def class_targets(one_hot: Tensor) -> Tensor:
    """Return the class of each pixel of a label input that was moved, cut or enlarged.

    Args:
        one_hot: [B, C, H, W], from 0 to 1; enlarged maps are of several classes where these meet.

    Returns:
        int64 [B, H, W]: the class that has most of the pixel, ``NO_TARGET`` where classes have less than half of it
        together: where it is unknown, or an augmentation cut the picture out or moved something in from outside.
    """
    maps = one_hot.float()
    return torch.where(maps.sum(dim=1) < 0.5, NO_TARGET, maps.argmax(dim=1))


def class_counts(target: Tensor, num_classes: int) -> Tensor:
    """Return how many pixels of targets [B, H, W] each class has, float32 [C]."""
    # One more bin, the first, for pixels without a class.
    bins = torch.zeros(num_classes + 1, dtype=torch.int64, device=target.device)
    places = (target + 1).flatten()
    return bins.scatter_add(0, places, torch.ones_like(places))[1:].float()


def segmentation_loss(logits: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """Return the cross entropy of pixels with their class, balanced by the inverse of the class's frequency, a scalar.

    In the paper a pixel of class c weighs alpha_c, the number of all pixels over the mean number of those of class c
    in a batch's label maps, so that every class that is shown counts alike. The sum of that grows with the number of
    classes; here it is divided by it. So the loss is the mean over classes of the mean over each class's pixels, and
    the one on fake pixels, a mean as well, has the same say whatever the number of classes.

    Args:
        logits: [B, N + 1, H, W], the last channel is "fake".
        target: int64 [B, H, W], as :func:`class_targets` gives them.
        counts: [N], pixels of each class in the batch; where processes share a batch, the mean of theirs.
    """
    entropy = F.cross_entropy(logits.float(), target, ignore_index=NO_TARGET, reduction="none")
    shown = counts > 0
    weights = shown / (counts.clamp(min=torch.finfo(counts.dtype).tiny) * shown.sum().clamp(min=1))
    return (entropy * weights[target.clamp(min=0)]).sum()


def fake_loss(logits: Tensor, weights: Tensor) -> Tensor:
    """Return the cross entropy of the pixels of generated pictures with "fake", a scalar.

    Args:
        logits: [B, N + 1, H, W], the last channel is "fake".
        weights: how much each pixel [B, 1, H, W] counts, of mean 1; in the paper all count alike.
    """
    return -(F.log_softmax(logits.float(), dim=1)[:, -1:] * weights).mean()


def realness(logits: Tensor) -> Tensor:
    """Return the log odds [B, 1, H, W] of "shows a class" against "fake", from logits [B, N + 1, H, W]."""
    logits = logits.float()
    return logits[:, :-1].logsumexp(dim=1, keepdim=True) - logits[:, -1:]


def consistency_loss(of_mixed: Tensor, mixed: Tensor, counted: Tensor | None = None) -> Tensor:
    """Return the mean squared distance of the logits of mixed pictures from the mixed logits, a scalar.

    Args:
        of_mixed: [B, N + 1, H, W].
        mixed: of the same shape.
        counted: bool [B, 1, H, W], pixels over which the mean is taken; by default all.
    """
    if counted is None:
        return F.mse_loss(of_mixed.float(), mixed.float())
    squared = (of_mixed.float() - mixed.float()).square() * counted
    return squared.sum() / (of_mixed.shape[1] * counted.sum()).clamp(min=1)
