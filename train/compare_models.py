"""Compare models on the same label maps with the same seeds: sheets to look at, and a table of their figures.

``python train/compare_models.py --models old=space/model new=runs/new/model --data_dir DATA --output_dir FOLDER
--metrics mcsd mocd lpips frechet``

Flags that are not listed here are those of evaluate.py, which measures each model; what is measured already is not
measured again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from groupdnet_hub import PairedImages, load_system
from groupdnet_hub.baselines import System
from groupdnet_hub.evaluation.compare_sheets import comparison_sheet
from groupdnet_hub.evaluation.report import comparison
from groupdnet_hub.io.atomic import atomic_write
from groupdnet_hub.runs.flags import count_problem
from groupdnet_hub.runs.scripts import program, run_script
from groupdnet_hub.training.preview import save_picture


def build_parser() -> argparse.ArgumentParser:
    """The flags."""
    parser = argparse.ArgumentParser(
        prog=program("compare_models.py"),
        description="Sheets and figures of several models. Further flags are those of evaluate.py.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--models", nargs="+", required=True, metavar="NAME=MODEL", help="folders or Hub ids, and their names"
    )
    add("--data_dir", required=True, help="data set folder of the models' classes")
    add("--split", default="validation", help="its split with the label maps")
    add("--output_dir", default="runs/comparison", help="where sheets, figures and the table go")
    add("--sheet_maps", type=int, default=6, help="label maps with a sheet, spread over the split")
    add("--sheet_columns", type=int, default=4, help="pictures of each model in a row")
    add("--sheet_height", type=int, default=160, help="height of a picture on the sheets")
    add("--seed", type=int, default=0, help="fixes all codes")
    add("--num_processes", type=int, default=1, help="processes that measure a model together")
    add("--sheets_only", action="store_true", help="measure nothing")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the sheets, measure what is missing, write the table."""
    parser = build_parser()
    args, evaluate_flags = parser.parse_known_args(argv)
    problem = count_problem(args, ("sheet_maps", "sheet_columns", "sheet_height", "num_processes"))
    if problem:
        parser.error(problem)
    own = {"--model", "--output", "--sheet_rows"} & {flag.split("=")[0] for flag in evaluate_flags}
    if own:
        parser.error(f"{', '.join(sorted(own))}: this script sets that for each model")
    models = named_models(parser, args.models)
    draw_sheets(args, {name: load_system(model) for name, model in models.items()})
    if args.sheets_only:
        return
    output = Path(args.output_dir)
    results = {}
    for name, model in models.items():
        file = output / f"{name}.json"
        flags = ["--model", model, "--data_dir", args.data_dir, "--split", args.split, "--output", str(file)]
        flags += ["--seed", str(args.seed), "--sheet_rows", "0", *evaluate_flags]
        run_script("evaluate.py", flags, processes=args.num_processes, about=name)
        parts: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8"))["parts"]
        results[name] = {part: value["result"] for part, value in parts.items()}
    table = comparison(results)
    with atomic_write(output / "comparison.md") as partial:
        partial.write_text(table, encoding="utf-8")
    print(f"\n{table}\nwritten to {output / 'comparison.md'}")


def named_models(parser: argparse.ArgumentParser, given: Sequence[str]) -> dict[str, str]:
    """Folders or Hub ids by name; one without a name has that of its folder."""
    models: dict[str, str] = {}
    for one in given:
        name, _, model = one.rpartition("=")
        name = name or Path(model).name
        if name in models or "/" in name:
            parser.error(f"--models: {one} needs a name of its own, without a /, such as second={model}")
        models[name] = model
    return models


def draw_sheets(args: argparse.Namespace, systems: Mapping[str, System]) -> None:
    """One sheet for each of some label maps.

    Raises:
        ValueError: for models of different classes, or whose label maps come with instances.
    """
    names = {name: system.labels.names for name, system in systems.items()}
    if len(set(names.values())) > 1:
        raise ValueError(f"--models: they draw different classes: {names}")
    data = {
        name: PairedImages.from_folder(args.data_dir, system.config.image_size, split=args.split)
        for name, system in systems.items()
    }
    total = len(next(iter(data.values())))
    count = min(args.sheet_maps, total)
    for index in (i * total // count for i in range(count)):
        items = {name: pairs[index] for name, pairs in data.items()}
        if any(system.config.instance_edges for system in systems.values()):
            raise ValueError(
                "--models: models with instance edges have no sheets; measure them with evaluate.py"
            )
        sheet = comparison_sheet(
            systems,
            {name: item["label"] for name, item in items.items()},
            seed=args.seed + index,
            columns=args.sheet_columns,
            height=args.sheet_height,
        )
        save_picture(sheet, Path(args.output_dir) / "sheets" / f"map-{index:04d}.png")
    print(f"The sheets are in {Path(args.output_dir) / 'sheets'}.")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"{program('compare_models.py')}: {error}")
