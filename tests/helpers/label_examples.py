"""Small label sets and maps that several tests use."""

from __future__ import annotations

import numpy as np

from groupdnet_hub import LabelSet

LABELS = LabelSet(
    ("background", "hair", "face", "top-clothes"), ((0, 0, 0), (140, 80, 30), (255, 200, 160), (60, 120, 216))
)
IDS = np.array([[0, 1, 1, 3], [2, 2, 3, 0], [0, 0, 1, 2]])


def numbered(count: int) -> LabelSet:
    return LabelSet.from_names([f"class {i}" for i in range(count)])


def draw_ids(labels: LabelSet, height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, len(labels), (height, width))
