"""What a parser learns from and by: batches, the loss, and what its parameters' rates are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Sampler

from groupdnet_hub.parser.config import ParserTrainConfig
from groupdnet_hub.training.balanced_sampling import drawn_by_weight


def segmentation_loss(logits: Tensor, labels: Tensor, dice_weight: float) -> Tensor:
    """Cross entropy plus ``dice_weight`` times Dice (Milletari et al., 2016), over the classes that the batch shows.

    Dice weighs a small class as much as a large one, as mIoU does.

    Args:
        logits: float32 [B, C, h, w].
        labels: int64 [B, H, W].
    """
    logits = F.interpolate(logits, size=labels.shape[1:], mode="bilinear", align_corners=False)
    loss = F.cross_entropy(logits, labels)
    truth = F.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(logits.dtype)
    shares = logits.softmax(dim=1)
    both, each = (shares * truth).sum(dim=(0, 2, 3)), (shares + truth).sum(dim=(0, 2, 3))
    shown = truth.amax(dim=(0, 2, 3)) > 0
    return loss + dice_weight * (1 - 2 * both[shown] / each[shown]).mean()


@dataclass(frozen=True)
class Batches(Sampler[list[int]]):
    """Endless batches of indices, each epoch in an order of its own.

    Attributes:
        count: number of items.
        first: the step that the batches begin with.
        weights: float64 [count], how often each item is drawn relative to the others; None: each once an epoch.
    """

    count: int
    size: int
    seed: int
    first: int = 0
    weights: Tensor | None = None

    def __iter__(self) -> Iterator[list[int]]:
        per_epoch = max(1, self.count // self.size)
        epoch, skipped = divmod(self.first, per_epoch)
        while True:
            generator = torch.Generator().manual_seed(self.seed + epoch)
            order = (
                torch.randperm(self.count, generator=generator)
                if self.weights is None
                else drawn_by_weight(self.weights, generator)
            ).tolist()
            for number in range(skipped, per_epoch):
                yield order[number * self.size : (number + 1) * self.size]
            epoch, skipped = epoch + 1, 0


def parameter_groups(network: nn.Module, settings: ParserTrainConfig) -> list[dict[str, Any]]:
    """The encoder's parameters learn more slowly; biases and norms are not decayed."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    head = ("decode_head.", "auxiliary_head.", "classifier.", "head.")
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith(head), parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": settings.learning_rate * (1 if in_head else settings.encoder_rate),
            "weight_decay": settings.weight_decay if decayed else 0.0,
        }
        for (in_head, decayed), parameters in groups.items()
    ]
