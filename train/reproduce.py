"""Train and measure the systems of the paper's tables with one command, and print them beside the paper's figures.

``python train/reproduce.py --table 1 3 --scale small --data_dir DATA --output_dir FOLDER``

Every system sees the same pictures equally often. A system that is done is not trained again, and a killed one goes on
from its last checkpoint, so the command can be repeated until all are done. ``--study schedules`` compares schedules of
groups and orders of classes instead.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from groupdnet_hub.data.paired import read_label_set
from groupdnet_hub.evaluation.paper_tables import PAPER_TABLES
from groupdnet_hub.evaluation.reproduce_plan import (
    SCALES,
    Entry,
    Scale,
    study_entries,
    table_entries,
    train_flags,
)
from groupdnet_hub.evaluation.reproduce_report import measured, study_table, system_table
from groupdnet_hub.io.atomic import atomic_write
from groupdnet_hub.runs.flags import count_problem
from groupdnet_hub.runs.output_lock import sole_writer
from groupdnet_hub.runs.provenance import commit, machine
from groupdnet_hub.runs.scripts import program, run_script


def build_parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = argparse.ArgumentParser(
        prog=program("reproduce.py"),
        description="Train and measure the systems of the paper's tables.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--table", type=int, nargs="+", choices=sorted(PAPER_TABLES), help="tables of the paper"
    )
    what.add_argument("--study", choices=("schedules",), help="schedules of groups and orders of classes")
    add("--scale", choices=SCALES, default="small", help="the paper's sizes, or ones that a CPU can train")
    add("--data_dir", required=True, help="data set folder with train/ and validation/")
    add("--output_dir", default="runs/reproduce", help="where systems, figures and tables go")
    add("--systems", nargs="+", metavar="NAME", help="only these rows")
    add("--pictures", type=int, help="pictures that each system sees, instead of the scale's budget")
    add("--num_processes", type=int, default=1, help="processes that train and measure a system together")
    add("--seed", type=int, default=0, help="of training and measuring")
    add("--perceptual_net", choices=("vgg19", "vgg16"), help="instead of the scale's")
    add("--perceptual_weights", help="its weights; by default torchvision downloads them")
    for name in ("alexnet_weights", "frechet_weights", "inception_weights"):
        add(f"--{name}", help="see evaluate.py")
    add("--segmentation_model", help="for mIoU: see evaluate.py")
    add("--segmentation_labels", help="for mIoU: see evaluate.py")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Train what is missing, measure what is missing, write the tables."""
    parser = build_parser()
    args = parser.parse_args(argv)
    problem = count_problem(args, ("pictures", "num_processes"))
    if problem:
        parser.error(problem)
    scale = SCALES[args.scale]
    labels = read_label_set(args.data_dir)
    if args.study:
        wanted = {args.study: study_entries(labels, scale.size)}
    else:
        wanted = {f"table-{table}": table_entries(table) for table in args.table}
    entries = {entry.name: entry for group in wanted.values() for entry in group}
    unknown = sorted(set(args.systems or ()) - set(entries))
    if unknown:
        parser.error(f"--systems: there is no {', '.join(unknown)}; there are {', '.join(entries)}")
    chosen = [entry for name, entry in entries.items() if not args.systems or name in args.systems]
    for number, entry in enumerate(chosen, start=1):
        print(f"[{number}/{len(chosen)}] {entry.name}", flush=True)
        run = Run(args, scale, entry)
        with sole_writer(run.folder, "reproduce", f"leave {entry.name} out with --systems"):
            run.train()
            run.measure()

    output = Path(args.output_dir)
    about = _about(args, argv, scale)
    for name, group in wanted.items():
        found = {entry: result for entry in group if (result := measured(output / entry.name)) is not None}
        text = study_table(found, about) if args.study else system_table(int(name[-1]), found, about)
        with atomic_write(output / f"{name}.md") as file:
            file.write_text(text, encoding="utf-8")
        print(f"\n{text}\nwritten to {output / name}.md")


class Run:
    """One system: its folder, what it is trained with, and what is there already."""

    def __init__(self, args: argparse.Namespace, scale: Scale, entry: Entry) -> None:
        self.args, self.scale = args, scale
        self.folder = Path(args.output_dir) / entry.name
        perceptual = ["--perceptual_net", args.perceptual_net or scale.perceptual_net]
        if args.perceptual_weights:
            perceptual += ["--perceptual_weights", args.perceptual_weights]
        self.flags = train_flags(
            entry, scale, processes=args.num_processes, pictures=args.pictures, perceptual=perceptual
        )
        self.flags += ["--seed", str(args.seed)]

    def train(self) -> None:
        """Train the system, or go on, or do nothing.

        Raises:
            ValueError: if it was trained with other flags, or training fails.
        """
        record = self.folder / "run.json"
        if record.is_file():
            before = json.loads(record.read_text(encoding="utf-8"))
            if before["flags"] != self.flags:
                raise ValueError(
                    f"{self.folder} was trained otherwise ({shlex.join(before['flags'])}): choose another --output_dir"
                )
        else:
            before = {"flags": self.flags, "seconds": 0.0}
        if (self.folder / "model" / "model.safetensors").is_file():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        before |= {"commit": commit(), "machine": machine()}
        _write_json(record, before)
        started = time.perf_counter()
        self._start(
            "train.py",
            [
                *("--train_data_dir", self.args.data_dir, "--output_dir", str(self.folder), *self.flags),
                *("--resume_from_checkpoint", "latest", "--checkpoints_total_limit", "1"),
                *("--report_to", "none", "--logging_steps", "50"),
            ],
        )
        _write_json(record, before | {"seconds": before["seconds"] + time.perf_counter() - started})

    def measure(self) -> None:
        """Measure the system, or go on; evaluate.py keeps what is done.

        Raises:
            ValueError: if that fails.
        """
        args, metrics = self.args, list(self.scale.metrics)
        if args.segmentation_model:
            metrics.append("miou")
        found = measured(self.folder)
        if found is not None and set(metrics) <= found.metrics:
            return
        flags = ["--model", str(self.folder / "model"), "--data_dir", args.data_dir, *self.scale.evaluate]
        flags += ["--output", str(self.folder / "results.json"), "--seed", str(args.seed)]
        for name in (
            "alexnet_weights",
            "frechet_weights",
            "inception_weights",
            "segmentation_model",
            "segmentation_labels",
        ):
            if getattr(args, name):
                flags += [f"--{name}", getattr(args, name)]
        self._start("evaluate.py", [*flags, "--metrics", *metrics])

    def _start(self, script: str, flags: Sequence[str]) -> None:
        run_script(script, flags, processes=self.args.num_processes, about=self.folder.name)


def _about(args: argparse.Namespace, argv: Sequence[str] | None, scale: Scale) -> dict[str, Any]:
    """What a reader must know to make the table again."""
    given = sys.argv[1:] if argv is None else argv
    seen = args.pictures or scale.pictures
    return {
        "command": shlex.join(["python", "train/reproduce.py", *given]),
        "scale": args.scale,
        "size": scale.size,
        "batch": scale.batch,
        "budget": f"{seen:,} pictures" if seen else f"{scale.epochs} epochs",
        "train": (*scale.train, *scale.hinge),
        "evaluate": scale.evaluate,
        "perceptual_net": args.perceptual_net or scale.perceptual_net,
        "seed": args.seed,
    }


def _write_json(path: Path, content: Any) -> None:
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"{program('reproduce.py')}: {error}")
