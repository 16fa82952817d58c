"""What measuring quality costs a run: ``python tests/benchmarks/evaluation_share.py --cases ccp --device cpu``.

One process makes steps of ``train.py`` and measures the model with the default flags of ``--evaluation_steps``, and
saves it as ``--keep_best`` does. Printed are the seconds of a step, of a measurement, and the share of the time that
measuring takes at the default interval. On a CPU seconds are those of the process, which other processes do not change.

The average of the weights is not counted: the sample grid and the checkpoint of the same step need it anyway.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

_ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(_ROOT))

from groupdnet_hub.training.config import TrainConfig  # noqa: E402
from groupdnet_hub.training.config.quality import DEFAULT_INTERVAL  # noqa: E402
from groupdnet_hub.training.fast.step_form import choose_form  # noqa: E402
from groupdnet_hub.training.reports.quality_meter import QualityMeter  # noqa: E402
from tests.benchmarks.decode import synchronise  # noqa: E402
from tests.benchmarks.train_step import CASES as STEP_CASES  # noqa: E402
from tests.helpers.step_runs import pictures, random_trunk, step_run  # noqa: E402

# Classes of the label maps and flags of each case; ccp is train/configs/ccp.yaml.
CASES = {**STEP_CASES, "ccp": (8, "--resolution 128 --width 40 --use_ema --prior_rank 4")}
# Items of the validation split.
_ITEMS = 150


def main() -> None:
    """Measure what the command line asks for and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", nargs="+", default=["ccp"], choices=list(CASES))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--mixed_precision", default="no", choices=["no", "bf16"])
    parser.add_argument("--steps", type=int, default=3, help="timed ones; the median counts")
    parser.add_argument(
        "--warm_ups", type=int, default=1, help="steps before that; on CUDA at least 6, to record"
    )
    args = parser.parse_args()
    print(f"batch {args.batch_size}, {args.mixed_precision}, {args.device}, every {DEFAULT_INTERVAL} steps\n")
    print("| case | seconds a step | seconds a measurement | share of the time |\n|---|---|---|---|")
    for case in args.cases:
        step, measurement = seconds(case, args)
        share = measurement / (DEFAULT_INTERVAL * step + measurement)
        print(f"| {case} | {step:.3f} | {measurement:.1f} | **{100 * share:.2f} %** |", flush=True)


def seconds(case: str, args: argparse.Namespace) -> tuple[float, float]:
    """Seconds of a step, and of the first measurement, which looks at the photos too."""
    classes, flags = CASES[case]
    device = torch.device(args.device)
    asked = TrainConfig(train_data_dir=(".",), mixed_precision=args.mixed_precision)
    form, _ = choose_form(asked, args.device, 1)
    with tempfile.TemporaryDirectory() as folder:
        weights = {net: str(random_trunk(Path(folder), net)) for net in ("alexnet", "vgg16")}
        options: dict[str, Any] = {"classes": classes, "batch_size": args.batch_size, "device": args.device}
        options["mixed_precision"] = args.mixed_precision
        with step_run(flags.split(), form, **options) as (made, batches):
            steps = [
                timed(lambda: made.update(batches[0]), device) for _ in range(args.warm_ups + args.steps)
            ]
            accelerator = made.learner.accelerator
            model = made.inference.at(1, accelerator.unwrap_model(made.learner.model))
            config = model.config
            data = pictures(model.labels, config.image_size, _ITEMS, config.instance_edges)
            settings = replace(
                made.settings, alexnet_weights=weights["alexnet"], frechet_weights=weights["vgg16"]
            )
            meter = QualityMeter(settings, data, model, accelerator)

            def measure() -> None:
                meter.measure(model, 1)
                model.save_pretrained(Path(folder) / "best")

            measurement = timed(measure, device)
    return statistics.median(steps[args.warm_ups :]), measurement


def timed(fn: Callable[[], Any], device: torch.device) -> float:
    """Seconds that a call takes: of the clock on a device, of the process on a CPU."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    synchronise(device)
    start = clock()
    fn()
    synchronise(device)
    return clock() - start


if __name__ == "__main__":
    main()
