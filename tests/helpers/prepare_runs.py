"""Runs of the data preparation, for several test files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from groupdnet_hub.prepare.labels import CCP
from train.prepare import main

# Of Clothing Co-Parsing, "null" first.
TAGS = tuple(sorted(CCP, key=lambda tag: (tag != "null", tag)))


def prepare(*flags: object) -> int:
    return main([*map(str, flags), "--num_workers", "0"])


def entries(split: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (split / "metadata.jsonl").read_text().splitlines()]


def ids_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))
