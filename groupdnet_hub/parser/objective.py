"""The training of a parser: batches, the loss, and parameter groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Sampler

from groupdnet_hub.data.unknown import UNKNOWN
from groupdnet_hub.parser.config import ParserTrainConfig
from groupdnet_hub.training.data.balanced_sampling import drawn_by_weight


def segmentation_loss(logits: Tensor, labels: Tensor, dice_weight: float) -> Tensor:
    """Return cross entropy plus ``dice_weight`` times Dice (Milletari et al., 2016), over the classes of the batch.

    Dice weights a small class as much as a large one, as mIoU does.

    Args:
        logits: float32 [B, C, h, w].
        labels: int64 [B, H, W], ``UNKNOWN`` at pixels that do not count.
        dice_weight: weight of Dice.
    """
    logits = F.interpolate(logits, size=labels.shape[1:], mode="bilinear", align_corners=False)
    known = labels != UNKNOWN
    if not known.any():
        return logits.sum() * 0
    loss = F.cross_entropy(logits, labels, ignore_index=UNKNOWN)
    truth = F.one_hot(labels.clamp(min=0), logits.shape[1]).movedim(-1, 1).to(logits.dtype) * known[:, None]
    predicted = logits.softmax(dim=1) * known[:, None]
    both, each = (predicted * truth).sum(dim=(0, 2, 3)), (predicted + truth).sum(dim=(0, 2, 3))
    shown = truth.amax(dim=(0, 2, 3)) > 0
    return loss + dice_weight * (1 - 2 * both[shown] / each[shown]).mean()


@dataclass(frozen=True)
class Batches(Sampler[list[int]]):
    """Endless batches of indices, each epoch in another order.

    Attributes:
        count: number of items.
        size: batch size.
        seed: seed of the orders.
        first: step of the first batch.
        weights: float64 [count], relative frequency of each item; None for each once per epoch.
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
    """Return parameter groups with a lower rate for the encoder, and without weight decay for biases and norms."""
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
