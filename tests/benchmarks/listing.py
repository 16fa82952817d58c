"""What the steps over all items of a data set cost before the first is used: ``python tests/benchmarks/listing.py``.

Files are hard links to a picture of one pixel, which are removed at the end; seconds are those of this process's
processor, beside those of the clock.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from groupdnet_hub import LabelSet
from groupdnet_hub.data.checks.items import check_item
from groupdnet_hub.data.checks.verdict import data_digest
from groupdnet_hub.data.listing import FolderPairs
from groupdnet_hub.prepare.sources import find_folder_pair
from groupdnet_hub.prepare.work.shards import ShardPlan

# Links to one file that every file system allows.
_LINKS = 30_000
# Items whose headers are checked; the time of all is computed from it.
_CHECKED = 2000


def main() -> None:
    """Write the files, and print a line for each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--folder", help="where the files are written; by default that of the system")
    items = parser.parse_args().items
    labels = LabelSet.from_names(["background", "thing"])
    with tempfile.TemporaryDirectory(dir=parser.parse_args().folder) as name:
        split = Path(name) / "train"
        _write(split, items)
        found = _timed("raw pictures and maps are matched", _found, split)
        _timed("and planned as shards", ShardPlan, found, 1000)
        del found
        pairs = _timed("metadata.jsonl is listed", FolderPairs, [split])
        _timed(
            "files are compared with an earlier check",
            data_digest,
            {"train": pairs},
            labels,
            "1",
            instances=False,
        )
        checked = range(0, items, max(1, items // _CHECKED))
        before = time.process_time()
        for index in checked:
            assert check_item(pairs, index, labels, "headers", split="train", instances=False) is None
        each = (time.process_time() - before) / len(checked)
        print(
            f"headers are checked: {each * 1e3:.2f} ms of a core for an item, {each * items / 60:.1f} min for all"
        )


def _write(split: Path, items: int) -> None:
    for part, mode in (("images", "RGB"), ("labels", "L")):
        (split / part).mkdir(parents=True)
        for index in range(items):
            path = split / part / f"photo_{index:07d}.png"
            if index % _LINKS == 0:
                Image.new(mode, (1, 1)).save(path)
                source = path
            else:
                os.link(source, path)
    with (split / "metadata.jsonl").open("w") as file:
        for index in range(items):
            name = f"photo_{index:07d}.png"
            file.write(f'{{"file_name": "images/{name}", "label_file_name": "labels/{name}"}}\n')


def _found(split: Path) -> Any:
    named = {"split": "train", "validation_fraction": 0.0}
    return find_folder_pair(split / "images", split / "labels", split.parent / "out", **named)


def _timed(what: str, fn: Callable[..., Any], *args: Any, **options: Any) -> Any:
    wall, own = time.monotonic(), time.process_time()
    answer = fn(*args, **options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    wall, own = time.monotonic() - wall, time.process_time() - own
    print(
        f"{what}: {own:.1f} s ({wall:.1f} s by the clock); {peak:.2f} GiB of memory at most so far",
        flush=True,
    )
    return answer


if __name__ == "__main__":
    main()
