"""Scaling and turning pictures and their maps alike."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F


def scale_and_turn(batch: Mapping[str, Tensor], cosine: Tensor, sine: Tensor) -> dict[str, Tensor]:
    """Scale and turn items about their centres; pictures are sampled bilinearly, maps at the nearest pixel.

    What comes into view repeats the edge, but never an edge that shows several classes: a person who is cut off there
    would continue as streaks. The item is then moved, or enlarged, until nothing beyond that edge is in view.

    Args:
        batch: ``image`` float [B, 3, H, W], ``label`` [B, H, W] and perhaps other maps [B, H, W].
        cosine: float32 [B], cosine of the angle, anticlockwise, divided by the enlargement.
        sine: float32 [B], its sine, divided likewise.

    Returns:
        The same entries and shapes.
    """
    label = batch["label"]
    B, H, W = label.shape
    middles = (H - 1) / 2, (W - 1) / 2
    zoom, by = _fit_inside(cosine, sine, middles, label)
    cosine, sine = (cosine * zoom)[:, None], (sine * zoom)[:, None]
    down = torch.arange(H, device=label.device) - middles[0]
    right = torch.arange(W, device=label.device) - middles[1]
    # Where each pixel comes from, relative to the centre: the sum of a part of its row and a part of its column.
    rows = cosine * down + by[0][:, None], sine * right
    columns = by[1][:, None] - sine * down, cosine * right
    half = max(middles[0], 0.5), max(middles[1], 0.5)
    grid = torch.empty(B, H, W, 2, device=label.device)
    torch.add((columns[0] / half[1])[:, :, None], (columns[1] / half[1])[:, None], out=grid[..., 0])
    torch.add((rows[0] / half[0])[:, :, None], (rows[1] / half[0])[:, None], out=grid[..., 1])
    image = F.grid_sample(batch["image"], grid, mode="bilinear", padding_mode="border", align_corners=True)
    nearest = ((rows[0] + middles[0])[:, :, None] + rows[1][:, None]).round_().clamp_(0, H - 1)
    across = ((columns[0] + middles[1])[:, :, None] + columns[1][:, None]).round_().clamp_(0, W - 1)
    places = nearest.mul_(W).add_(across).long().flatten(1)
    maps = {name: gather_pixels(value, places) for name, value in batch.items() if name != "image"}
    return {"image": image, **maps}


def gather_pixels(value: Tensor, places: Tensor) -> Tensor:
    """Return pixels of [B, H, W] or [B, C, H, W] at ``places`` int64 [B, H * W], the same for all channels."""
    if value.ndim == 4:
        places = places[:, None].expand(-1, value.shape[1], -1)
    return value.flatten(-2).gather(-1, places).view(value.shape)


def are_uniform(lines: Tensor) -> Tensor:
    """Return whether each line of a label map, [B, length], shows one class alone: bool [B]."""
    return (lines == lines[:, :1]).all(dim=1)


def _fit_inside(
    cosine: Tensor, sine: Tensor, middles: tuple[float, float], label: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Return the zoom towards the centre, and the shift down and right after it, that keep sampled places inside.

    None of them then lies beyond an edge of the label map that shows several classes.

    Args:
        cosine: as :func:`scale_and_turn` takes it.
        sine: as :func:`scale_and_turn` takes it.
        middles: distances in pixels of the edges from the centre, vertically and horizontally.
        label: [B, H, W].

    Returns:
        (zoom, [down, right]), float32 [B] each.
    """
    # The largest distance of a sampled place from the centre, that of the corners, the same on both sides.
    reach = (
        cosine.abs() * middles[0] + sine.abs() * middles[1],
        cosine.abs() * middles[1] + sine.abs() * middles[0],
    )
    plain = [[are_uniform(label.select(dim, place)) for place in (0, -1)] for dim in (1, 2)]
    zoom = torch.ones_like(cosine)
    for far, middle, (first, last) in zip(reach, middles, plain, strict=True):
        fitting = middle / far.clamp(min=max(middle, 0.5))
        zoom = torch.where(first | last, zoom, torch.minimum(zoom, fitting))
    by = [
        (far * zoom - middle).clamp(min=0) * (last.float() - first.float())
        for far, middle, (first, last) in zip(reach, middles, plain, strict=True)
    ]
    return zoom, by
