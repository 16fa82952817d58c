"""A small data set of drawn people, for tests and a first training.

``python -m groupdnet_hub.figures FOLDER --count 64`` writes one in the layout that training reads.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from groupdnet_hub.data.figure_drawing import Crop, draw_figure
from groupdnet_hub.data.figure_textures import FIGURE_LABELS
from groupdnet_hub.data.labels import label_picture


def write_figures(
    folder: str | os.PathLike[str],
    count: int,
    *,
    seed: int = 0,
    size: tuple[int, int] = (256, 256),
    split: str = "train",
) -> Path:
    """Write ``count`` drawn people as ``folder/SPLIT`` with ``images/``, ``labels/`` and ``metadata.jsonl``.

    Every second one is an upper-body crop. The split is written atomically.

    Args:
        folder: root folder of the data set, created if it is missing.
        count: number of pictures.
        seed: seed of the pictures.
        size: (height, width) in pixels.
        split: name of the split.

    Returns:
        The folder of the split.

    Raises:
        ValueError: if the split is already there, or ``count`` is below 1.
    """
    if count < 1:
        raise ValueError(f"count is {count}; it must be at least 1")
    root = Path(folder)
    target = root / split
    if target.exists():
        raise ValueError(f"{target} exists already: choose another folder or split")
    root.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{split}-", dir=root))
    try:
        (partial / "images").mkdir()
        (partial / "labels").mkdir()
        lines = []
        for i in range(count):
            crop: Crop = "upper" if i % 2 else "full"
            picture, label = draw_figure(seed * 1_000_003 + i, size, crop=crop)
            name = f"figure_{i:05d}.png"
            picture.save(partial / "images" / name)
            label_picture(label, FIGURE_LABELS).save(partial / "labels" / name)
            lines.append(json.dumps({"file_name": f"images/{name}", "label_file_name": f"labels/{name}"}))
        (partial / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
        partial.chmod(0o755)
        FIGURE_LABELS.to_file(root / "classes.json")
        os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m groupdnet_hub.figures", description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--size", type=int, default=128, help="height and width in pixels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", default="train")
    args = parser.parse_args(argv)
    try:
        target = write_figures(
            args.folder, args.count, seed=args.seed, size=(args.size, args.size), split=args.split
        )
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    print(f"wrote {args.count} pictures into {target}")


if __name__ == "__main__":
    main()
