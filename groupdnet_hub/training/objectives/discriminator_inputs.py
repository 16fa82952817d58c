"""What a discriminator is shown, and how its answers are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from groupdnet_hub.baselines import SystemConfig
from groupdnet_hub.data.labels import instance_edges, one_hot
from groupdnet_hub.training.objectives.losses import class_weights, picture_means

# "image" [B, 3, H, W] in [-1, 1], "label" int64 [B, H, W], and "instance" of the same shape where there are any; where
# the label set ignores something "unknown" bool [B, H, W], and the image is grey there.
Batch = Mapping[str, Tensor]
# Label input and pictures, and how many batches of pictures these are, to the same, changed.
Change = Callable[[Tensor, int], Tensor]
# For each scale of a discriminator its features, the logits last.
Features = Sequence[Sequence[Tensor]]
# A discriminator's module, or a function like it.
Discriminator = Callable[..., Any]
# Between the goals of least squares, 0 and 1; those of the hinge loss lie around 0.
LEAST_SQUARES_MIDDLE = 0.5


class Augment(Protocol):
    """Changes what a discriminator sees (see :mod:`groupdnet_hub.training.augment.diffaugment`)."""

    def __call__(self, x: Tensor, copies: int, /) -> Tensor:
        """Change label input and picture [copies * B, channels, H, W], all copies alike."""

    def plain(self, x: Tensor, copies: int, /) -> Tensor:
        """Return the same as a call, where second derivatives are wanted."""

    def observe(self, realness: Tensor, counts: Tensor | None = None, /) -> None:
        """Take note of the answers on a batch of real pictures [B, ...]: positive where they seem real.

        ``counts``, of the same shape, is how much each of them counts; by default all alike.
        """


def label_input(batch: Batch, config: SystemConfig) -> Tensor:
    """Return the label input [B, C (+ 1), H, W]: one-hot labels, and the edge map with instances.

    Unknown pixels are of no class: what weighs or counts pixels by their class leaves them out.
    """
    # Their ids were checked when they were read.
    channels = one_hot(batch["label"], config.num_classes, check=False)
    if "unknown" in batch:
        channels = channels.masked_fill_(batch["unknown"][:, None], 0)
    if config.instance_edges:
        channels = torch.cat((channels, instance_edges(batch["instance"])), dim=1)
    return channels


def discriminator_input(condition: Tensor, pictures: Sequence[Tensor], augment: Change | None) -> Tensor:
    """Return several batches of pictures of the same label maps as one batch, each with its label input.

    Args:
        condition: label input [B, C (+ 1), H, W].
        pictures: n batches [B, 3, H, W].
        augment: changes label input and picture alike.

    Returns:
        [n * B, C (+ 1) + 3, H, W].
    """
    together = torch.cat([torch.cat((condition, picture), dim=1) for picture in pictures])
    if augment is not None:
        together = augment(together, len(pictures))
    return together.contiguous(memory_format=torch.channels_last)


def place_weights(shown: Tensor, config: SystemConfig, balance: float = 0.0) -> Tensor | None:
    """Return how much each pixel [B, 1, H, W] counts in a mean over places; None if all count alike.

    Unknown pixels count nothing, and the others as much as without them.

    Args:
        shown: what :func:`discriminator_input` returns, which begins with the label input, moved and cut alike.
        config: configuration of the system.
        balance: of the classes, see :func:`.losses.class_weights`.
    """
    maps = shown[:, : config.num_classes]
    if balance:
        return class_weights(maps, balance)
    return maps.float().sum(dim=1, keepdim=True) if config.ignore else None


def halves(outputs: Features) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
    """Return the features of a batch's first half, and those of its second half."""
    return (
        [[feature[: len(feature) // 2] for feature in scale] for scale in outputs],
        [[feature[len(feature) // 2 :] for feature in scale] for scale in outputs],
    )


def frozen_features(
    frozen_discriminator: Discriminator,
    condition: Tensor,
    fake: Tensor,
    real: Tensor,
    augment: Augment | None,
    *,
    together: bool,
) -> tuple[Features, Features, Tensor]:
    """Return the features of generated and of real pictures while the discriminator is not trained.

    No gradient is wanted of the real ones.

    Args:
        frozen_discriminator: returns features for each scale; its parameters want no gradients.
        condition: label input [B, C (+ 1), H, W].
        fake: generated pictures [B, 3, H, W].
        real: pictures of the data [B, 3, H, W].
        augment: changes all of them alike.
        together: both in one batch, which is fewer calls, for a GPU; otherwise the real ones apart and without
            gradients, which one batch could not have for half of it.

    Returns:
        (features of the generated pictures, features of the real ones, the input of the former).
    """
    shown = discriminator_input(condition, (fake, real), augment)
    count = len(condition)
    if together:
        return (*halves(frozen_discriminator(shown)), shown[:count])
    on_fake = frozen_discriminator(shown[:count])
    with torch.no_grad(), _evaluating(frozen_discriminator):
        on_real = frozen_discriminator(shown[count:])
    return on_fake, on_real, shown[:count]


@contextmanager
def _evaluating(discriminator: Discriminator) -> Iterator[None]:
    """Keep it in evaluation mode: a second call in training mode would move the spectral norm's vectors once more."""
    if not (isinstance(discriminator, nn.Module) and discriminator.training):
        yield
        return
    discriminator.eval()
    try:
        yield
    finally:
        discriminator.train()


def logits(outputs: Features) -> list[Tensor]:
    """Return the patch logits of each scale."""
    return [scale[-1] for scale in outputs]


def mean_logits(outputs: Features, weights: Tensor | None = None) -> Tensor:
    """Return the mean of each picture's logits over places and scales, [B].

    Args:
        outputs: for each scale the features, the logits last.
        weights: how much each pixel [B, 1, H, W] counts, of mean 1.
    """
    return torch.stack([picture_means(found, weights) for found in logits(outputs)]).mean(dim=0)


def observe(
    augment: Augment | None, outputs: Features, weights: Sequence[Tensor | None], middle: float = 0.0
) -> None:
    """Let an augmentation take note of the patch logits of real pictures.

    Args:
        augment: takes note; None where there is no augmentation.
        outputs: for each scale the features of real pictures, the logits last.
        weights: for each scale how much each pixel [B, 1, H, W] counts, or None where all count alike.
        middle: the logit that is as far from what generated pictures should get as from what real ones should.
    """
    if augment is None:
        return
    found = [one.detach() for one in logits(outputs)]
    counts = [
        F.adaptive_avg_pool2d(known, (one.shape[2], one.shape[3])).flatten(1)
        for one, known in zip(found, weights, strict=True)
        if known is not None
    ]
    realness = torch.cat([one.flatten(1) for one in found], dim=1) - middle
    augment.observe(realness, torch.cat(counts, dim=1) if counts else None)
