"""Settings of generate.py, checked before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.data.listing import split_problem
from groupdnet_hub.runs.flags import parse_settings
from groupdnet_hub.runs.ignored import ignore_option
from groupdnet_hub.runs.settings import Settings, at_least, existing_folder, option, seed_option


def _hub_name(name: str, value: str) -> str | None:
    fits = re.fullmatch(r"[\w.-]+/[\w.-]+", value)
    return None if fits else f"{name} is {value!r}; it must be user/name"


def _folder_name(name: str, value: str) -> str | None:
    fits = re.fullmatch(r"\w[\w.-]*", value)
    return None if fits else f"{name} is {value!r}; it must be one name of letters, digits, '_', '-' and '.'"


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(Settings):
    """Settings of generate.py: label maps, their pictures, and the data set that they form."""

    model: str = option(help="GroupDNet: a folder or a Hub id")
    label_dir: str = option(
        help="label maps: a folder of PNG files, or a split of a data set (with metadata.jsonl)",
        check=existing_folder,
    )
    ignore_id: tuple[Ignored, ...] = ignore_option(
        "ids of label maps, or colours as '#rrggbb', that stand for unknown pixels, such as 255, beside those that "
        "classes.json ignores, or the model where there is none: they are drawn as the don't-care class or the nearest "
        "one"
    )
    output_dir: str = option(help="data set folder to write; an unfinished one is resumed")
    split: str = option("train", "folder in --output_dir for these pictures", check=_folder_name)
    num_per_map: int = option(1, "pictures for each label map", check=at_least(1))
    seed: int = seed_option("seed of all pictures")
    gallery_dir: str | None = option(
        None,
        "split of a data set: photos whose appearances are mixed, each class from another photo",
        check=existing_folder,
    )
    classes_from_gallery: tuple[str, ...] | None = option(
        None, "classes whose appearance comes from the gallery; by default all that it shows"
    )
    save_codes: bool = option(False, "write each picture's codes as safetensors")
    batch_size: int = option(8, "pictures drawn at a time, all of one label map", check=at_least(1))
    mixed_precision: Literal["no", "bf16"] = option("no", "autocast precision of the drawing")
    push_to_hub: str | None = option(
        None, "upload the finished folder as a data set", check=_hub_name, metavar="USER/NAME"
    )
    hub_private: bool = option(False, "make that repository private")

    def check(self) -> None:
        """Refuse a gallery without photos, and an output folder that is a file."""
        super().check()
        problem = None if self.gallery_dir is None else split_problem(Path(self.gallery_dir))
        if problem is not None:
            raise ValueError(f"--gallery_dir: {problem}")
        if self.classes_from_gallery and self.gallery_dir is None:
            raise ValueError("--classes_from_gallery needs --gallery_dir")
        for folder in (Path(self.output_dir), Path(self.output_dir) / self.split):
            if folder.exists() and not folder.is_dir():
                raise ValueError(f"--output_dir: {folder} is a file")
        if self.hub_private and self.push_to_hub is None:
            raise ValueError("--hub_private needs --push_to_hub user/name")


def parse_generate_config(argv: Sequence[str] | None = None) -> GenerateConfig:
    """Return the settings of generate.py's command line; wrong ones end with a message and exit status 2."""
    return parse_settings(
        GenerateConfig,
        argv,
        prog="generate.py",
        description="Draw N pictures for each label map of a folder, as a data set to train on.",
    )
