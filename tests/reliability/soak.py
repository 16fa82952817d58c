"""Does memory grow? ``python tests/reliability/soak.py pipeline --calls 2000`` and ``... training --steps 1000``.

``pipeline`` makes mixed calls on more label maps than the pipeline's memory limit holds; ``training`` runs train.py in
a process of its own, with sample grids and checkpoints. Each prints the resident memory after the first tenth and at
the end, and ends with status 1 if it grew by 5 % or more.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "space")]

LIMIT = 0.05
# Means over so many readings: what one call holds for a moment is no growth.
_READINGS = 20


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("pipeline", "training"))
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--model", help="folder or Hub id (default: a tiny one)")
    args = parser.parse_args(argv)
    if args.what == "pipeline":
        readings = pipeline_memory(args.calls, args.model)
        unit = f"{args.calls} calls"
    else:
        readings = training_memory(args.steps)
        unit = f"{args.steps} steps"
    first, last = _level(readings, len(readings) // 10), _level(readings, len(readings))
    growth = last / first - 1
    print(
        f"{unit}: {first:.1f} MiB after the first tenth, {last:.1f} MiB at the end: {growth:+.2%} "
        f"(limit {LIMIT:.0%})"
    )
    return 0 if growth < LIMIT else 1


def _level(readings: Sequence[float], until: int) -> float:
    return statistics.fmean(readings[max(0, until - _READINGS) : until])


def pipeline_memory(calls: int, model_id: str | None) -> list[float]:
    """Memory after each of so many calls: sample, reroll, mix, morph, edit, encode and a round trip over the disk."""
    import numpy as np
    import torch

    from groupdnet_hub import GroupDNetPipeline, Look
    from tests.helpers.network_models import make_model
    from tests.helpers.resident_memory import resident_mib

    torch.set_num_threads(1)
    if model_id is None:
        pipe = GroupDNetPipeline(make_model(8, (64, 64), 4), cache_bytes=4 * 2**20)
    else:
        pipe = GroupDNetPipeline.from_pretrained(model_id)
    height, width = pipe.model.config.image_size
    count = len(pipe.labels)
    draw = np.random.default_rng(0)
    coarse = draw.integers(0, count, (24, height // 8, width // 8))
    masks = [np.kron(one, np.ones((8, 8), dtype=np.int64)) for one in coarse]
    looks = [pipe.sample(mask, seed=i) for i, mask in enumerate(masks[:4])]

    def other() -> Look:
        return looks[draw.integers(len(looks))]

    def mask() -> np.ndarray:
        return masks[draw.integers(len(masks))]

    def class_() -> int:
        return int(draw.integers(count))

    with tempfile.TemporaryDirectory() as folder:

        def round_trip() -> Look:
            other().save(Path(folder) / "look")
            return Look.load(Path(folder) / "look")

        actions: list[Callable[[], Look]] = [
            lambda: pipe.sample(mask()),
            lambda: pipe.reroll(other(), class_()),
            lambda: pipe.mix(mask(), {class_(): other()}, base=other()),
            lambda: pipe.morph(looks[0], looks[1], steps=3)[1],
            lambda: pipe.edit(other(), mask()),
            lambda: pipe.encode(other().image, mask()),
            round_trip,
        ]
        readings = []
        for call in range(calls):
            looks[call % len(looks)] = actions[call % len(actions)]()
            readings.append(resident_mib(os.getpid()))
    gc.collect()
    return readings


def training_memory(steps: int) -> list[float]:
    """Memory of train.py at each of its steps: a tiny model on drawn people, with grids, checkpoints and an average."""
    from groupdnet_hub.figures import write_figures
    from tests.helpers.resident_memory import resident_mib
    from tests.helpers.train_runs import command_line

    with tempfile.TemporaryDirectory() as folder:
        write_figures(Path(folder) / "drawn", 24, size=(32, 32))
        every = str(max(1, steps // 20))
        flags = ["--perceptual_net", "none", "--use_ema", "--random_flip", "--max_train_steps", str(steps)]
        flags += ["--logging_steps", "1"]  # a line on the standard error for each step
        flags += [
            "--validation_steps",
            every,
            "--checkpointing_steps",
            every,
            "--checkpoints_total_limit",
            "1",
        ]
        command, environment = command_line(Path(folder) / "drawn", Path(folder) / "run", *flags)
        process = subprocess.Popen(
            command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        readings: dict[int, float] = {}
        tail = b""
        while chunk := os.read(process.stderr.fileno(), 2**16):
            tail = (tail + chunk)[-4000:]
            found = re.findall(rb"\| *(\d+)/%d " % steps, tail)
            if found and process.poll() is None:
                readings[int(found[-1])] = resident_mib(process.pid)
        if process.wait():
            sys.exit(f"train.py ended with {process.returncode}: {tail.decode(errors='replace')}")
    if len(readings) < steps / 2:
        sys.exit(f"only {len(readings)} of {steps} steps were seen")
    return [readings[step] for step in sorted(readings) if step]


if __name__ == "__main__":
    sys.exit(main())
