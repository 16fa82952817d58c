"""Settings of evaluate.py, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.evaluation.sampled.config import SAMPLED_METRICS, SampledSettings
from groupdnet_hub.runs.flags import parse_settings
from groupdnet_hub.runs.ignored import ignore_option
from groupdnet_hub.runs.measuring.networks import MeasuringSettings
from groupdnet_hub.runs.settings import (
    at_least,
    existing_file,
    in_range,
    option,
    refuse_other_folders,
    seed_option,
    size_option,
)

METRICS = ("mcsd", "mocd", "lpips", "fid", "frechet", *SAMPLED_METRICS, "miou", "fps", "macs", "params")
# Metrics that need LPIPS at most.
_DEFAULT_METRICS = ("mcsd", "mocd", "lpips", "fps", "macs", "params")


@dataclass(frozen=True, kw_only=True)
class MeasureSettings(MeasuringSettings):
    """Metrics, and the model and data that they measure."""

    model: str = option(help="the system to measure: a folder or a Hub id")
    data_dir: str = option(help="data set folder of the model's classes")
    split: str = option("validation", "its split with the label maps and real photos")
    ignore_id: tuple[Ignored, ...] = ignore_option(
        "ids of label maps, or colours as '#rrggbb', that stand for unknown pixels, such as 255, beside those that "
        "classes.json ignores, or the model where there is none: they are left out"
    )
    metrics: tuple[str, ...] = option(
        _DEFAULT_METRICS,
        "miou comes with the pixel accuracy; frechet is the Frechet distance of other features than FID's; both come "
        "with KID of their features; kid is the kernel distance of frechet's features over several pictures of each "
        "label map, kid_inception that of FID's; sharpness is the roughness of "
        "garments, fixed_pattern that of one place whatever the codes are; faces is the fraction of heads in which "
        "mediapipe finds a face; memory is the LPIPS to the nearest training photo (less than 1: copied); tone is the "
        "distance of the colours of face and skin; chroma is the fraction of garments with a clear colour; kid and "
        "those after it are reported beside their value for photos",
        choices=METRICS,
    )
    output: str = option("results.json", "file of the results; an unfinished one is resumed")
    num_samples: int = option(
        100, "label maps for mCSD, mOCD and LPIPS, spread over the split", check=at_least(1)
    )
    num_pairs: int = option(19, "pairs of pictures per label map and class", check=at_least(1))
    num_images: int | None = option(
        None, "label maps for all but mCSD, mOCD and LPIPS; by default all", check=at_least(1)
    )
    judged_size: tuple[int, int] | None = size_option(
        None,
        "SIDE, or HEIGHT WIDTH, at which pictures and photos are judged by all metrics but mCSD, mOCD and LPIPS, so "
        "that models of several sizes can be compared; by default the model's size",
        least=16,
        metavar="SIDE",
    )
    judged_aspect: float | None = option(
        None,
        "height over width of the middle part that they judge, such as 2 where people stand in wide frames; by "
        "default the full picture",
        check=in_range(0.1, 10, "it must lie between 0.1 and 10"),
        metavar="RATIO",
    )
    batch_size: int = option(8, "pictures drawn at a time", check=at_least(1))
    seed: int = seed_option("seed of all codes")
    segmentation_model: str | None = option(
        None, "for miou: a semantic segmentation model of transformers, folder or Hub id"
    )
    segmentation_labels: str | None = option(
        None,
        'for miou: JSON file, {"labels": {"THEIR LABEL": "our class", ...}, "ignored": ["our class", ...]}; '
        "by default its labels have the names of our classes",
        check=existing_file,
    )
    fps_decodes: int = option(20, "number of timed pictures of fps", check=at_least(1))
    sheet_rows: int = option(
        4, "label maps on the contact sheet of each class; 0 for no sheets", check=at_least(0)
    )
    sheet_columns: int = option(
        6, "pictures in a row of it, which differ in the code of that class", check=at_least(1)
    )


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(SampledSettings, MeasureSettings):
    """Settings of evaluate.py."""

    @property
    def training_split(self) -> Path:
        """Folder of the training photos."""
        return Path(self.train_data_dir or self.data_dir) / self.train_split

    def check(self) -> None:
        """Refuse missing data, and settings of metrics that are not measured."""
        super().check()
        refuse_other_folders("--data_dir, --split", self.data_dir, self.split)
        if self.train_data_dir is not None or "memory" in self.metrics:
            training = self.train_data_dir or self.data_dir
            refuse_other_folders("--train_data_dir, --train_split", training, self.train_split)
        if {"kid", "kid_inception"} & set(self.metrics) and self.num_images == 1:
            raise ValueError("--num_images is 1; a kernel distance needs at least 2")
        if "miou" in self.metrics and self.segmentation_model is None:
            raise ValueError(
                "miou needs --segmentation_model, such as space/parser for its classes of people"
            )
        if "miou" not in self.metrics and (self.segmentation_model or self.segmentation_labels):
            raise ValueError(
                "--segmentation_model and --segmentation_labels are for miou, which is not among --metrics"
            )
        if {"fid", "frechet"} & set(self.metrics) and self.num_images == 1:
            raise ValueError("--num_images is 1; a Frechet distance needs at least 2")
        if Path(self.output).suffix != ".json" or Path(self.output).is_dir():
            raise ValueError(f"--output is {self.output}; it must be a file NAME.json")


def parse_evaluate_config(argv: Sequence[str] | None = None) -> EvaluateConfig:
    """Return the settings of evaluate.py's command line; wrong ones end with a message and exit status 2."""
    return parse_settings(
        EvaluateConfig,
        argv,
        prog="evaluate.py",
        description="Measure a model as the paper does: per-class diversity, quality, segmentation, cost.",
    )
