"""How much faster this checkout is than another one: ``python tests/benchmarks/against.py OTHER --what reroll``.

Each case runs in two processes, one for each checkout and by its own copy of this script, which do the same work in
turns, so that a busy machine slows both alike. Measured is the processor's time, of all threads together; values are
medians.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a worker imports it when it knows from where, the other process not at all
    from torch import Tensor

    from groupdnet_hub import GroupDNet

ROOT = Path(__file__).resolve().parents[2]
BUNDLED = ROOT / "space" / "model"
# The last run of docs/bundled_model.md, with the weights it ended with.
BUNDLED_RECIPE = [
    "--train_batch_size", "4", "--random_flip", "--use_ema", "--ema_decay", "0.998", "--perceptual_net", "vgg16",
    "--perceptual_crop", "128", "--diffaugment", "--class_balance", "0.5", "--redraw_weight", "50", "--l1_weight",
    "20", "--adversarial_weight", "0.25", "--kl_weight", "0.0003", "--kl_free_nats", "6", "--discriminator_width",
    "32", "--seed", "13",
]  # fmt: skip

# Ends a piece of work: its time is told, and the next piece waits for its turn.
Turn = Callable[[], None]


def main() -> None:
    """Measure what the command line asks for and print a Markdown table."""
    args = parse_arguments()
    if args.worker:
        serve(args)
        return
    print(f"{args.threads} threads, {args.repeats} repeats, other checkout: {args.other}\n")
    print("| case | other, CPU seconds | this | other / this |\n|---|---|---|---|")
    for case in CASES:
        if any(case.startswith(what) for what in args.what):
            other, this = (statistics.median(seconds) for seconds in measure(case, args))
            print(f"| {case} | {other:.3f} | {this:.3f} | **{other / this:.2f}** |", flush=True)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("other", type=Path, help="a checkout of another commit, as `git worktree add` makes")
    parser.add_argument("--what", nargs="+", default=["reroll", "first-decode"], metavar="CASE",
                        help=f"cases, or how their names begin: {', '.join(CASES)}")  # fmt: skip
    parser.add_argument("--data_dir", type=Path, help="a data set of the bundled model's classes; needed to train, "
                        "elsewhere the label maps are drawn")  # fmt: skip
    parser.add_argument(
        "--perceptual_weights", type=Path, help="of training; by default torchvision downloads them"
    )
    parser.add_argument("--mixed_precision", default="no", choices=["no", "bf16"], help="of training")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--warm_up", type=int, default=2, help="turns that do not count")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--worker", choices=CASES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not (args.other / "groupdnet_hub").is_dir():
        parser.error(f"{args.other} is not a checkout of this repository: it has no folder groupdnet_hub")
    for what in args.what:
        chosen = [case for case in CASES if case.startswith(what)]
        if not chosen:
            parser.error(f"there is no case {what!r}; the cases are {', '.join(CASES)}")
        if "training-step-bundled" in chosen and args.data_dir is None:
            parser.error("training-step-bundled needs a --data_dir")
    return args


# -- taking turns ----------------------------------------------------------------------------------------------


def measure(case: str, args: argparse.Namespace) -> tuple[list[float], list[float]]:
    """CPU seconds of each turn of the other checkout, and of this one."""
    workers = [start(case, checkout.resolve(), args) for checkout in (args.other, ROOT)]
    seconds: tuple[list[float], list[float]] = ([], [])
    try:
        for turn in range(args.warm_up + args.repeats):
            for worker, own in zip(workers, seconds, strict=True):
                worker.stdin.write("go\n")
                worker.stdin.flush()
                answer = worker.stdout.readline()
                if not answer:
                    raise RuntimeError(f"{case} stopped in {worker.args[-1]}: see its message above")
                if turn >= args.warm_up:
                    own.append(float(answer))
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    return seconds


def start(case: str, checkout: Path, args: argparse.Namespace) -> subprocess.Popen[str]:
    """A process that does a case with the code of a checkout; its last argument is the checkout."""
    script = Path(__file__).resolve().relative_to(ROOT)
    command = [sys.executable, str(checkout / script), "--worker", case]
    for name in ("data_dir", "perceptual_weights", "mixed_precision", "threads"):
        value = getattr(args, name)
        if value is not None:
            command += [f"--{name}", str(value.resolve() if isinstance(value, Path) else value)]
    paths = [checkout]
    if not (checkout / "train" / "configs").is_dir():  # an early commit, whose scripts import each other
        paths.append(checkout / "train")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "OMP_NUM_THREADS": str(args.threads),
        "ACCELERATE_USE_CPU": "true",
    }
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*command, str(checkout)], stdin=pipe, stdout=pipe, text=True, env=environment, cwd=checkout
    )


def serve(args: argparse.Namespace) -> None:
    """Do a case in this process, a turn for each line on the standard input, answered by its CPU seconds."""
    import torch

    import groupdnet_hub

    if args.other not in Path(groupdnet_hub.__file__).parents:
        raise RuntimeError(f"{groupdnet_hub.__file__} was imported instead of the package in {args.other}")
    torch.set_num_threads(args.threads)
    answers, sys.stdout = sys.stdout, sys.stderr  # what the case itself prints is no answer
    started: float | None = None

    def turn() -> None:
        nonlocal started
        if started is not None:
            print(time.process_time() - started, file=answers, flush=True)
        if not sys.stdin.readline():
            raise SystemExit
        started = time.process_time()

    CASES[args.worker](turn, args)


# -- the cases -------------------------------------------------------------------------------------------------


def reroll_deepfashion(turn: Turn, args: argparse.Namespace) -> None:
    """Draw the top's code anew, with the full-width deepfashion preset and untrained weights."""
    import torch

    from groupdnet_hub import GroupDNet, GroupDNetConfig

    model = GroupDNet(GroupDNetConfig.preset("deepfashion")).eval()
    top = model.config.class_names.index("top-clothes")
    codes, others = (model.sample_codes(generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    with torch.inference_mode():
        prepared = model.prepare(label_map(args, model.config.image_size))
        model.decode(codes, prepared)
        for source in itertools.cycle((others, codes)):
            redrawn = codes.clone()
            redrawn[:, top] = source[:, top]
            turn()
            model.decode(redrawn, prepared)


def first_decode_deepfashion(turn: Turn, args: argparse.Namespace) -> None:
    """Draw a picture of a new label map, with the full-width deepfashion preset and untrained weights."""
    from groupdnet_hub import GroupDNet, GroupDNetConfig

    first_decode(turn, args, GroupDNet(GroupDNetConfig.preset("deepfashion")))


def first_decode_bundled(turn: Turn, args: argparse.Namespace) -> None:
    """Draw a picture of a new label map with the bundled model."""
    from groupdnet_hub import GroupDNet

    first_decode(turn, args, GroupDNet.from_pretrained(str(BUNDLED)))


def first_decode(turn: Turn, args: argparse.Namespace, model: GroupDNet) -> None:
    """Prepare a label map and draw it."""
    import torch

    model.eval()
    label = label_map(args, model.config.image_size)
    codes = model.sample_codes(generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        while True:
            turn()
            model.decode(codes, model.prepare(label))


def training_step_bundled(turn: Turn, args: argparse.Namespace) -> None:
    """Train the bundled model by ``train.py`` with its last recipe; a turn ends where a step is counted."""
    from groupdnet_hub.training import throughput as pace
    from train import train

    def count(self: pace.Throughput, pictures: int) -> None:
        turn()

    pace.Throughput.count = count
    with tempfile.TemporaryDirectory() as output:
        flags = ["--train_data_dir", str(args.data_dir), "--pretrained_model_name_or_path", str(BUNDLED)]
        flags += ["--mixed_precision", args.mixed_precision, "--output_dir", output, "--report_to", "none"]
        flags += ["--max_train_steps", "100000", "--logging_steps", "100000", "--validation_steps", "100000"]
        flags += ["--checkpointing_steps", "100000"]
        if args.perceptual_weights is not None:
            flags += ["--perceptual_weights", str(args.perceptual_weights)]
        train.main([*BUNDLED_RECIPE, *flags])


def label_map(args: argparse.Namespace, size: tuple[int, int]) -> Tensor:
    """int64 [1, H, W]: the first map of the data set, or a drawn person."""
    import numpy as np
    import torch

    from groupdnet_hub import PairedImages
    from groupdnet_hub.data.figure_drawing import draw_figure

    if args.data_dir is not None:
        return PairedImages.from_folder(args.data_dir, size)[0]["label"][None]
    return torch.from_numpy(draw_figure(0, size)[1].astype(np.int64))[None]


CASES: dict[str, Callable[[Turn, argparse.Namespace], None]] = {
    "reroll-deepfashion": reroll_deepfashion,
    "first-decode-deepfashion": first_decode_deepfashion,
    "first-decode-bundled": first_decode_bundled,
    "training-step-bundled": training_step_bundled,
}


if __name__ == "__main__":
    main()
