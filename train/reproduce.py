"""Train and measure the systems of the paper's tables with one command, and print them beside the paper's values.

``python train/reproduce.py --table 1 3 --scale small --data_dir DATA --output_dir FOLDER``

Every system sees the same pictures equally often. A finished system is not trained again, and a killed one resumes from
its last checkpoint, so the command can be repeated until all are finished. ``--study schedules`` compares layouts of
groups and orders of classes instead.
"""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from groupdnet_hub.data.paired import PairedImages, read_label_set
from groupdnet_hub.evaluation.config import parse_evaluate_config
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
from groupdnet_hub.runs.flags import parse_settings, refuse
from groupdnet_hub.runs.measuring.networks import check_downloads
from groupdnet_hub.runs.output_lock import sole_writer
from groupdnet_hub.runs.provenance import commit, machine
from groupdnet_hub.runs.scripts import run_command, run_script
from groupdnet_hub.runs.settings import (
    Settings,
    at_least,
    existing_file,
    option,
    refuse_other_folders,
    seed_option,
)
from groupdnet_hub.training.build import check_perceptual_download
from groupdnet_hub.training.data.data_facts import listing_facts


@dataclass(frozen=True, kw_only=True)
class ReproduceConfig(Settings):
    """Settings of reproduce.py: tables, systems, their training and measurement."""

    table: tuple[int, ...] | None = option(None, "tables of the paper", choices=tuple(sorted(PAPER_TABLES)))
    study: str | None = option(None, "layouts of groups and orders of classes", choices=("schedules",))
    scale: str = option("small", "the paper's sizes, or ones that a CPU can train", choices=tuple(SCALES))
    data_dir: str = option(help="data set folder with train/ and validation/")
    output_dir: str = option("runs/reproduce", "folder of systems, results and tables")
    systems: tuple[str, ...] | None = option(None, "only these rows", metavar="NAME")
    pictures: int | None = option(
        None, "pictures that each system sees, instead of the scale's budget", check=at_least(1)
    )
    num_processes: int = option(1, "processes that train and measure a system together", check=at_least(1))
    seed: int = seed_option("seed of training and measuring")
    perceptual_net: Literal["vgg19", "vgg16"] | None = option(None, "instead of the scale's")
    perceptual_weights: str | None = option(
        None, "its weights; by default torchvision downloads them", check=existing_file
    )
    alexnet_weights: str | None = option(None, "see evaluate.py", check=existing_file)
    frechet_weights: str | None = option(None, "see evaluate.py", check=existing_file)
    inception_weights: str | None = option(None, "see evaluate.py", check=existing_file)
    segmentation_model: str | None = option(None, "for mIoU: see evaluate.py")
    segmentation_labels: str | None = option(None, "for mIoU: see evaluate.py", check=existing_file)

    def check(self) -> None:
        """Refuse both tables and a study, and neither."""
        super().check()
        if (self.table is None) == (self.study is None):
            raise ValueError("give one of --table and --study")
        for split in ("train", "validation"):
            refuse_other_folders("--data_dir", self.data_dir, split)


def main(argv: Sequence[str] | None = None) -> None:
    """Train what is missing, measure what is missing, write the tables."""
    settings = parse_settings(
        ReproduceConfig,
        argv,
        prog="reproduce.py",
        description="Train and measure the systems of the paper's tables.",
    )
    scale = SCALES[settings.scale]
    labels = read_label_set(settings.data_dir)
    if settings.study:
        wanted = {settings.study: study_entries(labels, scale.size)}
    else:
        wanted = {f"table-{table}": table_entries(table) for table in settings.table or ()}
    entries = {entry.name: entry for group in wanted.values() for entry in group}
    unknown = sorted(set(settings.systems or ()) - set(entries))
    if unknown:
        refuse(
            "reproduce.py",
            f"--systems: there is no {', '.join(unknown)}; there are {', '.join(entries)}",
        )
    chosen = [entry for name, entry in entries.items() if not settings.systems or name in settings.systems]
    for number, entry in enumerate(chosen, start=1):
        print(f"[{number}/{len(chosen)}] {entry.name}", flush=True)
        run = Run(settings, scale, entry)
        run.check_downloads()
        with sole_writer(run.folder, "reproduce", f"leave {entry.name} out with --systems"):
            run.train()
            run.measure()

    output = Path(settings.output_dir)
    about = _about(settings, argv, scale)
    for name, group in wanted.items():
        found = {entry: result for entry in group if (result := measured(output / entry.name)) is not None}
        text = study_table(found, about) if settings.study else system_table(int(name[-1]), found, about)
        with atomic_write(output / f"{name}.md") as file:
            file.write_text(text, encoding="utf-8")
        print(f"\n{text}\nwritten to {output / name}.md")


class Run:
    """One system: its folder, and what it is trained and measured with."""

    def __init__(self, settings: ReproduceConfig, scale: Scale, entry: Entry) -> None:
        self.settings, self.scale = settings, scale
        self.folder = Path(settings.output_dir) / entry.name
        self.perceptual_net = settings.perceptual_net or scale.perceptual_net
        perceptual = ["--perceptual_net", self.perceptual_net]
        if settings.perceptual_weights:
            perceptual += ["--perceptual_weights", settings.perceptual_weights]
        self.flags = train_flags(
            entry, scale, processes=settings.num_processes, pictures=settings.pictures, perceptual=perceptual
        )
        self.flags += ["--seed", str(settings.seed)]
        pairs = PairedImages.from_folder(settings.data_dir, (1, 1), instances=False)
        self.data = listing_facts(pairs, [settings.data_dir], "train")

    def check_downloads(self) -> None:
        """Refuse weights out of reach that training or measuring needs, the latter not only after hours of training.

        Raises:
            ValueError: naming the flag of a local file.
        """
        if not self._is_trained():
            check_perceptual_download(self.perceptual_net, self.settings.perceptual_weights)
        if not self._is_measured():
            measured = parse_evaluate_config(self._measure_flags())
            check_downloads(measured, measured.metrics)

    def train(self) -> None:
        """Train the system, resume its training, or do nothing if it is finished.

        Raises:
            ValueError: if it was trained with other flags, or training fails.
        """
        record = self.folder / "run.json"
        if record.is_file():
            before = json.loads(record.read_text(encoding="utf-8"))
            if before["flags"] != self.flags:
                raise ValueError(
                    f"{self.folder} was trained with other flags ({shlex.join(before['flags'])}): choose another "
                    "--output_dir"
                )
            if before.setdefault("data", self.data) != self.data:  # earlier versions did not record it
                raise ValueError(
                    f"{self.folder} was trained on other data than {self.settings.data_dir} ({before['data']['items']} "
                    f"pictures, this one has {self.data['items']}): name the same, or choose another --output_dir"
                )
        else:
            before = {"flags": self.flags, "data": self.data, "seconds": 0.0}
        if self._is_trained():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        before |= {"commit": commit(), "machine": machine()}
        _write_json(record, before)
        started = time.perf_counter()
        self._start(
            "train.py",
            [
                *("--train_data_dir", self.settings.data_dir, "--output_dir", str(self.folder), *self.flags),
                *("--resume_from_checkpoint", "latest", "--checkpoints_total_limit", "1"),
                *("--report_to", "none", "--logging_steps", "50"),
            ],
        )
        _write_json(record, before | {"seconds": before["seconds"] + time.perf_counter() - started})

    def measure(self) -> None:
        """Measure the system, or resume it; evaluate.py does not repeat finished parts.

        Raises:
            ValueError: if evaluate.py fails.
        """
        if not self._is_measured():
            self._start("evaluate.py", self._measure_flags())

    def _is_trained(self) -> bool:
        return (self.folder / "model" / "model.safetensors").is_file()

    def _is_measured(self) -> bool:
        found = measured(self.folder)
        return found is not None and set(self._metrics()) <= found.metrics

    def _measure_flags(self) -> list[str]:
        settings = self.settings
        flags = ["--model", str(self.folder / "model"), "--data_dir", settings.data_dir, *self.scale.evaluate]
        flags += ["--output", str(self.folder / "results.json"), "--seed", str(settings.seed)]
        for name in (
            "alexnet_weights",
            "frechet_weights",
            "inception_weights",
            "segmentation_model",
            "segmentation_labels",
        ):
            if getattr(settings, name):
                flags += [f"--{name}", getattr(settings, name)]
        return [*flags, "--metrics", *self._metrics()]

    def _metrics(self) -> list[str]:
        return [*self.scale.metrics, *(["miou"] if self.settings.segmentation_model else [])]

    def _start(self, script: str, flags: Sequence[str]) -> None:
        run_script(script, flags, processes=self.settings.num_processes, about=self.folder.name)


def _about(settings: ReproduceConfig, argv: Sequence[str] | None, scale: Scale) -> dict[str, Any]:
    """Return the facts from which a reader can make the table again."""
    given = sys.argv[1:] if argv is None else argv
    seen = settings.pictures or scale.pictures
    return {
        "command": shlex.join(["python", "train/reproduce.py", *given]),
        "scale": settings.scale,
        "size": scale.size,
        "batch": scale.batch,
        "budget": f"{seen:,} pictures" if seen else f"{scale.epochs} epochs",
        "train": (*scale.train, *scale.hinge),
        "evaluate": scale.evaluate,
        "perceptual_net": settings.perceptual_net or scale.perceptual_net,
        "seed": settings.seed,
    }


def _write_json(path: Path, content: Any) -> None:
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_command("reproduce.py", main)
