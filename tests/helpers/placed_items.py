"""Items whose moves can be told, and label maps with outlines that can be simplified."""

from __future__ import annotations

import torch
from torch import Tensor

from groupdnet_hub.data.figure_drawing import draw_figure
from tests.helpers.network_models import generator


def item(label: Tensor) -> dict[str, Tensor]:
    """An item whose every pixel and instance id tells where it came from."""
    H, W = label.shape
    numbers = torch.arange(H * W).view(H, W)
    return {"image": (numbers.float() / (H * W))[None].expand(3, H, W), "label": label, "instance": numbers}


def figure(H: int = 40, W: int = 30) -> Tensor:
    """A label map with a person inside of it: no edge shows but the background."""
    label = torch.zeros(H, W, dtype=torch.int64)
    label[12:28, 10:20] = 1
    return label


def ragged(seed: int, size: tuple[int, int] = (128, 64)) -> Tensor:
    """A figure whose outlines are as frayed as those of superpixels, with a belt of two rows and glasses."""
    _, ids = draw_figure(seed, size)
    label = torch.from_numpy(ids).long()
    by = torch.randint(-2, 3, size, generator=generator(seed))
    rows = (torch.arange(size[0])[:, None] + by).clamp(0, size[0] - 1)
    label = label[rows, torch.arange(size[1])]
    label[60:62, 26:40] = 8
    label[20, 29:36:6] = 9
    return label
