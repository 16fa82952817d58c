"""What a training step costs, plain and fast: ``python tests/benchmarks/train_step.py --device cpu --parts counts``.

``counts``: operations that a step dispatches (views not counted) and how often the host waits for the device, for the
step as CUDA would take it, also where no CUDA device is at hand: at most 1,200 and none. ``speed``: pictures a second
of the plain step, of the fast one and of that with ``--gradient_checkpointing``, in turns, in one run, with the share
of the device's rate at matrix products (bf16 or single precision, measured in the same run) and peak memory.
``where``: the time of each part of a step.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import multiprocessing
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(_ROOT))


from groupdnet_hub.training.config import TrainConfig  # noqa: E402
from groupdnet_hub.training.fast.build_step import compile_networks  # noqa: E402
from groupdnet_hub.training.fast.step_form import StepForm, choose_form  # noqa: E402
from tests.benchmarks.decode import matrix_rate, resident_peak, synchronise  # noqa: E402
from tests.helpers.host_waits import NoHostWaits  # noqa: E402
from tests.helpers.launch_counts import CountedCompiler, counting  # noqa: E402
from tests.helpers.operation_counts import MultiplyAccumulates, OperationCounts  # noqa: E402
from tests.helpers.step_runs import StepRun, step_run  # noqa: E402

# The bundled model's last run (docs/bundled_model.md) and the people16 run (docs/people16.md), with all their losses.
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
    parser.add_argument("--steps", type=int, default=5, help="of each form")
    parser.add_argument(
        "--warm_ups", type=int, default=1, help="steps before that; on CUDA at least 5, to record"
    )
    parser.add_argument(
        "--compile", action=argparse.BooleanOptionalAction, default=True, help="compile the fast form on CUDA"
    )
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
    with run(case, args, form) as (made, batches):
        for step in (0, 1):  # the first step of its kind says which random numbers it draws
            made.step = step
            made.update(batches[0])
        with NoHostWaits(collect=True) as waits, OperationCounts() as counts:
            made.update(batches[1])
        print(f"operations without a compiler {counts.total}")
        compiler = CountedCompiler()
        compile_networks(made.learner, made.form, backend=compiler, fullgraph=True)
        for _ in range(3):
            made.update(batches[0])
        with counting(compiler) as launches:
            made.update(batches[1])
    print(f"operations {launches.total}")
    print(f"host waits {len(waits.waits)}")
    for wait in waits.waits:
        print(f"  {wait}")
    others = ", ".join(f"{name} {count}" for name, count in launches.others.most_common(40))
    print(f"of these {launches.fused} by compiled networks, and beside them {others}")


def print_speed(case: str, args: argparse.Namespace) -> None:
    """Pictures a second of the plain and the fast step, in turns, and what goes with them."""
    device = torch.device(args.device)
    dtype = torch.bfloat16 if args.mixed_precision == "bf16" else torch.float32
    rate = 1e9 * matrix_rate(device, dtype)
    print(f"{case}, batch {args.batch_size}, {args.mixed_precision}, {args.device}, {args.threads} threads")
    fast, notes = fast_form(args)
    print(fast.line(notes))
    print(f"rate of matrix products: {rate / 1e12:.3f} T multiply-accumulates/s")
    with contextlib.ExitStack() as stack:
        runs = {name: stack.enter_context(run(case, args, *form)) for name, form in forms(args).items()}
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for turn in range(args.warm_ups + args.steps):
            for name, (made, batches) in runs.items():
                synchronise(device)
                start = time.perf_counter()
                made.update(batches[turn % 2])
                made.step += 1
                synchronise(device)
                if turn >= args.warm_ups:
                    seconds[name].append(time.perf_counter() - start)
    with (
        run(case, args, StepForm(working=True, dense=True)) as (made, batches),
        MultiplyAccumulates() as macs,
    ):
        made.update(batches[0])
    print(
        "| form | pictures/s | share of that rate, were all label maps whole | peak memory |\n|---|---|---|---|"
    )
    peaks = {name: peak_memory(case, args, name) for name in seconds}
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, second in medians.items():
        print(
            f"| {name} | {args.batch_size / second:.2f} | {100 * macs.total / second / rate:.0f} % "
            f"| {peaks[name]:.0f} MiB |"
        )
    print(
        f"ratio **{medians['plain'] / medians['fast']:.2f}**; checkpointed to fast: time "
        f"{medians['checkpointed'] / medians['fast']:.2f}, memory {peaks['checkpointed'] / peaks['fast']:.2f}\n",
        flush=True,
    )


def print_parts(case: str, args: argparse.Namespace) -> None:
    """Milliseconds of the parts of a step that is neither compiled nor recorded, each waited for."""
    device = torch.device(args.device)
    form = dataclasses.replace(fast_form(args)[0], compiled=False, recorded=False)
    with run(case, args, form) as (made, batches):
        learner, accelerator = made.learner, made.learner.accelerator
        model = accelerator.unwrap_model(learner.model)
        parts = {
            "encoder": (model.encoder, "forward"),
            "label maps": (model, "prepare"),
            "decoder, forward": (model.decoder, "forward"),
            "discriminator, forward": (accelerator.unwrap_model(learner.discriminator), "forward"),
            "perceptual net, forward": (learner.objective.parts.perceptual, "forward"),
            "both backwards": (accelerator, "backward"),
            "generator's update": (learner.optimizer, "step"),
            "discriminator's update": (learner.discr_optimizer, "step"),
            "moving average": (made.inference, "follow"),
        }
        spent = {name: timed(*part, device) for name, part in parts.items() if part[0] is not None}
        for turn in range(1 + args.steps):
            made.update(batches[turn % 2])
            if not turn:
                for values in spent.values():
                    values.clear()
                synchronise(device)
                start = time.perf_counter()
        synchronise(device)
        whole = time.perf_counter() - start
    print(f"{case}, parts of a step of {whole / args.steps * 1e3:.1f} ms (batch {args.batch_size}):")
    rest = whole - sum(map(sum, spent.values()))
    for name, seconds in [*((name, sum(values)) for name, values in spent.items()), ("all else", rest)]:
        print(f"  {name}: {seconds / args.steps * 1e3:.1f} ms, {100 * seconds / whole:.0f} %")


def timed(owner: Any, method: str, device: torch.device) -> list[float]:
    """Seconds of each call of a method from now on."""
    inner, seconds = getattr(owner, method), []

    def outer(*args: Any, **kwargs: Any) -> Any:
        synchronise(device)
        start = time.perf_counter()
        result = inner(*args, **kwargs)
        synchronise(device)
        seconds.append(time.perf_counter() - start)
        return result

    setattr(owner, method, outer)
    return seconds


def peak_memory(case: str, args: argparse.Namespace, form: str) -> float:
    """Peak MiB of a process of its own that makes three steps."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_memory, (case, args, form))


def _peak_memory(case: str, args: argparse.Namespace, form: str) -> float:
    torch.set_num_threads(args.threads)
    with run(case, args, *forms(args)[form]) as (made, batches):
        for step in range(3):
            made.update(batches[step % 2])
    if args.device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    return resident_peak() / 2**20


def forms(args: argparse.Namespace) -> dict[str, tuple[StepForm, str]]:
    """The plain form, the one that a run takes by itself, and that with gradient checkpointing; with flags of each."""
    fast = fast_form(args)[0]
    checkpointed = dataclasses.replace(fast, compiled=False)
    return {
        "plain": (StepForm(working=False), ""),
        "fast": (fast, ""),
        "checkpointed": (checkpointed, "--gradient_checkpointing"),
    }


def fast_form(args: argparse.Namespace) -> tuple[StepForm, tuple[str, ...]]:
    """The form that a run takes by itself, and what stands in its way."""
    asked = TrainConfig(
        train_data_dir=(".",),
        compile=None if args.compile else False,
        mixed_precision=args.mixed_precision,
    )
    return choose_form(asked, args.device)


def run(
    case: str, args: argparse.Namespace, form: StepForm, more: str = ""
) -> contextlib.AbstractContextManager[tuple[StepRun, list[dict[str, Tensor]]]]:
    """A run of the case that is ready for its first step, and batches on its device."""
    classes, flags = CASES[case]
    asked = [
        *flags.split(),
        *more.split(),
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
