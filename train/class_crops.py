"""Windows of pictures for the perceptual loss, so that large pictures cost no more than small ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from distributed import SharedStream
from torch import Tensor


class ClassCrops(SharedStream):
    """Cuts a square window out of each picture, around a random pixel of a random class of its label map.

    Every class that a picture shows is as likely as any other, so that small ones (faces, shoes) are looked at as
    often as large ones.

    Args:
        side: of the window, in pixels; at most the picture's smaller side is taken.
    """

    number = 2

    def __init__(self, side: int, seed: int, process_index: int, num_processes: int) -> None:
        super().__init__(seed, process_index, num_processes)
        self.side = side

    def __call__(self, label: Tensor, pictures: Sequence[Tensor]) -> list[Tensor]:
        """The same windows of several batches of pictures; gradients flow.

        Args:
            label: int64 [B, H, W].
            pictures: [B, channels, H, W] each.

        Returns:
            [B, channels, side, side] each.
        """
        B, H, W = label.shape
        draws = self.uniform(B, 2)
        height, width = min(self.side, H), min(self.side, W)
        boxes = []
        for item, (which_class, which_pixel) in zip(label.cpu(), draws.tolist(), strict=True):
            classes = item.unique()
            places = torch.nonzero(item == classes[int(which_class * len(classes))])
            row, column = places[int(which_pixel * len(places))].tolist()
            top = min(max(row - height // 2, 0), H - height)
            left = min(max(column - width // 2, 0), W - width)
            boxes.append((slice(top, top + height), slice(left, left + width)))
        return [
            torch.stack([picture[i, :, rows, columns] for i, (rows, columns) in enumerate(boxes)])
            for picture in pictures
        ]
