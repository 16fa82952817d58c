"""Textures of drawn people: uneven outlines, colours and patterns."""

from __future__ import annotations

import numpy as np
from PIL import Image

from groupdnet_hub.config.presets import DEEPFASHION_CLASSES, DEEPFASHION_PALETTE
from groupdnet_hub.data.labels import LabelSet

FIGURE_LABELS = LabelSet(DEEPFASHION_CLASSES, DEEPFASHION_PALETTE)
BACKGROUND, HAIR, FACE, SKIN, TOP, BOTTOM, SOCKS, SHOES = range(8)


def smooth_noise(random: np.random.Generator, size: tuple[int, int], cells: int) -> np.ndarray:
    """Return smooth noise float [H, W], about -1 to 1, on ``cells`` x ``cells`` cells."""
    coarse = Image.fromarray(random.uniform(-1, 1, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize((size[1], size[0]), Image.Resampling.BICUBIC))


def warp(label: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Make outlines uneven: each pixel takes its class from a place a little to the side."""
    height, width = label.shape
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    for cells, strength in ((6, 0.012), (20, 0.005)):
        rows += smooth_noise(random, label.shape, cells) * strength * height
        columns += smooth_noise(random, label.shape, cells) * strength * width
    return label[
        np.clip(np.rint(rows), 0, height - 1).astype(int), np.clip(np.rint(columns), 0, width - 1).astype(int)
    ]


def paint(label: np.ndarray, random: np.random.Generator) -> Image.Image:
    """Paint every class in a colour and texture of its own."""
    height, width = label.shape
    skin = np.array([235, 195, 165]) * random.uniform(0.45, 1.05)
    colours = {
        BACKGROUND: np.full(3, random.uniform(215, 245)),
        HAIR: np.array([150, 105, 60]) * random.uniform(0.15, 1.2),
        FACE: skin,
        SKIN: skin * 0.97,
    }
    for class_id in (TOP, BOTTOM, SOCKS, SHOES):
        colours[class_id] = random.uniform(15, 245, 3)
    picture = np.empty((height, width, 3))
    rows, columns = np.mgrid[0:height, 0:width] * (128 / height)
    for class_id, colour in colours.items():
        region = label == class_id
        shade = 1 + (0.01 if class_id == BACKGROUND else 0.08) * smooth_noise(random, label.shape, 8)
        if class_id in (TOP, BOTTOM):
            texture = random.choice(["plain", "stripes", "checks", "dots"], p=[0.5, 0.2, 0.15, 0.15])
            step = random.uniform(4, 9)
            across, down = np.sin(columns * 2 * np.pi / step), np.sin(rows * 2 * np.pi / step)
            if texture == "stripes":
                shade = shade * np.where(down > 0, 1.0, 0.6)
            elif texture == "checks":
                shade = shade * np.where((down > 0) ^ (across > 0), 1.0, 0.7)
            elif texture == "dots":
                shade = shade * np.where(down * across > 0.45, 1.5, 1.0)
        picture[region] = (colour * shade[..., None])[region]
    edges = np.zeros_like(label, dtype=bool)
    edges[:, 1:] |= label[:, 1:] != label[:, :-1]
    edges[1:] |= label[1:] != label[:-1]
    picture[edges & (label != BACKGROUND)] *= 0.75
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
