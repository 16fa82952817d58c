"""Data sets of which some pixels are unknown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.label_maps import read_label_map
from groupdnet_hub.figures import write_figures

# Value of unknown pixels.
VOID = 255


def write_partial_figures(
    folder: Path, count: int, *, split: str = "validation", size: int = 48, seed: int = 0, scramble: int = 0
) -> np.ndarray:
    """Write drawn people whose maps hold 255 in a rectangle, a quarter of the pixels of every map but the first.

    Args:
        folder: root folder of the data set.
        count: number of pictures.
        split: name of the split.
        size: height and width.
        seed: seed of the pictures.
        scramble: not 0: seed of noise that the photos show at unknown pixels.

    Returns:
        bool [size, size], the rectangle.
    """
    write_figures(folder, count, split=split, size=(size, size), seed=seed)
    unknown = np.zeros((size, size), bool)
    unknown[size // 4 : -size // 4, size // 4 : -size // 4] = True
    for number in range(1, count):
        path = folder / split / "labels" / f"figure_{number:05d}.png"
        ids = np.where(unknown, VOID, read_label_map(path, FIGURE_LABELS))
        Image.fromarray(ids.astype(np.uint8)).save(path)
        if scramble:
            path = folder / split / "images" / path.name
            pixels = np.array(Image.open(path).convert("RGB"))
            noise = np.random.default_rng((scramble, number)).integers(0, 256, pixels.shape, dtype=np.uint8)
            Image.fromarray(np.where(unknown[:, :, None], noise, pixels)).save(path)
    return unknown
