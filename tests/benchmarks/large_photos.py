"""What it takes to read a photo of 50 megapixels: ``python tests/benchmarks/large_photos.py``.

Each line is one file, read in a process of its own as the page reads it: scaled down to 1600 pixels while decoding.
The memory is the most that it took beyond what the process had before. HEIC is left out without pillow-heif, and takes
minutes to be written.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, features

from groupdnet_hub.io.images import read_photo
from tests.helpers.hostile_files import peak_memory

SIDE = 1600


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, nargs=2, default=(8192, 6144), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--heic", action="store_true", help="HEIC too")
    args = parser.parse_args()
    print("| file | MB | seconds | MiB |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for path in write_photos(Path(folder), tuple(args.size), args.heic):
            # A new process: memory that was freed before would be taken again unseen.
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                seconds, memory = pool.apply(reading, (path,))
            print(f"| {path.name} | {path.stat().st_size / 1e6:.1f} | {seconds:.2f} | {memory / 2**20:.0f} |")


def write_photos(folder: Path, size: tuple[int, int], heic: bool) -> list[Path]:
    """Write a photo of noise as coarse as a phone's in each format."""
    noise = np.random.default_rng(0).integers(0, 256, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    photo = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    photo.save(folder / "baseline.jpg", quality=92)
    photo.save(folder / "progressive.jpg", quality=92, progressive=True)
    photo.save(folder / "progressive-444.jpg", quality=92, progressive=True, subsampling=0)
    if features.check("avif"):
        photo.save(folder / "photo.avif", quality=50, speed=10)
    if heic and find_spec("pillow_heif"):
        import pillow_heif

        pillow_heif.from_pillow(photo).save(folder / "photo.heic", quality=50)
    return sorted(folder.iterdir())


def reading(path: Path) -> tuple[float, int]:
    """Return the seconds and the bytes that a photo takes."""
    before, start = peak_memory(reset=True), time.perf_counter()
    read_photo(path, side=SIDE)
    return time.perf_counter() - start, peak_memory() - before


if __name__ == "__main__":
    main()
