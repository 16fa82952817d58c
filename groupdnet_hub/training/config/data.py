"""Settings of what a run trains on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.data.listing import is_split
from groupdnet_hub.runs.ignored import ignore_option
from groupdnet_hub.runs.settings import (
    Settings,
    at_least,
    below,
    existing_file,
    existing_folders,
    in_range,
    option,
)

_NOT_1 = below(1, "it must lie from 0 up to less than 1")


@dataclass(frozen=True, kw_only=True)
class DataSettings(Settings):
    """Data, and how its pictures are moved."""

    train_data_dir: tuple[str, ...] | None = option(
        None,
        "folder with train/ (and validation/): images/, labels/, metadata.jsonl, classes.json; or several of the "
        "same classes, the first with the validation/ that is looked at",
        check=existing_folders,
        on_resume="data",
    )
    dataset_name: str | None = option(
        None, "Hugging Face data set id, or 'imagefolder' together with --train_data_dir", on_resume="data"
    )
    streaming: bool = option(
        False, "read --dataset_name as it is downloaded, without keeping it; needs --max_train_steps"
    )
    classes: str | None = option(
        None,
        "classes.json of the label set; by default the one in --train_data_dir",
        check=existing_file,
        on_resume="network",
    )
    ignore_id: tuple[Ignored, ...] = ignore_option(
        "ids of label maps, or colours as '#rrggbb', that stand for unknown pixels, such as 255, beside those that "
        "classes.json ignores: they count in no loss"
    )
    image_column: str = option("image", "picture column of --dataset_name", on_resume="data")
    label_column: str = option("label", "label map column of --dataset_name", on_resume="data")

    max_train_samples: int | None = option(
        None,
        "train on this many pictures, drawn by --seed, or on the first of a stream; by default on all",
        check=at_least(1),
    )

    random_flip: bool = option(False, "mirror half of the pictures")
    random_shift: float = option(
        0.0,
        "shift pictures by up to this fraction of their sides, away from edges that show one class alone; for data "
        "whose pictures are all framed alike",
        check=_NOT_1,
    )
    random_scale: float = option(
        0.0,
        "scale pictures by up to this fraction, up or down; edges that show several classes do not continue",
        check=_NOT_1,
    )
    random_turn: float = option(
        0.0,
        "turn pictures by up to this many degrees either way",
        check=in_range(0, 90, "it must lie from 0 to 90 degrees"),
    )
    simplified_maps: float = option(
        0.0,
        "fraction of the pictures whose label map is simplified as if it were painted by hand, so that painted maps "
        "are drawn well",
        check=in_range(0, 1),
    )
    balanced_sampling: float = option(
        0.0,
        "draw pictures that show rare classes more often: from 0, all alike, to 1, by the inverse of the fraction of "
        "pictures that show a picture's rarest class, 10 times at most",
        check=in_range(0, 1),
    )
    recoloured_classes: tuple[str, ...] | None = option(
        None,
        "names of classes, such as clothes, whose hues are turned at random in what is trained on, so that "
        "rare colours are learned too",
    )
    recoloured_share: float = option(
        0.5, "fraction of the pictures in which each of these classes is recoloured", check=in_range(0, 1)
    )

    dataloader_num_workers: int = option(0, "processes that read pictures", on_resume="free")
    cache_data: Literal["device", "memory", "none"] | None = option(
        None,
        "where decoded pictures are kept: on the training device, which then moves them too, in the host's "
        "memory, or nowhere: files are read again; by default on a GPU with four times as much memory free, else in "
        "memory up to --cache_gb, else nowhere; batches are the same",
        on_resume="free",
    )
    cache_gb: float | None = option(
        None,
        "GiB of the host's memory that pictures may take, in each training process; by default 4",
        on_resume="free",
    )

    @property
    def has_validation(self) -> bool:
        """Whether the first data folder has a split ``validation``."""
        folder = (self.train_data_dir or ("",))[0]
        return folder != "" and is_split(Path(folder) / "validation")

    def check(self) -> None:
        """Refuse data that is not named, or not in a way that can be read."""
        super().check()
        if not self.train_data_dir and not self.dataset_name:
            raise ValueError("name the data: --train_data_dir FOLDER or --dataset_name ID")
        if self.dataset_name and len(self.train_data_dir or ()) > 1:
            raise ValueError(
                "--dataset_name reads one --train_data_dir: leave it out to train on several folders"
            )
        if self.dataset_name and not self.train_data_dir and not self.classes:
            raise ValueError(
                "--dataset_name needs --classes FILE: a classes.json with the names and colours of the label ids"
            )
        if not self.dataset_name:
            self.refuse_given(("image_column", "label_column"), "without --dataset_name")
        if not self.recoloured_classes:
            self.refuse_given(("recoloured_share",), "without --recoloured_classes")
        if self.streaming and self.dataloader_num_workers > 1:
            raise ValueError("--streaming is read by one process: --dataloader_num_workers can be 0 or 1")
        if (self.cache_gb or 0) < 0 or self.dataloader_num_workers < 0:
            raise ValueError("--cache_gb and --dataloader_num_workers must be 0 or more")
        if self.cache_gb is not None and self.cache_data in ("device", "none"):
            raise ValueError(f"--cache_gb has no effect with --cache_data {self.cache_data}: leave one out")
        if self.streaming and self.cache_data in ("device", "memory"):
            raise ValueError(
                f"--cache_data {self.cache_data} keeps pictures, and --streaming reads them as they come: leave one out"
            )
        if self.balanced_sampling and self.streaming:
            raise ValueError(
                "--balanced_sampling has no effect on a stream, whose pictures are not known beforehand: leave one out"
            )
