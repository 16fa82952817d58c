"""Windows of pictures for the perceptual loss, so that large pictures cost no more than small ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from class_choice import choose
from distributed import SharedStream
from torch import Tensor

from groupdnet_hub import shown_classes


class ClassCrops(SharedStream):
    """Cuts a square window out of each picture, around a random pixel of a random class of its label map.

    Every class that a picture shows is as likely as any other, so that small ones (faces, shoes) are looked at as
    often as large ones. They are also looked at from nearer: the window is as large as the class's bounding box, at
    least half of ``side``, and is enlarged to ``side``.

    Args:
        side: of the window, in pixels; at most the picture's smaller side is taken.
        num_classes: of the label maps.
    """

    number = 2

    def __init__(
        self, side: int, num_classes: int, seed: int, process_index: int, num_processes: int
    ) -> None:
        super().__init__(seed, process_index, num_processes)
        self.side, self.num_classes = side, num_classes

    def __call__(self, label: Tensor, pictures: Sequence[Tensor]) -> list[Tensor]:
        """The same windows of several batches of pictures; gradients flow.

        Args:
            label: int64 [B, H, W].
            pictures: [B, channels, H, W] each, all on the label maps' device.

        Returns:
            float32 [B, channels, side, side] each.
        """
        B, H, W = label.shape
        draws = self.uniform(B, 2)
        height, width = min(self.side, H), min(self.side, W)
        classes = choose(shown_classes(label, self.num_classes), draws[:, 0])
        inside = label == classes[:, None, None]
        pixels = choose(inside.flatten(1), draws[:, 1])
        extent = torch.maximum(_extent(inside.any(dim=2)), _extent(inside.any(dim=1)))
        smaller = min(height, width)
        rows = _sampled(pixels // W, extent, smaller, H, height)
        columns = _sampled(pixels % W, extent, smaller, W, width).transpose(1, 2)

        def windows(picture: Tensor) -> Tensor:
            # Bilinear, as two matrix products: a place that lies on a pixel is that pixel, to the bit.
            with torch.autocast(picture.device.type, enabled=False):
                return rows[:, None] @ picture.float() @ columns[:, None]

        return [windows(picture) for picture in pictures]


def _extent(shown: Tensor) -> Tensor:
    """bool [B, N] -> int64 [B]: how many places from the first true one to the last."""
    before = shown.to(torch.int32).cumsum(dim=1) == 0
    after = shown.flip(1).to(torch.int32).cumsum(dim=1) == 0
    return shown.shape[1] - before.sum(dim=1) - after.sum(dim=1)


def _sampled(place: Tensor, extent: Tensor, smaller: int, limit: int, length: int) -> Tensor:
    """``length`` places spread over a stretch of a line of ``limit`` pixels, linearly between the pixels.

    Args:
        place: [B], what the stretch lies around; it is moved to lie inside of the line.
        extent: [B], the stretch is ``extent / smaller`` of ``length`` long, at least half of it and at most all.

    Returns:
        float32 [B, length, limit]: what each pixel adds to each place.
    """
    stretch = ((extent * length + smaller - 1) // smaller).clamp((length + 1) // 2, length)
    start = torch.minimum((place - stretch // 2).clamp(min=0), limit - stretch)
    steps = (torch.arange(length, device=place.device) + 0.5) * stretch[:, None] / length - 0.5
    steps = torch.minimum(steps.clamp(min=0), stretch[:, None] - 1) + start[:, None]
    pixels = torch.arange(limit, device=place.device)
    return (1 - (steps[:, :, None] - pixels).abs()).clamp(min=0)
