"""Pictures and their maps scaled and turned alike."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F


def turned(batch: Mapping[str, Tensor], cosine: Tensor, sine: Tensor) -> dict[str, Tensor]:
    """Items scaled and turned about their centres; pictures are sampled bilinearly, maps take the nearest place.

    What comes into view repeats the edge, but never an edge that shows several classes: a person who is cut off there
    would go on as streaks. The item is then moved, or enlarged, until no more than that edge is seen.

    Args:
        batch: ``image`` float [B, 3, H, W], ``label`` [B, H, W] and perhaps other maps [B, H, W] of whole numbers.
        cosine, sine: float32 [B], of the angle, anticlockwise, divided by the factor that enlarges what is seen.
    """
    label = batch["label"]
    B, H, W = label.shape
    middles = (H - 1) / 2, (W - 1) / 2
    zoom, by = _inside(cosine, sine, middles, label)
    cosine, sine = (cosine * zoom)[:, None], (sine * zoom)[:, None]
    down = torch.arange(H, device=label.device) - middles[0]
    right = torch.arange(W, device=label.device) - middles[1]
    # Where each place comes from, relative to the centre: a sum of what its row and what its column say.
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
    maps = {name: gathered(value, places) for name, value in batch.items() if name != "image"}
    return {"image": image, **maps}


def gathered(value: Tensor, places: Tensor) -> Tensor:
    """Pixels of [B, H, W] or [B, C, H, W] taken from ``places`` int64 [B, H * W], the same of every channel."""
    if value.ndim == 4:
        places = places[:, None].expand(-1, value.shape[1], -1)
    return value.flatten(-2).gather(-1, places).view(value.shape)


def plain_edges(lines: Tensor) -> Tensor:
    """Whether each line of a label map, [B, length], shows one class alone: bool [B]."""
    return (lines == lines[:, :1]).all(dim=1)


def _inside(
    cosine: Tensor, sine: Tensor, middles: tuple[float, float], label: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """By how much places are drawn towards the centre, and then moved down and right, float32 [B] each.

    None then lies beyond an edge of the label map [B, H, W] that shows several classes.

    Args:
        middles: how far the edges are from the centre.
    """
    # How far places lie from the centre at most, as the corners do: as far beyond the one edge as beyond the other.
    reach = (
        cosine.abs() * middles[0] + sine.abs() * middles[1],
        cosine.abs() * middles[1] + sine.abs() * middles[0],
    )
    plain = [[plain_edges(label.select(dim, place)) for place in (0, -1)] for dim in (1, 2)]
    zoom = torch.ones_like(cosine)
    for far, middle, (first, last) in zip(reach, middles, plain, strict=True):
        fitting = middle / far.clamp(min=max(middle, 0.5))
        zoom = torch.where(first | last, zoom, torch.minimum(zoom, fitting))
    by = [
        (far * zoom - middle).clamp(min=0) * (last.float() - first.float())
        for far, middle, (first, last) in zip(reach, middles, plain, strict=True)
    ]
    return zoom, by
