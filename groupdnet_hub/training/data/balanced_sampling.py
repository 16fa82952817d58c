"""The order of the training pictures when those that show rare classes are to be seen more often: not in the paper.

Of a few thousand people some per cent wear a hat or a scarf; drawn as often as all others, these classes are learned
last and from few batches. A picture's weight goes by the rarest class that it shows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import Sampler

from groupdnet_hub import PairedImages
from groupdnet_hub.data.labels import shown_classes

# A picture is drawn at most this many times as often as one that shows only what all pictures show: a handful that
# alone show some class would otherwise fill the epochs.
_MOST = 10.0


def classes_of_pictures(data: PairedImages) -> Tensor:
    """Return which classes each picture shows at known pixels, bool [pictures, C], from its label map alone."""
    maps = (data.known_label(index) for index in range(len(data)))
    return torch.cat([shown_classes(label[None], len(data.labels)) for label in maps])


def picture_weights(shown: Tensor, power: float) -> Tensor:
    """Return how often each picture is drawn, relative to the others.

    It is::

        weight = (fraction of the pictures that show its rarest class) ** -power, at most 10

    Args:
        shown: bool [pictures, C].
        power: from 0, all pictures alike, to 1, which makes up for the rarity of a picture's rarest class.

    Returns:
        float64 [pictures].
    """
    fraction = shown.double().mean(dim=0)
    rarest = torch.where(shown, fraction, torch.ones_like(fraction)).amin(dim=1)
    return rarest.pow(-power).clamp(max=_MOST)


class BalancedOrder(Sampler[tuple[int, int]]):
    """Items of a data set, as many in an epoch as there are, each about as often as its weight says.

    An item whose weight stands for 2.4 times in an epoch comes two or three times in it; with all weights alike each
    comes once. The order depends on the seed and the epoch alone. Elements are (index, how often the item came before
    in this epoch), so that an item that comes again can be moved otherwise.

    Args:
        weights: float64 [items], above 0.
    """

    def __init__(self, weights: Tensor, seed: int) -> None:
        self.weights, self.seed, self.epoch = weights, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch on which the order depends."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.weights)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        mixed = (self.seed * 65_537 + 5) * 1_000_003 + self.epoch & 0x7FFFFFFFFFFFFFFF
        generator = torch.Generator().manual_seed(mixed)
        times: Counter[int] = Counter()
        for index in drawn_by_weight(self.weights, generator).tolist():
            yield index, times[index]
            times[index] += 1


def drawn_by_weight(weights: Tensor, generator: torch.Generator) -> Tensor:
    """Return as many items as there are weights, shuffled, each as often as its weight says, rounded at random.

    Systematic sampling: evenly spaced marks on a line on which items lie in random order, each as long as its weight.
    """
    count = len(weights)
    items = torch.randperm(count, generator=generator)
    ends = weights[items].cumsum(dim=0)
    marks = torch.arange(count) + torch.rand((), generator=generator, dtype=torch.float64)
    found = torch.searchsorted(ends, marks * (ends[-1] / count), right=True).clamp(max=count - 1)
    return items[found[torch.randperm(count, generator=generator)]]
