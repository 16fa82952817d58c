"""Windows of pictures for the perceptual loss, so that large pictures cost no more than small ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from distributed import SharedStream
from torch import Tensor
from torch.nn import functional as F


class ClassCrops(SharedStream):
    """Cuts a square window out of each picture, around a random pixel of a random class of its label map.

    Every class that a picture shows is as likely as any other, so that small ones (faces, shoes) are looked at as
    often as large ones. They are also looked at from nearer: the window is as large as the class's bounding box, at
    least half of ``side``, and is enlarged to ``side``.

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
            extent = int((places.amax(dim=0) - places.amin(dim=0)).max()) + 1
            share = min(max(extent / min(height, width), 1 / 2), 1)
            boxes.append(
                (_around(row, math.ceil(share * height), H), _around(column, math.ceil(share * width), W))
            )

        def windows(picture: Tensor) -> Tensor:
            cut = (picture[i : i + 1, :, rows, columns] for i, (rows, columns) in enumerate(boxes))
            return torch.cat([_enlarged(window, height, width) for window in cut])

        return [windows(picture) for picture in pictures]


def _around(place: int, length: int, limit: int) -> slice:
    """So many pixels around one, moved to lie inside of the picture."""
    start = min(max(place - length // 2, 0), limit - length)
    return slice(start, start + length)


def _enlarged(window: Tensor, height: int, width: int) -> Tensor:
    if window.shape[2:] == (height, width):
        return window
    return F.interpolate(window, size=(height, width), mode="bilinear")
