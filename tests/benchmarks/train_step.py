"""What a training step costs, plain and fast: ``python tests/benchmarks/train_step.py --device cpu --parts counts``.

``counts``: operations that a step dispatches (views not counted) and how often the host waits for the device, for the
step as CUDA would take it, also where no CUDA device is at hand: at most 1,200 and none. ``speed``: pictures a second
of the plain and of the fast step, in turns, in one run, with the share of the device's rate at matrix products (bf16 or
single precision, measured in the same run) and peak memory. ``where``: the time of each part of a step.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path

import torch
from torch import Tensor

_ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(_ROOT / "tests"), str(_ROOT / "train")]

from host_waits import NoHostWaits  # noqa: E402
from launch_counts import CountedCompiler, counting  # noqa: E402
from operation_counts import OperationCounts  # noqa: E402
from step_form import StepForm  # noqa: E402
from step_runs import step_run  # noqa: E402
from trainer import Trainer  # noqa: E402

# The bundled model's last run (docs/bundled_model.md) and the people16 run (docs/people16.md), with every loss of theirs.
_BUNDLED = (
    "--perceptual_net vgg16 --perceptual_crop 128 --diffaugment --class_balance 0.5 --redraw_weight 50 --l1_weight 20 "
    "--adversarial_weight 0.25 --kl_weight 0.0003 --kl_free_nats 6 --use_ema"
)
_PEOPLE16 = (
    "--width 64 --hidden_channels 4 --code_placement box --encoder_colours --perceptual_net vgg16 --perceptual_crop 96 "
    "--diffaugment --class_balance 1 --l1_weight 20 --adversarial_weight 0.5 --kl_weight 0.0005 --kl_free_nats 6 "
    "--redraw_weight 50 --redraw_memory 64 --discriminator_norm none --discriminator_width 32 --r1_weight 10 "
    "--feature_matching_weight 40 --discriminator_crop 64 --recoloured_classes c8 c11 --recoloured_share 0.3 --use_ema"
)
# Classes of the label maps and flags of each case.
CASES = {
    "bundled": (8, f"--config {_ROOT / 'space/model/config.json'} --resolution 256 {_BUNDLED}"),
    "people16": (16, f"--resolution 256 128 {_PEOPLE16}"),
    "people16-512": (16, f"--resolution 512 256 {_PEOPLE16}"),
    "deepfashion": (8, "--preset deepfashion --resolution 256"),
    "cityscapes": (35, "--preset cityscapes --resolution 256 512"),
    "ade20k": (151, "--preset ade20k --resolution 256"),
}


def main() -> None:
    """Measure what the command line asks for and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--parts", nargs="+", default=["counts", "speed", "where"], choices=["counts", "speed", "where"]
    )
    parser.add_argument("--cases", nargs="+", default=["bundled"], choices=list(CASES))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--steps", type=int, default=5, help="of each form, after one that is not counted")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--mixed_precision", default="bf16", choices=["no", "bf16"])
    parser.add_argument(
        "--perceptual_weights", help="the net's weights; by default random ones, which cost as much"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for case in args.cases:
        if "counts" in args.parts:
            print_counts(case, args)
        if "speed" in args.parts:
            print_speed(case, args)
        if "where" in args.parts:
            print_parts(case, args)


# -- what is measured ------------------------------------------------------------------------------------------


def print_counts(case: str, args: argparse.Namespace) -> None:
    """Operations and waits of one step in the form that CUDA takes by default, wherever it is counted."""
    dtype = torch.bfloat16 if args.mixed_precision == "bf16" else None
    form = StepForm(working=True, dense=True, dtype=dtype)
    print(f"{case}, batch {args.batch_size}, {args.mixed_precision}:")
    with run(case, args, form) as (trainer, batches):
        for step in (0, 1):  # the first step of its kind says which random numbers it draws
            trainer.step = step
            trainer.update(batches[0])
        with NoHostWaits(collect=True) as waits, OperationCounts() as counts:
            trainer.update(batches[1])
        print(f"operations without a compiler {counts.total}")
        compiler = CountedCompiler()
        trainer.compile(backend=compiler, fullgraph=True)
        for _ in range(3):
            trainer.update(batches[0])
        with counting(compiler) as launches:
            trainer.update(batches[1])
    print(f"operations {launches.total}")
    print(f"host waits {len(waits.waits)}")
    for wait in waits.waits:
        print(f"  {wait}")
    others = ", ".join(f"{name} {count}" for name, count in launches.others.most_common(40))
    print(f"of these {launches.fused} by compiled networks, and beside them {others}")


def run(
    case: str, args: argparse.Namespace, form: StepForm
) -> contextlib.AbstractContextManager[tuple[Trainer, list[dict[str, Tensor]]]]:
    """A run of the case that is ready for its first step, and batches on its device."""
    classes, flags = CASES[case]
    asked = [
        *flags.split(),
        *(["--perceptual_weights", args.perceptual_weights] if args.perceptual_weights else []),
    ]
    return step_run(
        asked,
        form,
        classes=classes,
        batch_size=args.batch_size,
        device=args.device,
        mixed_precision=args.mixed_precision,
    )


if __name__ == "__main__":
    main()
