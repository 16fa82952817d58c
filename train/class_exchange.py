"""A loss on what else changes when one class's code is exchanged: not in the paper, for cleaner redrawing.

Each training picture's codes all come from that picture, so that nothing in Eq. 6 keeps the code of one class out of
the regions of others.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class ClassExchange:
    """Gives each picture of a batch the code of one class of the picture before it.

    The draws of all processes come from one stream; its state is part of a checkpoint.
    """

    def __init__(self, seed: int, process_index: int, num_processes: int) -> None:
        self.generator = torch.Generator().manual_seed(seed * 65_537 + 3)
        self.process_index, self.num_processes = process_index, num_processes

    def choose(self, label: Tensor) -> Tensor:
        """For each label map [B, H, W] a random class [B] that the one before it shows as well.

        Where they share none, it is a class of its own map.
        """
        draws = torch.rand(self.num_processes, len(label), generator=self.generator)[self.process_index]
        shown = [set(item.unique().tolist()) for item in label.cpu()]
        chosen = []
        for i, draw in enumerate(draws.tolist()):
            classes = sorted(shown[i] & shown[i - 1] or shown[i])
            chosen.append(classes[int(draw * len(classes))])
        return torch.tensor(chosen, device=label.device)

    def state_dict(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """From a checkpoint."""
        self.generator.set_state(state["generator"].cpu())


def exchanged(codes: Tensor, classes: Tensor) -> Tensor:
    """Codes [B, C, z, h, w] with those of ``classes`` [B] taken from the picture before (the first: from the last)."""
    items = torch.arange(len(codes), device=codes.device)
    mixed = codes.clone()
    mixed[items, classes] = codes.roll(1, dims=0)[items, classes]
    return mixed


def change_outside(before: Tensor, after: Tensor, label: Tensor, classes: Tensor) -> Tensor:
    """Mean absolute difference of pictures [B, 3, H, W] outside of one class of each label map, a scalar."""
    outside = (label != classes[:, None, None])[:, None]
    difference = (after.float() - before.float()).abs() * outside
    return difference.sum() / (before.shape[1] * outside.sum()).clamp(min=1)
