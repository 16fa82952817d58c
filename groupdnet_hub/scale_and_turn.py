"""A picture and its maps scaled and turned alike."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F


def scaled_and_turned(item: Mapping[str, Tensor], factor: float, degrees: float) -> dict[str, Tensor]:
    """An item scaled and turned about its centre; the picture is sampled bilinearly, its maps take the nearest place.

    What comes into view repeats the edge, but never an edge that shows several classes: a person who is cut off there
    would go on as streaks. The item is then moved, or enlarged, until no more than that edge is seen.

    Args:
        item: ``image`` [3, H, W], ``label`` [H, W] and perhaps other maps [H, W] of whole numbers.
        factor: above 1 enlarges what is seen.
        degrees: anticlockwise.
    """
    label = item["label"]
    H, W = label.shape
    angle = math.radians(degrees)
    cosine, sine = math.cos(angle) / factor, math.sin(angle) / factor
    down = torch.arange(H)[:, None] - (H - 1) / 2
    right = torch.arange(W) - (W - 1) / 2
    # Where each place comes from, relative to the centre.
    rows = cosine * down + sine * right
    columns = cosine * right - sine * down
    rows, columns = _inside(rows, columns, label)
    grid = torch.stack((columns / max((W - 1) / 2, 0.5), rows / max((H - 1) / 2, 0.5)), dim=-1)
    image = F.grid_sample(
        item["image"][None], grid[None], mode="bilinear", padding_mode="border", align_corners=True
    )[0]
    nearest_rows = (rows + (H - 1) / 2).round().long().clamp(0, H - 1)
    nearest_columns = (columns + (W - 1) / 2).round().long().clamp(0, W - 1)
    maps = {name: value[nearest_rows, nearest_columns] for name, value in item.items() if name != "image"}
    return {"image": image, **maps}


def plain_edges(label: Tensor, dim: int) -> tuple[bool, bool]:
    """Whether the first and the last line of a label map [H, W] along ``dim`` show one class alone."""
    first, last = (label.select(dim, place) for place in (0, -1))
    return bool((first == first[0]).all()), bool((last == last[0]).all())


def _inside(rows: Tensor, columns: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """Places relative to the centre, such that none lies beyond an edge that shows several classes."""
    middles = [(side - 1) / 2 for side in label.shape]
    plain = [plain_edges(label, dim) for dim in (0, 1)]
    zoom = 1.0
    for places, middle, edges in zip((rows, columns), middles, plain, strict=True):
        if edges == (False, False):
            zoom = min(zoom, middle / max(middle, float(places.max())))
    moved = []
    for places, middle, edges in zip((rows * zoom, columns * zoom), middles, plain, strict=True):
        # Places are symmetric about the centre: they reach as far beyond the one edge as beyond the other.
        beyond = max(0.0, float(places.max()) - middle)
        moved.append(places + beyond * (int(edges[1]) - int(edges[0])) if edges[0] != edges[1] else places)
    return moved[0], moved[1]
