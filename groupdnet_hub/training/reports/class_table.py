"""A table with a row for each class: how much of the previewed pictures it is, and how well it is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from groupdnet_hub.data.labels import shown_classes
from groupdnet_hub.training.reports.trackers import Cell, Table


def class_table(
    names: Sequence[str], known: Tensor, kl: Tensor | None, distances: Mapping[str, Tensor]
) -> Table:
    """Return the table of the classes in pictures that a preview shows.

    Args:
        names: names of the C classes.
        known: int64 [B, H, W], class ids, -1 at unknown pixels.
        kl: KL divergence of each class's code, mean over the pictures, [C]; None where classes have no codes.
        distances: absolute differences to the photos, mean over the colours, [B, H, W], by the name of what is drawn.

    Returns:
        Fraction of the known pixels, pictures that show the class, KL divergence, and mean distance at its pixels.
    """
    # Unknown pixels make a last class, which is left out.
    ids = torch.where(known < 0, len(names), known).flatten()
    pixels = torch.bincount(ids, minlength=len(names) + 1)[:-1]
    fractions = (pixels / pixels.sum().clamp(min=1)).tolist()
    pictures = shown_classes(known, len(names)).sum(dim=0).tolist()
    columns: list[str] = ["class", "fraction of pixels", "pictures"]
    values: list[Sequence[Cell]] = [names, fractions, pictures]
    if kl is not None:
        columns.append("kl")
        values.append(kl.tolist())
    for name, distance in distances.items():
        columns.append(f"l1 of {name}")
        sums = torch.bincount(ids, distance.double().flatten(), minlength=len(names) + 1)[:-1]
        means = (sums / pixels).tolist()
        values.append([mean if n else None for mean, n in zip(means, pictures, strict=True)])
    return Table(tuple(columns), tuple(zip(*values, strict=True)))
