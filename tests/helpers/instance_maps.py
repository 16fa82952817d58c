"""Drawn people with instance maps, some or all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from groupdnet_hub.figures import write_figures


def figures_with_instances(
    folder: Path, count: int, *, without: int = 0, splits: tuple[str, ...] = ("train",)
) -> Path:
    """A data set of ``count`` people of 32 x 32 pixels in each split, of which the last ones lack an instance map."""
    for seed, split in enumerate(splits):
        write_figures(folder, count, size=(32, 32), split=split, seed=seed)
        listing = folder / split / "metadata.jsonl"
        lines = [json.loads(line) for line in listing.read_text().splitlines()]
        (folder / split / "instances").mkdir()
        for i, line in enumerate(lines[: count - without]):
            line["instance_file_name"] = f"instances/{i}.png"
            # Two halves, whose border moves from item to item.
            ids = np.repeat((np.arange(32) > 8 + i).astype(np.uint8)[:, None], 32, axis=1)
            Image.fromarray(ids).save(folder / split / line["instance_file_name"])
        listing.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
