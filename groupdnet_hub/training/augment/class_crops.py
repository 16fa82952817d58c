"""Windows of pictures for the perceptual loss and the discriminator: small classes enlarged, at a window's cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from groupdnet_hub.data.labels import shown_classes
from groupdnet_hub.training.augment.class_choice import choose
from groupdnet_hub.training.shared_stream import RunSeed, SharedStream, StreamId


class ClassCrops(SharedStream):
    """Cuts a square window out of each picture, around a random pixel of a random class of its label map.

    Every class that a picture shows is as likely as any other, so that small ones (faces, shoes) are looked at as
    often as large ones. They are also looked at from nearer: the window is as large as the class's bounding box, at
    least half of ``side``, and is enlarged to ``side``.

    Args:
        side: of the window, in pixels; at most the picture's smaller side is taken.
        num_classes: of the label maps.
    """

    stream_id = StreamId.PERCEPTUAL_CROPS
    _compiled: Callable[[Tensor, Tensor, int, int], tuple[Tensor, Tensor]] | None = None

    def __init__(self, side: int, num_classes: int, seed: RunSeed) -> None:
        super().__init__(seed)
        self.side, self.num_classes = side, num_classes

    def draw(self, label: Tensor) -> Windows:
        """Return a window of each label map int64 [B, H, W]; pixels of the id -1, unknown ones, are of no class."""
        draws = self.uniform(len(label), 2, device=label.device)
        rows, columns = (self._compiled or placed)(label, draws, self.side, self.num_classes)
        return Windows(rows, columns, (label.shape[1], label.shape[2]))

    def compile(self, **options: Any) -> None:
        """Have ``torch.compile`` find the places."""
        self._compiled = torch.compile(placed, **options)

    def __call__(self, label: Tensor, pictures: Sequence[Tensor]) -> list[Tensor]:
        """Return the same windows of several batches of pictures, see :meth:`Windows.pictures`."""
        return self.draw(label).pictures(pictures)


class DiscriminatorCrops(ClassCrops):
    """The same for the discriminator, with draws of its own."""

    stream_id = StreamId.DISCRIMINATOR_CROPS


@dataclass(frozen=True)
class Windows:
    """Where the windows of a batch lie: places between the pixels of the pictures.

    Attributes:
        rows, columns: float32 [B, side], from 0 to ``size - 1``.
        size: (height, width) of the pictures.
    """

    rows: Tensor
    columns: Tensor
    size: tuple[int, int]

    def pictures(self, pictures: Sequence[Tensor]) -> list[Tensor]:
        """Return the same windows of several batches of pictures, interpolated bilinearly; gradients flow.

        Args:
            pictures: [B, channels, H, W] each, all on the label maps' device.

        Returns:
            [B, channels, side, side] each, in float32 at least.
        """
        rows, columns = (
            _sampled(self.rows, self.size[0]),
            _sampled(self.columns, self.size[1]).transpose(1, 2),
        )

        def windows(picture: Tensor) -> Tensor:
            # As two matrix products: a place that lies on a pixel is that pixel, to the bit.
            with torch.autocast(picture.device.type, enabled=False):
                picture = picture.to(torch.promote_types(picture.dtype, torch.float32))
                return rows[:, None].to(picture.dtype) @ picture @ columns[:, None].to(picture.dtype)

        return [windows(picture) for picture in pictures]

    def maps(self, ids: Tensor) -> Tensor:
        """Return the windows of maps [B, H, W], each place its nearest pixel: [B, side, side]."""
        items = torch.arange(len(ids), device=ids.device)[:, None, None]
        return ids[items, self.rows.round().long()[:, :, None], self.columns.round().long()[:, None, :]]

    def batch(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the windows of a training batch: pictures and all maps."""
        maps = {name: self.maps(value) for name, value in batch.items() if name != "image"}
        return {**maps, "image": self.pictures([batch["image"]])[0]}


def placed(label: Tensor, draws: Tensor, side: int, num_classes: int) -> tuple[Tensor, Tensor]:
    """Return where the windows of label maps int64 [B, H, W] lie.

    Args:
        label: int64 [B, H, W].
        draws: [B, 2], of a class, and of one of its pixels.
        side: of the windows, in pixels.
        num_classes: number of classes of the maps.

    Returns:
        rows and columns, as :class:`Windows` has them.
    """
    _, H, W = label.shape
    height, width = min(side, H), min(side, W)
    classes = choose(shown_classes(label, num_classes), draws[:, 0])
    inside = label == classes[:, None, None]
    pixels = choose(inside.flatten(1), draws[:, 1])
    extent = torch.maximum(_extent(inside.any(dim=2)), _extent(inside.any(dim=1)))
    smaller = min(height, width)
    rows = _places(pixels // W, extent, smaller, H, height)
    return rows, _places(pixels % W, extent, smaller, W, width)


def _extent(shown: Tensor) -> Tensor:
    """Return how many places of bool [B, N] there are from the first true one to the last, int64 [B]."""
    before = shown.to(torch.int32).cumsum(dim=1) == 0
    after = shown.flip(1).to(torch.int32).cumsum(dim=1) == 0
    return shown.shape[1] - before.sum(dim=1) - after.sum(dim=1)


def _places(place: Tensor, extent: Tensor, smaller: int, limit: int, length: int) -> Tensor:
    """Return ``length`` places spread over a stretch of a line of ``limit`` pixels.

    Args:
        place: [B], what the stretch lies around; it is moved to lie inside of the line.
        extent: [B], the stretch is ``extent / smaller`` of ``length`` long, at least half of it and at most all.
        smaller: the smaller side of the window, in pixels.
        limit: length of the line, in pixels.
        length: number of places.

    Returns:
        float32 [B, length].
    """
    stretch = ((extent * length + smaller - 1) // smaller).clamp((length + 1) // 2, length)
    start = torch.minimum((place - stretch // 2).clamp(min=0), limit - stretch)
    steps = (torch.arange(length, device=place.device) + 0.5) * stretch[:, None] / length - 0.5
    return torch.minimum(steps.clamp(min=0), stretch[:, None] - 1) + start[:, None]


def _sampled(places: Tensor, limit: int) -> Tensor:
    """Return what each pixel of a line adds to places [B, length], linearly: float32 [B, length, limit]."""
    pixels = torch.arange(limit, device=places.device)
    return (1 - (places[:, :, None] - pixels).abs()).clamp(min=0)
