"""Data sets of which some pixels are unknown, as those of Pascal VOC are: at outlines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from groupdnet_hub.figures import write_figures


def outlines(ids: np.ndarray) -> np.ndarray:
    """Where pixels of maps [H, W] lie beside one of another class, bool."""
    down, across = np.diff(ids, axis=0) != 0, np.diff(ids, axis=1) != 0
    found = np.zeros(ids.shape, bool)
    found[1:] |= down
    found[:-1] |= down
    found[:, 1:] |= across
    found[:, :-1] |= across
    return found


def write_bordered(
    folder: Path, count: int, size: tuple[int, int], *, value: int = 255, split: str = "train"
) -> None:
    """Write drawn people whose outlines have an id that is no class, and a corner too; classes.json says nothing."""
    write_figures(folder, count, split=split, size=size)
    for path in sorted(folder.glob(f"{split}/labels/*.png")):
        ids = np.asarray(Image.open(path)).copy()
        ids[outlines(ids)] = value
        ids[: size[0] // 8, : size[1] // 4] = value
        Image.fromarray(ids).save(path)


def repaint(folder: Path, seed: int, *, value: int = 255) -> None:
    """Let a folder's photos show noise where their label maps hold an id."""
    generator = np.random.default_rng(seed)
    for path in sorted(folder.glob("*/images/*.png")):
        pixels = np.array(Image.open(path).convert("RGB"))
        unknown = np.asarray(Image.open(path.parents[1] / "labels" / path.name)) == value
        pixels[unknown] = generator.integers(0, 256, (int(unknown.sum()), 3))
        Image.fromarray(pixels).save(path)


def ignore_in(folder: Path, *values: int | list[int]) -> None:
    """Let a folder's classes.json ignore ids and colours."""
    path = folder / "classes.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "ignore": values}))
