"""Settings of prepare.py: a class of flags for each source, and checks of their combinations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.data.person_frames import FRAMES
from groupdnet_hub.prepare.labels import LABEL_SETS, PARSER_RULES
from groupdnet_hub.runs.flags import parse_command
from groupdnet_hub.runs.ignored import ignore_option
from groupdnet_hub.runs.scripts import shipped
from groupdnet_hub.runs.settings import Settings, at_least, below, in_range, option, without_flag

# Smoothing of 16 classes: annotators of Clothing Co-Parsing chose superpixels, whose edges are stairs of 2 to 4 pixels.
# Maps of the 8 classes are not smoothed, as in all older data.
SMOOTH16 = 5
# The bundled parser, and the least sureness of its maps for training (see its card) without tags.
PARSER = shipped("space", "parser")
MIN_SURENESS = 0.8
# The same with tags, chosen by eye: below it maps of photos of Clothing Co-Parsing are mottled.
MIN_SURENESS_TAGGED = 0.7
# Photos that a parser sees at once on a GPU.
GPU_BATCH = 16
_MOST_WORKERS = 8


def _sides(name: str, sides: Sequence[int]) -> str | None:
    if len(sides) <= 2 and all(1 <= side <= 8192 for side in sides):
        return None
    return f"{name} takes one side, or height and width, each from 1 to 8192 pixels"


def _identifier(name: str, value: str) -> str | None:
    return None if value.isidentifier() else f"{name} is {value!r}; it names a folder: letters, digits and _"


def odd_or_0(name: str, value: int) -> str | None:
    """Check the side of the square of smoothing."""
    fits = value >= 0 and (value == 0 or value % 2 == 1)
    return None if fits else f"{name} is {value}; it must be an odd number of pixels, or 0"


ASPECTS = in_range(0.25, 4, "it is height over width, from 0.25 to 4")


@dataclass(frozen=True, kw_only=True)
class PrepareConfig(Settings):
    """Settings of every source.

    Attributes:
        source: name of the source.
    """

    source: ClassVar[str]

    input: Path | None = option(help="folder of the raw data")
    output: Path = option(help="folder to write")
    resolution: tuple[int, ...] | None = option(
        None,
        "SIDE, or HEIGHT WIDTH, to resize to; by default the native size",
        check=_sides,
        metavar="SIDE",
    )
    num_workers: int | None = option(
        None,
        "worker processes of each process, or threads beside a GPU; 0: none; by default one for each core, "
        f"{_MOST_WORKERS} at most",
        check=at_least(0),
    )
    shard_size: int | None = option(
        None,
        "write OUTPUT/data/SPLIT-00000-of-00012.parquet with this many pictures each, which train.py --streaming reads "
        "with many workers, in place of single files; 1000 is a good size",
        check=at_least(1),
        metavar="PICTURES",
    )
    max_items: int | None = option(
        None, "number of pairs of each split to use, the first ones", check=at_least(1)
    )
    push_to_hub: str | None = option(
        None, "upload the result as a Hugging Face data set", metavar="USER/NAME"
    )
    hub_private: bool = option(False, "make that data set private")

    # Fields that are flags of some sources, with their values for the others.
    parser_batch_size: int | None = without_flag(None)
    split: str | None = without_flag(None)
    validation_share: float = without_flag(0.0)
    labels: Path | None = without_flag(None)
    label_set: str | None = without_flag(None)
    instances: Path | None = without_flag(None)
    classes: str | None = without_flag(None)
    photos: str = without_flag("all")
    frame: tuple[str, ...] = without_flag(("none",))
    aspect: float = without_flag(1.0)
    cut_out: bool = without_flag(False)
    smooth: int | None = without_flag(0)
    keep_gloves: bool = without_flag(False)
    parser: str | None = without_flag(None)
    tags: Path | Literal[True] | None = without_flag(None)
    ignore_id: tuple[Ignored, ...] = without_flag(())

    @property
    def workers(self) -> int:
        """Number of workers of each process."""
        if self.num_workers is not None:
            return self.num_workers
        processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        return min(_MOST_WORKERS, max(1, (os.cpu_count() or 1) // processes))

    @property
    def raw(self) -> Path:
        """Folder of the raw data.

        Raises:
            ValueError: if the settings name none.
        """
        if self.input is None:
            raise ValueError(f"{self.source} needs --input FOLDER")
        return self.input

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) to resize to; None for the native size."""
        if self.resolution is None:
            return None
        height = self.resolution[0]
        return height, self.resolution[1] if len(self.resolution) == 2 else max(
            1, round(height / self.aspect)
        )

    @property
    def smoothing(self) -> int:
        """Side in pixels of the square over which label edges are smoothed; 0 for none."""
        if self.smooth is not None:
            return self.smooth
        return SMOOTH16 if self.source in ("ccp", "photos") and self.classes == "people16" else 0

    def check(self) -> None:
        """Refuse frames that a resolution would distort, and a private upload without an upload."""
        super().check()
        if len(set(self.frame)) < len(self.frame):
            raise ValueError(f"--frame names a frame twice: {' '.join(self.frame)}")
        if self.aspect != 1 and "none" in self.frame:
            raise ValueError(
                f"--aspect {self.aspect:g} shapes a frame, and --frame none cuts none: use full or upper"
            )
        if self.resolution is not None and len(self.resolution) == 2 and self.frame != ("none",):
            height, width = self.resolution
            if height != round(width * self.aspect):
                raise ValueError(
                    f"--resolution {height} {width} would distort frames of --aspect {self.aspect:g}: use "
                    f"--aspect {height / width:g}, or --resolution {height} {round(height / self.aspect)}"
                )
        if self.hub_private and not self.push_to_hub:
            raise ValueError("--hub_private needs --push_to_hub USER/NAME")


# -- flags that several sources have ----------------------------------------------------------------------------


def _validation_share(default: float) -> Any:
    text = "it is a fraction from 0 to below 1"
    return option(default, "fraction that goes into validation instead", check=below(1, text))


def _frame(default: str) -> Any:
    return option(
        (default,),
        "part of the photo: full (or person), the full person; upper, head to hips; none, the full photo. With "
        "several, NAME_FRAME is written for each",
        choices=tuple(FRAMES),
    )


@dataclass(frozen=True, kw_only=True)
class _OneSplit(PrepareConfig):
    """Settings of sources without splits."""

    split: str = option("train", "split that the pictures go into", check=_identifier)


@dataclass(frozen=True, kw_only=True)
class _Frames(_OneSplit):
    """Settings of frames of people."""

    frame: tuple[str, ...] = _frame("none")
    aspect: float = option(
        1.0,
        "height of a frame over its width; 2 is upright. One --resolution is then the height",
        check=ASPECTS,
        metavar="RATIO",
    )
    cut_out: bool = option(False, "put the person on a plain light backdrop")
    smooth: int | None = option(
        None,
        "smooth label edges at the photo's own size: each pixel gets the most frequent class in a square of this "
        f"side, an odd number; 0 for none. By default {SMOOTH16} for ccp and photos in people16, else 0",
        check=odd_or_0,
        metavar="PIXELS",
    )


@dataclass(frozen=True, kw_only=True)
class _People(_Frames):
    """Settings of classes of people."""

    classes: str = option(
        "people8",
        "people8: the paper's; people16: with separate garments, glasses, hats and bags",
        choices=tuple(LABEL_SETS),
    )
    keep_gloves: bool = option(False, "use pictures with gloves, as skin")


# -- the sources ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class CcpConfig(_People):
    """Clothing Co-Parsing, 8 or 16 classes."""

    source = "ccp"

    input: Path | None = option(None, "its folder; see --download")
    download: bool = option(False, "fetch it into --input, by default clothing-co-parsing beside --output")
    photos: Literal["all", "fashion8"] = option(
        "all",
        "fashion8: the 872 photos, chosen by eye, that the bundled model is trained on, in their own split; "
        "--validation_share has no effect on it",
    )
    resolution: tuple[int, ...] | None = option(
        (256,), "SIDE, or HEIGHT WIDTH, to resize to", check=_sides, metavar="SIDE"
    )
    validation_share: float = _validation_share(0.1)
    frame: tuple[str, ...] = _frame("person")

    @property
    def raw(self) -> Path:
        """Folder of the raw data, or of its download."""
        return self.input or self.output.absolute().parent / "clothing-co-parsing"

    def check(self) -> None:
        """Refuse data that is neither given nor downloaded."""
        super().check()
        if self.input is None and not self.download:
            raise ValueError("ccp needs --input FOLDER, or --download")


@dataclass(frozen=True, kw_only=True)
class DeepFashionConfig(_People):
    """DeepFashion In-shop and a parser's maps, 8 or 16 classes."""

    source = "deepfashion"

    input: Path = option(help="folder of the pictures (img)")
    labels: Path = option(help="folder of the parser's maps")
    label_set: str = option("lip", "parser whose ids the maps hold", choices=tuple(PARSER_RULES))
    validation_share: float = _validation_share(0.08)


@dataclass(frozen=True, kw_only=True)
class _Scenes(PrepareConfig):
    """Settings of sources with splits."""

    split: Literal["train", "validation"] | None = option(None, "only this split; by default both")


@dataclass(frozen=True, kw_only=True)
class CityscapesConfig(_Scenes):
    """Cityscapes, 35 classes and instances."""

    source = "cityscapes"

    input: Path = option(help="folder with leftImg8bit/ and gtFine/")


@dataclass(frozen=True, kw_only=True)
class Ade20kConfig(_Scenes):
    """ADE20K scene parsing, 151 classes."""

    source = "ade20k"

    input: Path = option(help="folder with images/ and annotations/")


@dataclass(frozen=True, kw_only=True)
class FolderConfig(_OneSplit):
    """Pictures and label maps of the same names."""

    source = "folder"

    input: Path = option(help="folder of the pictures")
    labels: Path = option(help="folder of the label maps")
    instances: Path | None = option(None, "folder of instance maps, if there are any")
    classes: str = option(help="classes.json of the maps")
    ignore_id: tuple[Ignored, ...] = ignore_option(
        "ids of label maps, or colours as '#rrggbb', that stand for unknown pixels, such as 255, beside those that "
        "classes.json ignores; the written classes.json lists them"
    )
    validation_share: float = _validation_share(0.0)


@dataclass(frozen=True, kw_only=True)
class PhotosConfig(_Frames):
    """Photos without label maps, labelled by a parser."""

    source = "photos"

    input: Path = option(
        help="folder of the photos; of Clothing Co-Parsing, those without a label map are used"
    )
    parser: str = option(str(PARSER), "segmentation model of transformers, folder or Hub id")
    classes: str = option(
        "people8",
        "people8, the paper's, people16, or classes.json of the maps",
        metavar="CLASSES",
    )
    labels: Path | None = option(None, "JSON file of the parser's labels in them, as evaluate.py takes it")
    tags: Path | Literal[True] | None = option(
        None,
        "limit each photo to the classes of its tags, besides hair, face, skin and background, and leave out photos "
        "without tags, with gloves, of several people, and those in which a tagged garment is not found. Tags are "
        "those of Clothing Co-Parsing, or names of classes. PATH: folder of its image-level .mat files, or a "
        "metadata.jsonl whose lines have file_name and tags; by default the one in the folder of the photos",
        nargs="?",
        const=True,
        metavar="PATH",
    )
    min_sureness: float | None = option(
        None,
        "least mean probability of a class on its pixels, over the shown classes and the mirrored photo, below "
        f"which a photo is left out; by default {MIN_SURENESS}, or {MIN_SURENESS_TAGGED} with --tags",
        check=in_range(0, 1, "it is a probability, from 0 to 1"),
    )
    parser_batch_size: int | None = option(
        None,
        "photos that the parser sees at once; it may change a pixel of a map by rounding; by default 1 on a CPU, "
        f"{GPU_BATCH} on a GPU",
        check=at_least(1),
    )
    resolution: tuple[int, ...] | None = option(
        (256,), "SIDE, or HEIGHT WIDTH, to resize to", check=_sides, metavar="SIDE"
    )
    validation_share: float = _validation_share(0.0)

    @property
    def least_sureness(self) -> float:
        """Sureness below which the parser's maps are left out."""
        if self.min_sureness is not None:
            return self.min_sureness
        return MIN_SURENESS if self.tags is None else MIN_SURENESS_TAGGED


SOURCES: dict[str, type[PrepareConfig]] = {
    one.source: one
    for one in (CcpConfig, DeepFashionConfig, CityscapesConfig, Ade20kConfig, FolderConfig, PhotosConfig)
}


def parse_prepare_config(argv: Sequence[str] | None = None, *, description: str) -> PrepareConfig:
    """Return the settings of prepare.py's command line; wrong ones end with a message and exit status 2."""
    return parse_command(SOURCES, argv, prog="prepare.py", description=description, metavar="SOURCE")
