"""Compare models on the same label maps with the same seeds: sheets of pictures, and a table of their metrics.

``python train/compare_models.py --models old=space/model new=runs/new/model --data_dir DATA --output_dir FOLDER
--metrics mcsd mocd lpips frechet``

Flags that are not listed here are those of evaluate.py, which measures each model; finished parts are not repeated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groupdnet_hub import load_system
from groupdnet_hub.baselines import System
from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.data.splits import open_split
from groupdnet_hub.evaluation.compare_sheets import comparison_sheet
from groupdnet_hub.evaluation.config import parse_evaluate_config
from groupdnet_hub.evaluation.report import comparison, unknown_text
from groupdnet_hub.io.atomic import atomic_write
from groupdnet_hub.runs.flags import parse_settings
from groupdnet_hub.runs.ignored import as_flag, ignore_option
from groupdnet_hub.runs.measuring.networks import check_downloads
from groupdnet_hub.runs.scripts import run_command, run_script
from groupdnet_hub.runs.settings import (
    Settings,
    at_least,
    option,
    refuse_other_folders,
    seed_option,
    without_flag,
)
from groupdnet_hub.training.reports.preview import save_picture


@dataclass(frozen=True, kw_only=True)
class CompareConfig(Settings):
    """Settings of compare_models.py: models, sheets and measurement."""

    models: tuple[str, ...] = option(help="folders or Hub ids, and their names", metavar="NAME=MODEL")
    data_dir: str = option(help="data set folder of the models' classes")
    split: str = option("validation", "its split with the label maps")
    ignore_id: tuple[Ignored, ...] = ignore_option("unknown pixels of its label maps: see evaluate.py")
    output_dir: str = option("runs/comparison", "folder of sheets, results and the table")
    sheet_maps: int = option(6, "label maps with a sheet, spread over the split", check=at_least(1))
    sheet_columns: int = option(4, "pictures of each model in a row", check=at_least(1))
    sheet_height: int = option(160, "height of a picture on the sheets", check=at_least(1))
    seed: int = seed_option("fixes all codes")
    num_processes: int = option(1, "processes that measure a model together", check=at_least(1))
    sheets_only: bool = option(False, "measure nothing")
    evaluate_flags: tuple[str, ...] = without_flag(())

    @property
    def named_models(self) -> dict[str, str]:
        """Folders or Hub ids by name; a model without a name has that of its folder.

        Raises:
            ValueError: for a repeated name, or one that cannot be a file name.
        """
        models: dict[str, str] = {}
        for one in self.models:
            name, _, model = one.rpartition("=")
            name = name or Path(model).name
            if name in models or "/" in name:
                raise ValueError(
                    f"--models: {one} needs a name of its own, without a /, such as second={model}"
                )
            models[name] = model
        return models

    def check(self) -> None:
        """Refuse names that are not unique, and flags of evaluate.py that are set here."""
        super().check()
        own = {"--model", "--output", "--sheet_rows"} & {flag.split("=")[0] for flag in self.evaluate_flags}
        if own:
            raise ValueError(f"{', '.join(sorted(own))}: this script sets that for each model")
        if self.sheets_only and self.evaluate_flags:
            raise ValueError(
                f"{self.evaluate_flags[0]} is no flag of sheets, and --sheets_only measures nothing"
            )
        _ = self.named_models
        refuse_other_folders("--data_dir, --split", self.data_dir, self.split)


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the sheets, measure the missing metrics, write the table."""
    settings = parse_settings(
        CompareConfig,
        argv,
        prog="compare_models.py",
        description="Sheets and metrics of several models. Further flags are those of evaluate.py.",
        others="evaluate_flags",
    )
    models, output = settings.named_models, Path(settings.output_dir)
    commands = {
        name: evaluate_command(settings, model, output / f"{name}.json") for name, model in models.items()
    }
    if not settings.sheets_only:
        for command in commands.values():
            measured = parse_evaluate_config(command)  # what is wrong with its flags is said first
            check_downloads(measured, measured.metrics)
    draw_sheets(settings, {name: load_system(model) for name, model in models.items()})
    if settings.sheets_only:
        return
    results, unknown = {}, ""
    for name, command in commands.items():
        run_script("evaluate.py", command, processes=settings.num_processes, about=name)
        content = json.loads((output / f"{name}.json").read_text(encoding="utf-8"))
        parts: Mapping[str, Any] = content["parts"]
        unknown = unknown_text(content.get("unknown_pixels"))
        results[name] = {part: value["result"] for part, value in parts.items()}
    table = f"{comparison(results)}{unknown}"
    with atomic_write(output / "comparison.md") as partial:
        partial.write_text(table, encoding="utf-8")
    print(f"\n{table}\nwritten to {output / 'comparison.md'}")


def evaluate_command(settings: CompareConfig, model: str, file: Path) -> list[str]:
    """Return the command line of evaluate.py that measures a model."""
    flags = ["--model", model, "--data_dir", settings.data_dir, "--split", settings.split]
    flags += as_flag(settings.ignore_id)
    flags += ["--output", str(file), "--seed", str(settings.seed), "--sheet_rows", "0"]
    return [*flags, *settings.evaluate_flags]


def draw_sheets(settings: CompareConfig, systems: Mapping[str, System]) -> None:
    """Draw one sheet for each of some label maps.

    Args:
        settings: settings of the run.
        systems: systems by name.

    Raises:
        ValueError: for models of different classes, or with instance edges.
    """
    names = {name: system.labels.names for name, system in systems.items()}
    if len(set(names.values())) > 1:
        raise ValueError(f"--models: they draw different classes: {names}")
    split = Path(settings.data_dir) / settings.split
    data = {
        name: open_split(split, system.labels, system.config.image_size, settings.ignore_id, instances=False)
        for name, system in systems.items()
    }
    total = len(next(iter(data.values())))
    count = min(settings.sheet_maps, total)
    for index in (i * total // count for i in range(count)):
        items = {name: pairs[index] for name, pairs in data.items()}
        if any(system.config.instance_edges for system in systems.values()):
            raise ValueError(
                "--models: models with instance edges have no sheets; measure them with evaluate.py"
            )
        sheet = comparison_sheet(
            systems,
            {name: item["label"] for name, item in items.items()},
            seed=settings.seed + index,
            columns=settings.sheet_columns,
            height=settings.sheet_height,
        )
        save_picture(sheet, Path(settings.output_dir) / "sheets" / f"map-{index:04d}.png")
    print(f"The sheets are in {Path(settings.output_dir) / 'sheets'}.")


if __name__ == "__main__":
    run_command("compare_models.py", main)
