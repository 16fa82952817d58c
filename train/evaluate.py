"""Measure a system as the paper does: ``accelerate launch train/evaluate.py --model ID --data_dir FOLDER ...``.

Guarantees: the codes of a picture depend on ``--seed``, the index of its label map and the redrawn class alone, and a
batch holds the same pictures for any number of processes, so that on devices of one kind the results depend neither on
their number nor on where a run was stopped. On a CPU each process has one thread, so start a process for each core:
``torchrun --nproc_per_node CORES train/evaluate.py ...``.

All processes must see the folder of ``--output``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from torch import nn

from groupdnet_hub.evaluation.config import EvaluateConfig, parse_evaluate_config
from groupdnet_hub.evaluation.inputs import Inputs
from groupdnet_hub.evaluation.measures import measure_pictures, measure_rows, measure_speed
from groupdnet_hub.evaluation.report import report
from groupdnet_hub.evaluation.results import ResultsFile
from groupdnet_hub.evaluation.sampled.choice import sampled_part
from groupdnet_hub.evaluation.sampled.config import SAMPLED_METRICS
from groupdnet_hub.evaluation.sampled.parts import SampledPart, measure_sampled
from groupdnet_hub.evaluation.sheets import class_sheet, save_sheet, sheet_rows
from groupdnet_hub.io.atomic import atomic_write, writing_to
from groupdnet_hub.metrics import (
    LabelTable,
    Segmenter,
    count_macs,
    count_parameters,
)
from groupdnet_hub.runs.measuring.diversity import diversity_part
from groupdnet_hub.runs.measuring.networks import Networks, check_downloads
from groupdnet_hub.runs.provenance import digest, model_digest
from groupdnet_hub.runs.scripts import run_command
from groupdnet_hub.runs.sharding import run_sharded, sole_run, start_accelerator

# Part of metrics that are measured together; each other metric is a part of its own.
_PART_OF = {"mcsd": "classes", "mocd": "classes", "miou": "segmentation"}


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line to the finished results file."""
    settings = parse_evaluate_config(argv)
    accelerator = start_accelerator()
    evaluation = Evaluation(settings, accelerator)
    output = Path(settings.output)
    with (
        sole_run(accelerator, output.parent, output.name, "choose another --output"),
        writing_to(output.parent),
    ):
        evaluation.run()
    accelerator.end_training()


class Evaluation:
    """The measurement of one system, on one of the processes of a run."""

    def __init__(self, settings: EvaluateConfig, accelerator: Accelerator) -> None:
        self.settings, self.accelerator = settings, accelerator
        check_downloads(settings, settings.metrics)
        self.results = ResultsFile(settings.output)
        self.inputs = Inputs(settings, accelerator)
        # What all results depend on: contents, not paths, so that a folder may be moved but not changed.
        frame = {} if settings.name_suffix is None else {"name_suffix": settings.name_suffix}
        self.conditions: dict[str, Any] = {
            "format": 1,
            **frame,
            "seed": settings.seed,
            "batch_size": settings.batch_size,
            "model": self.inputs.digest,
            "data": self.inputs.data_digest,
        }
        unknown = self.inputs.unknown
        self.unknown = None if unknown is None else asdict(unknown)
        if unknown is not None:
            self.conditions["ignore"] = sorted(map(str, unknown.ignore))
        self.networks = Networks(settings, accelerator.device)
        self.features: dict[str, nn.Module] = {}
        self.sampled: dict[str, SampledPart] = {}
        self.segmenter: tuple[Segmenter, LabelTable] | None = None
        # Each part once, in the order of the metrics.
        wanted = {_PART_OF.get(metric, metric): None for metric in settings.metrics}
        with accelerator.local_main_process_first():  # weights are downloaded once
            self.parts = {part: self._prepare(part) for part in wanted}

    def run(self) -> None:
        """Measure the missing parts, then write the report and the contact sheets."""
        settings, accelerator, results = self.settings, self.accelerator, self.results
        results.open(self.conditions, self.parts)
        accelerator.wait_for_everyone()  # all have checked before anything is written
        if accelerator.is_main_process:
            results.begin(
                {
                    "model": Path(settings.model).name,
                    "data": f"{Path(settings.data_dir).name} {settings.split}",
                    **({} if self.unknown is None else {"unknown_pixels": self.unknown}),
                }
            )
        accelerator.wait_for_everyone()
        missing = [part for part in self.parts if results.result(part) is None]
        for part in missing:
            if part in ("classes", "lpips"):
                self._measure_diversity(part)
        self._measure_pictures([part for part in missing if part in ("fid", "frechet", "segmentation")])
        sampled = {part: self.sampled[part] for part in missing if part in self.sampled}
        if sampled:
            indices = self.inputs.spread(settings.num_images)
            measure_sampled(self.inputs, accelerator, results, sampled, indices)
        if accelerator.is_main_process:
            for part in missing:
                if part in ("fps", "macs", "params"):
                    results.finish(part, self._cost(part))
            self._report()
        accelerator.wait_for_everyone()
        if settings.sheet_rows:
            self._draw_sheets()

    def _prepare(self, part: str) -> dict[str, Any]:
        """Load what a part needs, and return its settings."""
        settings, networks = self.settings, self.networks
        if part in ("classes", "lpips"):
            return {
                "num_samples": settings.num_samples,
                "num_pairs": settings.num_pairs,
                "lpips_network": model_digest(networks.lpips_maps),
            }
        if part == "fps":
            return {"fps_decodes": settings.fps_decodes}
        if part in ("macs", "params"):
            return {}
        if part in SAMPLED_METRICS:
            self.sampled[part] = sampled_part(part, settings, self.inputs, networks)
            return self.sampled[part].settings
        more: dict[str, Any] = {}
        network: nn.Module
        if part == "segmentation":
            network, table = self.segmenter = self._load_segmenter()
            more["segmentation_labels"] = digest(repr((dict(table.targets), sorted(table.ignored))))
        else:
            network = self.features[part] = networks.inception if part == "fid" else networks.trunk
            if part == "frechet":
                more["frechet_net"] = settings.frechet_net
        conditions = {"num_images": settings.num_images, "network": model_digest(network)}
        return {**conditions, **self.inputs.judging_settings(), **more}

    def _load_segmenter(self) -> tuple[Segmenter, LabelTable]:
        settings, labels = self.settings, self.inputs.data.labels
        assert settings.segmentation_model, "EvaluateConfig.check requires it for miou"
        table = (
            LabelTable.from_file(settings.segmentation_labels, labels)
            if settings.segmentation_labels
            else LabelTable.of_model(settings.segmentation_model, labels)
        )
        return Segmenter(settings.segmentation_model, table).to(self.accelerator.device), table

    def _measure_diversity(self, part: str) -> None:
        inputs, settings, distance = self.inputs, self.settings, self.networks.lpips_maps
        names, ignored = inputs.system.labels.names, inputs.ignored_classes
        diversity = diversity_part(part, names, distance, settings.num_pairs, ignored)
        indices = inputs.spread(settings.num_samples)
        rows = measure_rows(inputs, self.accelerator, self.results, part, indices, diversity.measure)
        if self.accelerator.is_main_process:
            self.results.finish(part, asdict(diversity.result(rows)))
        self.accelerator.wait_for_everyone()

    def _measure_pictures(self, parts: Sequence[str]) -> None:
        if not parts:
            return
        features = {part: self.features[part] for part in parts if part != "segmentation"}
        segmenter = self.segmenter if "segmentation" in parts else None
        indices = self.inputs.spread(self.settings.num_images)
        found = measure_pictures(self.inputs, self.accelerator, indices, features, segmenter)
        if self.accelerator.is_main_process:
            for part in parts:
                self.results.finish(part, found[part])
        self.accelerator.wait_for_everyone()

    def _cost(self, part: str) -> Any:
        index = self.inputs.spread(1)[0]
        if part == "params":
            return count_parameters(self.inputs.system)
        if part == "fps":
            return measure_speed(self.inputs, index, self.settings.fps_decodes)
        label, instance = self.inputs.label(index)
        return count_macs(self.inputs.system, label[None], None if instance is None else instance[None])

    def _report(self) -> None:
        found = {part: self.results.result(part) for part in self.parts}
        text = report(Path(self.settings.model).name, found, self.unknown)
        with atomic_write(self.results.path.with_suffix(".md")) as file:
            file.write_text(text, encoding="utf-8")
        self.accelerator.print(f"{text}\nThe results are in {self.results.path}.")

    def _draw_sheets(self) -> None:
        settings, inputs = self.settings, self.inputs
        folder = self.results.path.with_suffix(".sheets")
        indices = inputs.spread(settings.num_samples)
        names = inputs.system.labels.names

        def draw(class_id: int) -> None:
            rows = sheet_rows(inputs, indices, class_id, settings.sheet_rows)
            if rows:
                save_sheet(
                    class_sheet(inputs, rows, class_id, settings.sheet_columns),
                    folder,
                    class_id,
                    names[class_id],
                )

        run_sharded(len(names), draw, self.accelerator, "contact sheets")
        self.accelerator.print(f"The contact sheets are in {folder}.")


if __name__ == "__main__":
    packages = "pip install 'groupdnet-hub[train,metrics]' has what metrics need"
    run_command("evaluate.py", main, missing=packages)
