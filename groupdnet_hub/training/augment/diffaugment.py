"""Differentiable augmentation of what the discriminator sees, against overfitting on small data.

After Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training" (NeurIPS 2020): colour, translation and
cutout, on real and generated pictures alike, in both updates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from groupdnet_hub.training.shared_stream import SharedStream, StreamId

# Fractions of the side: how far a picture is moved at most, and how large the square is that is cut out.
_TRANSLATION = 1 / 8
_CUTOUT = 1 / 2
# The draws, from 0 to 1, that change nothing: of brightness, saturation, contrast, two offsets, and a square's centre,
# which lies far outside.
NEUTRAL = (0.5, 0.5, 0.5, 0.5, 0.5, 2.0, 2.0)


class DiffAugment(SharedStream):
    """Colour, translation and cutout of label input and picture together."""

    stream_id = StreamId.DIFFAUGMENT
    _compiled: Callable[[Tensor, Tensor], Tensor] | None = None

    def __call__(self, x: Tensor, copies: int = 1) -> Tensor:
        """Change x [B, label channels + 3, H, W], differently for each item; gradients flow to the picture.

        Args:
            x: label input and pictures [copies * B, label channels + 3, H, W].
            copies: how many batches of the same label maps x holds, one behind the other. They are changed alike:
                feature matching compares a picture with the real one, place by place.
        """
        return (self._compiled or augmented)(x, self._draw_alike(x, copies))

    def plain(self, x: Tensor, copies: int = 1) -> Tensor:
        """Change x as a call does, never compiled: with second derivatives."""
        return augmented(x, self._draw_alike(x, copies))

    def _draw_alike(self, x: Tensor, copies: int) -> Tensor:
        """Return draws [B, 7], the same for each copy."""
        return self.draw(len(x) // copies, x.device).repeat(copies, 1)

    def compile(self, **options: Any) -> None:
        """Have ``torch.compile`` take all but the draws."""
        self._compiled = torch.compile(augmented, **options)

    def draw(self, items: int, device: torch.device) -> Tensor:
        """Return random numbers [items, 7] from 0 to 1: three for the colour, two each for translation and cutout."""
        return self.uniform(items, len(NEUTRAL), device=device)

    def observe(self, realness: Tensor, counts: Tensor | None = None) -> None:
        """Take note of a batch of real pictures: nothing here depends on it."""

    def report(self) -> dict[str, Tensor]:
        """Return what is to be logged: nothing."""
        return {}


def augmented(x: Tensor, draws: Tensor) -> Tensor:
    """Change each item of x [B, label channels + 3, H, W] by its draws [B, 7]."""
    colours = _recolour(x[:, -3:], draws[:, :3])
    x = torch.cat((x[:, :-3], colours), dim=1)
    return _cut_out(_translate(x, draws[:, 3:5]), draws[:, 5:7])


def _recolour(picture: Tensor, draws: Tensor) -> Tensor:
    """Change brightness by +-0.5, saturation by a factor of 0..2, contrast by one of 0.5..1.5."""
    brightness, saturation, contrast = draws.to(picture.dtype).view(-1, 3, 1, 1, 1).unbind(dim=1)
    picture = picture + (brightness - 0.5)
    grey = picture.mean(dim=1, keepdim=True)
    picture = grey + (picture - grey) * (2 * saturation)
    middle = picture.mean(dim=(1, 2, 3), keepdim=True)
    return middle + (picture - middle) * (contrast + 0.5)


def _translate(x: Tensor, draws: Tensor) -> Tensor:
    """Move by an integer number of pixels; what comes in from outside is zero."""
    B, _, H, W = x.shape
    places = []
    for axis, side in enumerate((H, W)):
        reach = round(side * _TRANSLATION)
        offsets = (draws[:, axis] * (2 * reach + 1)).long().clamp(max=2 * reach)  # where ``reach`` is no move
        places.append(offsets[:, None] + torch.arange(side, device=x.device))
    rows, columns = places
    padding = round(W * _TRANSLATION), round(H * _TRANSLATION)
    padded = F.pad(x, (padding[0], padding[0], padding[1], padding[1]))
    items = torch.arange(B, device=x.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[items, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cut_out(x: Tensor, draws: Tensor) -> Tensor:
    """Set a rectangle of half the height and width around a random place to zero."""
    rows, columns = (
        (torch.arange(side, device=x.device) - side * draws[:, axis, None]).abs() < side * _CUTOUT / 2
        for axis, side in enumerate(x.shape[2:])
    )
    kept = ~(rows[:, None, :, None] & columns[:, None, None, :])
    return x * kept
