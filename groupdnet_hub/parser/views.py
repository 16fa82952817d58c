"""Random views of pictures with their label maps, with which a parser learns from few."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

# Least number of columns that are enlarged to a view.
_LEAST_EMPTY = 24


@dataclass(frozen=True)
class Views:
    """The distribution of views.

    Attributes:
        size: (height, width) of a view in pixels.
        scale: range of the magnification, log-uniform.
        stretch: largest ratio of width to height, and of height to width.
        rotation: largest angle, in degrees.
        colour: largest relative change of brightness, contrast, saturation and each channel.
        plain_fraction: fraction of the views whose first class, the background, becomes a plain colour, as in studios.
        empty_fraction: fraction of the views that show only background, from beside the person, where there is room.
    """

    size: tuple[int, int] = (256, 160)
    scale: tuple[float, float] = (0.9, 1.6)
    stretch: float = 1.15
    rotation: float = 8.0
    colour: float = 0.3
    plain_fraction: float = 0.15
    empty_fraction: float = 0.0

    def draw(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw one view of each picture.

        A view is centred near a pixel of a class drawn from those in the map, so that small classes are seen as often
        as large ones; half of the views are mirrored.

        Args:
            images: float32 [B, 3, H, W] in [-1, 1].
            labels: int64 [B, H, W], below 0 at unknown pixels.
            generator: generator of the draws, on the CPU.

        Returns:
            float32 [B, 3, *size] in [-1, 1] and int64 [B, *size].
        """
        grid = torch.stack([self._grid(label, generator) for label in labels])
        views = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
        maps = F.grid_sample(
            labels[:, None].float(), grid, mode="nearest", padding_mode="border", align_corners=False
        )
        maps = maps[:, 0].round().long()
        return self._recolour(self._on_plain(views, maps, generator), generator), maps

    def _grid(self, label: Tensor, generator: torch.Generator) -> Tensor:
        """Return the position in the picture of each pixel of a view, float32 [*size, 2], x first, from -1 to 1."""
        height, width = label.shape

        def uniform(low: float, high: float) -> float:
            return low + (high - low) * float(torch.rand((), generator=generator))

        scale = math.exp(uniform(math.log(self.scale[0]), math.log(self.scale[1])))
        stretch = math.exp(uniform(-1, 1) * math.log(self.stretch) / 2)
        angle = math.radians(uniform(-self.rotation, self.rotation))
        mirror = -1.0 if uniform(0, 1) < 0.5 else 1.0
        # Half of the view's height and width, in pixels of the picture.
        half = (self.size[0] / scale * stretch / 2, self.size[1] / scale / stretch / 2)

        # Drawn only where such views are wanted, so that the draws of others do not change.
        strip = _empty_columns(label) if self.empty_fraction and uniform(0, 1) < self.empty_fraction else None
        if strip is not None:
            wide = (strip[1] - strip[0]) / 2
            half, angle = (wide * self.size[0] / self.size[1], wide), 0.0
            centre = [uniform(0, height), (strip[0] + strip[1]) / 2]
        else:
            classes = label.unique()
            classes = classes[classes >= 0] if label.max() >= 0 else classes
            chosen = classes[int(torch.randint(len(classes), (), generator=generator))]
            places = (label == chosen).nonzero()
            centre = places[int(torch.randint(len(places), (), generator=generator))].tolist()
            centre = [place + uniform(-0.6, 0.6) * reach for place, reach in zip(centre, half, strict=True)]
        for axis, length in enumerate((height, width)):
            low, high = half[axis], length - half[axis]
            centre[axis] = min(max(centre[axis], low), high) if low <= high else length / 2

        rows = _pixel_centres(self.size[0])[:, None] * half[0]
        columns = _pixel_centres(self.size[1])[None] * half[1] * mirror
        y = centre[0] + math.cos(angle) * rows + math.sin(angle) * columns
        x = centre[1] - math.sin(angle) * rows + math.cos(angle) * columns
        return torch.stack((2 * x / width - 1, 2 * y / height - 1), dim=-1)

    def _on_plain(self, views: Tensor, maps: Tensor, generator: torch.Generator) -> Tensor:
        """Put some of the views on a plain colour, mostly a light one."""
        count = len(views)
        plain = torch.rand(count, 1, 1, 1, generator=generator) < self.plain_fraction
        grey = 1 - 1.2 * torch.rand(count, 1, 1, 1, generator=generator) ** 2
        colour = (grey + 0.1 * torch.randn(count, 3, 1, 1, generator=generator)).clamp(-1, 1)
        return torch.where(plain & (maps == 0)[:, None], colour, views)

    def _recolour(self, views: Tensor, generator: torch.Generator) -> Tensor:
        def factor(*shape: int) -> Tensor:
            return 1 + self.colour * (2 * torch.rand(shape, generator=generator) - 1)

        count = len(views)
        light = (views + 1) / 2 * factor(count, 1, 1, 1) * (1 + (factor(count, 3, 1, 1) - 1) / 3)
        mean = light.mean(dim=(1, 2, 3), keepdim=True)
        light = mean + (light - mean) * factor(count, 1, 1, 1)
        grey = light.mean(dim=1, keepdim=True)
        return (grey + (light - grey) * factor(count, 1, 1, 1)).clamp(0, 1) * 2 - 1


def _empty_columns(label: Tensor) -> tuple[int, int] | None:
    """Return the first column, and the one after the last, of the wider side beside the person; None if too narrow."""
    shown = (label != 0).any(dim=0).nonzero()
    if not len(shown):
        return 0, label.shape[1]
    left, right = int(shown[0]), int(shown[-1]) + 1
    start, end = (0, left) if left >= label.shape[1] - right else (right, label.shape[1])
    return (start, end) if end - start >= _LEAST_EMPTY else None


def _pixel_centres(count: int) -> Tensor:
    return (2 * torch.arange(count) + 1) / count - 1
