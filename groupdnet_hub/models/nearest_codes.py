"""Which pictures' codes a prior is fitted to: of each class, those that are decoded nearest to the picture.

What codes cannot tell (prints, open jackets) is drawn as a pattern that looks like nothing. Rejecting the codes of such
pictures gives up some variety for plainer pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from groupdnet_hub.data.labels import one_hot
from groupdnet_hub.models.prior import Encoded, shown_together


def region_differences(one: Tensor, other: Tensor, label: Tensor, num_classes: int) -> Tensor:
    """Mean absolute difference of pictures [B, 3, H, W] in the region of each class.

    Args:
        label: int64 [B, H, W].

    Returns:
        float32 [B, C]; 0 for classes that a label map does not show.
    """
    regions = one_hot(label, num_classes).flatten(2)
    difference = (one.float() - other.float()).abs().mean(dim=1).flatten(1)
    return torch.einsum("bcp,bp->bc", regions, difference) / regions.sum(dim=2).clamp(min=1)


def nearest_decoded(
    encoded: Sequence[Encoded],
    differences: Sequence[Tensor],
    share: float,
    ties: Sequence[Sequence[int]] = (),
) -> Iterator[Encoded]:
    """The same batches, but a class counts as shown only by the pictures that differ least from their decoding.

    Args:
        differences: [B, C] of each batch, see :func:`region_differences`.
        share: of the pictures that show a class, how many count; at least one does.
        ties: ids of classes that are to count for the same pictures: those that show all of them, and differ least
            on their average.
    """
    shown = shown_together(torch.cat([shown for _, shown in encoded]), ties)
    of_all = torch.cat(list(differences))
    for tie in ties:
        of_all[:, list(tie)] = of_all[:, list(tie)].mean(dim=1, keepdim=True)
    counted = torch.zeros_like(shown)
    for class_id, of_class in enumerate(of_all.T):
        (numbers,) = torch.nonzero(shown[:, class_id], as_tuple=True)
        order = of_class[numbers].argsort(stable=True)
        counted[numbers[order[: max(1, round(share * len(numbers)))]], class_id] = True
    sizes = [len(batch) for _, batch in encoded]
    for (posterior, _), batch in zip(encoded, counted.split(sizes), strict=True):
        yield posterior, batch
