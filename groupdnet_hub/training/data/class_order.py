"""Which classes are alike, from the pictures themselves, and an order in which alike ones are neighbours.

Classes that share a group share weights and can change in concert; the paper leaves their order to the data set and
names a better one as future work (appendix E).
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from groupdnet_hub import PairedImages
from groupdnet_hub.data.labels import one_hot

# Pictures that are looked at, evenly spread over the data.
_PICTURES = 500
# Pictures that must show two classes before their colours count as varying together.
_FEWEST = 8


def likeness_order(data: PairedImages, pictures: int = _PICTURES) -> tuple[int, ...]:
    """Return the class ids, alike ones side by side: average-linkage clustering with optimal leaf order.

    Args:
        data: pictures with label maps.
        pictures: how many of them are looked at.
    """
    likeness = class_likeness(*_colours(data, pictures))
    if len(likeness) < 3:
        return tuple(range(len(likeness)))
    distance = 1 - likeness
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), method="average", optimal_ordering=True)
    return tuple(int(class_id) for class_id in leaves_list(tree))


def class_likeness(colours: Tensor, shown: Tensor) -> np.ndarray:
    """Return how alike each two classes are, from 0 to 1, [C, C].

    It is the mean of three values, each from 0 to 1: how often one is seen with the other (pictures that show both,
    as a fraction of those that show either), how near their mean colours are, and how far their colours vary together
    from picture to picture (correlation, where positive).

    Args:
        colours: mean colour of each class in each picture [N, C, 3], in [-1, 1]; anything where it is not shown.
        shown: bool [N, C].
    """
    present = shown.double().numpy()
    values = colours.double().numpy()
    both = present.T @ present
    either = present.sum(0)[:, None] + present.sum(0)[None] - both
    together = both / np.maximum(either, 1)

    mean = (values * present[..., None]).sum(0) / np.maximum(present.sum(0), 1)[:, None]
    # The largest distance in the cube of colours is that of black and white.
    nearness = 1 - np.linalg.norm(mean[:, None] - mean[None], axis=-1) / np.sqrt(12)

    count = present.shape[1]
    concert = np.zeros((count, count))
    for a in range(count):
        for b in range(a):
            chosen = shown[:, a].numpy() & shown[:, b].numpy()
            if chosen.sum() >= _FEWEST:
                one, other = (values[chosen, c] - values[chosen, c].mean(0) for c in (a, b))
                scale = np.sqrt((one**2).sum() * (other**2).sum())
                concert[a, b] = concert[b, a] = max(0.0, (one * other).sum() / max(scale, 1e-12))
    return (together + nearness + concert) / 3


def _colours(data: PairedImages, pictures: int) -> tuple[Tensor, Tensor]:
    """Return the mean colour of each class in some pictures [N, C, 3], and which classes these show [N, C]."""
    count = min(pictures, len(data))
    colours, shown = [], []
    for i in range(count):
        item = data[i * len(data) // count]
        masks = one_hot(item["label"][None], len(data.labels))[0]
        if "unknown" in item:
            masks = masks * ~item["unknown"]
        masks = masks.flatten(1)
        pixels = masks.sum(dim=1)
        colours.append(masks @ item["image"].flatten(1).T / pixels.clamp(min=1)[:, None])
        shown.append(pixels > 0)
    return torch.stack(colours), torch.stack(shown)
