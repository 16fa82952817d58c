"""What a discriminator is shown, and how what it says is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from groupdnet_hub.baselines import SystemConfig
from groupdnet_hub.data.labels import instance_edges, one_hot
from groupdnet_hub.training.objectives.losses import picture_means

Batch = Mapping[str, Tensor]
# Label input and pictures, and how many batches of pictures these are, to the same, changed.
Change = Callable[[Tensor, int], Tensor]
# For each scale of a discriminator its features, the logits last.
Features = Sequence[Sequence[Tensor]]
Judge = Callable[..., Any]
# Between the goals of least squares, 0 and 1; those of the hinge loss lie around 0.
LEAST_SQUARES_MIDDLE = 0.5


class Augment(Protocol):
    """Changes what a discriminator sees (see :mod:`groupdnet_hub.training.augment.diffaugment`)."""

    def __call__(self, x: Tensor, copies: int, /) -> Tensor:
        """Label input and picture [copies * B, channels, H, W] -> the same, all copies augmented alike."""

    def plain(self, x: Tensor, copies: int, /) -> Tensor:
        """The same call where second derivatives are wanted."""

    def observe(self, realness: Tensor, /) -> None:
        """Hear what the discriminator says of a batch of real pictures [B, ...]: positive where they seem real."""


def label_input(batch: Batch, config: SystemConfig) -> Tensor:
    """The discriminator's label input [B, C (+ 1), H, W]: one-hot labels, and the edge map with instances."""
    # Their ids were checked when they were read.
    channels = one_hot(batch["label"], config.num_classes, check=False)
    if config.instance_edges:
        channels = torch.cat((channels, instance_edges(batch["instance"])), dim=1)
    return channels


def seen(condition: Tensor, pictures: Sequence[Tensor], augment: Change | None) -> Tensor:
    """What a discriminator sees of several batches of pictures of the same label maps, in one batch."""
    together = torch.cat([torch.cat((condition, picture), dim=1) for picture in pictures])
    if augment is not None:
        together = augment(together, len(pictures))
    return together.contiguous(memory_format=torch.channels_last)


def halves(outputs: Features) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
    """The features of a batch's first and second half."""
    return (
        [[feature[: len(feature) // 2] for feature in scale] for scale in outputs],
        [[feature[len(feature) // 2 :] for feature in scale] for scale in outputs],
    )


def judged(
    judge: Judge,
    condition: Tensor,
    fake: Tensor,
    real: Tensor,
    augment: Augment | None,
    *,
    together: bool,
) -> tuple[Features, Features, Tensor]:
    """What a discriminator that is not trained just now says of generated and of real pictures.

    No gradient is wanted of the real ones.

    Args:
        together: both in one batch, which is fewer calls, for a GPU; otherwise the real ones apart and without
            gradients, which one batch could not have for half of it.

    Returns:
        (features of the generated pictures, features of the real ones, what was shown of the former).
    """
    shown = seen(condition, (fake, real), augment)
    count = len(condition)
    if together:
        return (*halves(judge(shown)), shown[:count])
    of_fake = judge(shown[:count])
    with torch.no_grad(), _evaluating(judge):
        of_real = judge(shown[count:])
    return of_fake, of_real, shown[:count]


@contextmanager
def _evaluating(judge: Judge) -> Iterator[None]:
    """In evaluation mode: a second call in training mode would move the spectral norm's vectors once more."""
    was = isinstance(judge, nn.Module) and judge.training
    if was:
        judge.eval()
    try:
        yield
    finally:
        if was:
            judge.train()


def mean_losses(views: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each loss over what a discriminator was shown one after the other; all have the same losses."""
    if len(views) == 1:
        return dict(views[0])
    return {name: torch.stack([view[name] for view in views]).mean() for name in views[0]}


def logits(outputs: Features) -> list[Tensor]:
    """The patch logits of each scale."""
    return [scale[-1] for scale in outputs]


def mean_logits(outputs: Features, weights: Tensor | None = None) -> Tensor:
    """The mean of each picture's logits over places and scales, [B].

    Args:
        weights: how much each pixel [B, 1, H, W] counts, of mean 1.
    """
    return torch.stack([picture_means(found, weights) for found in logits(outputs)]).mean(dim=0)


def observe(augment: Augment | None, outputs: Features, middle: float = 0.0) -> None:
    """Let an augmentation hear the patch logits of real pictures.

    Args:
        middle: the logit that is as far from what generated pictures should get as from what real ones should.
    """
    if augment is not None:
        augment.observe(torch.cat([found.detach().flatten(1) for found in logits(outputs)], dim=1) - middle)
