"""A plain figure of four classes, for measures of regions."""

from __future__ import annotations

import torch

SIDE = 64
BACKGROUND, TOP, FACE, SKIN = range(4)


def figure() -> torch.Tensor:
    """A head above a top, skin beside it, on a backdrop."""
    label = torch.zeros(SIDE, SIDE, dtype=torch.int64)
    label[4:20, 24:40] = FACE
    label[22:60, 12:44] = TOP
    label[22:60, 46:58] = SKIN
    return label


def painted(colours: dict[int, tuple[int, int, int]]) -> torch.Tensor:
    picture, label = torch.full((3, SIDE, SIDE), 240, dtype=torch.uint8), figure()
    for class_id, colour in colours.items():
        picture[:, label == class_id] = torch.tensor(colour, dtype=torch.uint8)[:, None]
    return picture
