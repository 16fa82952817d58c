"""Photos without label maps: a parser labels them within the limits of their tags, and the good ones are used."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from groupdnet_hub import LabelSet
from groupdnet_hub.data.labels import resize_map
from groupdnet_hub.data.people import BACKGROUND
from groupdnet_hub.data.person_frames import Box, crop, find_frame, upper_square
from groupdnet_hub.data.person_maps import backdrop_of, cut_out, keep_main_person, without_bags
from groupdnet_hub.io.images import read_photo
from groupdnet_hub.metrics import LabelTable, Segmenter
from groupdnet_hub.metrics.segmenter import parse, sureness
from groupdnet_hub.prepare.items import Outcome, write_item
from groupdnet_hub.prepare.people import shows_several_people, smooth_edges
from groupdnet_hub.prepare.photo_lists import CCP_BACKDROPS
from groupdnet_hub.prepare.sources import (
    Found,
    Item,
    add_item,
    need_folder,
    no_picture,
    picture_files,
    split_of,
)
from groupdnet_hub.prepare.tags import (
    LISTING,
    RARE,
    Limits,
    Tags,
    limits_of,
    names_upper_garment,
    read_listed_tags,
)

# Range of the fraction of pixels that the person has in a photo framed like the training data.
_PERSON_FRACTION = (0.03, 0.8)
_NOBODY = "without a person in sight"


@dataclass(frozen=True)
class ParsedPhoto:
    """An entire photo as a parser sees it.

    Attributes:
        probabilities: probabilities of the classes within the limits, float32 [C, H, W].
        ids: classes of the main person, int64 [H, W].
        limits: limits of the photo's tags; None for all classes.
        left_out: reason not to train on the photo; None if it may be used.
        missing: garments that the tags name and the map does not show.
    """

    probabilities: np.ndarray
    ids: np.ndarray
    limits: Limits | None = None
    left_out: str | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Labelled:
    """A frame of a photo with its label map.

    Attributes:
        photo: the frame's picture.
        ids: its classes, smoothed, int64 [H, W].
        sureness: see :func:`groupdnet_hub.metrics.segmenter.sureness`.
        box: position of the frame in the photo; None for the entire photo.
    """

    photo: Image.Image
    ids: np.ndarray
    sureness: float
    box: Box | None = None


@dataclass(frozen=True)
class PhotoRecipe:
    """How photos are labelled and prepared.

    Attributes:
        labels: label set of the written maps.
        parser: segmentation model of transformers, folder or Hub id.
        parser_labels: file that maps its labels to our classes; None where they have the same names.
        resolution: (height, width) of the written pictures and maps.
        aspect: height over width of the items' frames; a photo that is cut to one is parsed again.
        cut_out: whether to put the person on a plain light backdrop.
        min_sureness: least :func:`~groupdnet_hub.metrics.segmenter.sureness` of a photo that is used.
        smooth: side in pixels of the square over which label edges are smoothed (:func:`.people.smooth_edges`).
        by_tags: whether to limit the parser to the classes that the items' tags allow, and to leave out photos with
            gloves, without tags, of several people, and those in which the parser does not find a tagged garment.
    """

    labels: LabelSet
    parser: str
    parser_labels: Path | None = None
    resolution: tuple[int, int] = (256, 256)
    aspect: float = 1.0
    cut_out: bool = False
    min_sureness: float = 0.0
    smooth: int = 0
    by_tags: bool = False

    def prepare(self, item: Item, output: Path) -> Outcome:
        """Label, check, cut, resize and write one photo below ``output``, each file atomically.

        Raises:
            OSError: if a file cannot be written.
        """
        segmenter = load_segmenter(self)
        if self.by_tags:
            if RARE & set(item.tags or ()):
                return Outcome(item, left_out="gloves")
            if not names_upper_garment(item.tags or (), self.labels):
                return Outcome(
                    item, left_out="without a tagged upper garment" if item.tags else "without tags"
                )
        try:
            photo, parsed = _parsed(self, item.picture, item.tags)
            if parsed.left_out is not None:
                counts = {f"pictures do not show the tagged {name}": 1 for name in parsed.missing}
                return Outcome(item, left_out=parsed.left_out, counts=counts)
            found = self.label(segmenter, photo, item.frame, parsed)
        except ValueError as error:
            return Outcome(item, problem=" ".join(str(error).split()))
        if found is None:
            return Outcome(item, left_out=_NOBODY)
        entry: dict[str, Any] = {} if found.box is None else {"crop": found.box.as_entry()}
        entry["sureness"] = round(found.sureness, 4)
        if entry["sureness"] < self.min_sureness:
            return Outcome(item, left_out="unsure")
        photo = found.photo
        if self.cut_out:
            backdrop = backdrop_of(item.name) if item.backdrop is None else item.backdrop
            photo = cut_out(photo, found.ids, backdrop)
        photo = photo.resize(self.resolution[::-1], Image.Resampling.LANCZOS)
        files = write_item(item, photo, resize_map(found.ids, self.resolution), self.labels, output)
        return Outcome(item, entry={**files, **entry})

    def label(
        self, segmenter: Segmenter, photo: Image.Image, frame: str, parsed: ParsedPhoto
    ) -> Labelled | None:
        """Cut a frame around the person of a photo, and parse it again.

        Args:
            segmenter: parser.
            photo: photo.
            frame: one of ``person_frames.FRAMES``; with ``none``, the map of the entire photo is the result.
            parsed: result of :func:`find_person` for the photo, in which a person was found.

        Returns:
            The frame; None where the person is too small or too large for a photo framed like the training data.
        """
        box, probabilities, ids = None, parsed.probabilities, parsed.ids
        if frame != "none":
            box = self._frame(frame, without_bags(ids, self.labels))
            photo, _ = crop(photo, ids, box)
            probabilities = _limited(parse(segmenter, photo), parsed.limits)
            ids = keep_main_person(probabilities.argmax(0))
        person = float((ids != BACKGROUND).mean())
        if not _PERSON_FRACTION[0] <= person <= _PERSON_FRACTION[1]:
            return None
        return Labelled(photo, smooth_edges(ids, self.smooth), sureness(probabilities, ids), box)

    def _frame(self, frame: str, ids: np.ndarray) -> Box:
        if frame == "upper" and self.aspect == 1:
            left, top, side = upper_square(ids)
            return Box(left, top, side, side)
        return find_frame(frame, ids, self.aspect)


def find_person(probabilities: np.ndarray, labels: LabelSet, limits: Limits | None) -> ParsedPhoto:
    """Find the main person in a photo, and decide by its tags whether to train on it.

    Several people are detected before the classes are limited: the others may wear garments that the tags do not name.

    Args:
        probabilities: result of :func:`~groupdnet_hub.metrics.segmenter.parse`, float32 [C, H, W].
        labels: label set of the classes.
        limits: limits of the photo's tags; None for all classes and no check but whether there is a person.
    """
    limited = _limited(probabilities, limits)
    ids = keep_main_person(limited.argmax(0))
    if not ids.any():
        return ParsedPhoto(limited, ids, limits, _NOBODY)
    if limits is None:
        return ParsedPhoto(limited, ids)
    if shows_several_people(probabilities.argmax(0), labels):
        return ParsedPhoto(limited, ids, limits, "several people")
    missing = tuple(limits.missing(ids))
    return ParsedPhoto(limited, ids, limits, "a tagged garment not found" if missing else None, missing)


def _limited(probabilities: np.ndarray, limits: Limits | None) -> np.ndarray:
    return probabilities if limits is None else limits.apply(probabilities)


def find_photos(
    folder: Path,
    output: Path,
    *,
    split: str,
    validation_fraction: float,
    tags: Mapping[str, Tags] | None = None,
) -> Found:
    """List the photos below a folder; in the folder of Clothing Co-Parsing, those without a pixel-level annotation.

    Args:
        folder: folder of the photos.
        output: folder to leave out.
        split: split that the photos go into.
        validation_fraction: fraction of them that goes into validation instead.
        tags: tags by name of the photo. Each item gets its own, and a photo of Clothing Co-Parsing the backdrop that
            the annotated ones have in fashion8. With None, a ``metadata.jsonl`` may give them, and photos with gloves
            are left out.

    Raises:
        ValueError: if there is no such folder, or its metadata cannot be read.
    """
    need_folder(folder, "the photos")
    annotations = folder / "annotations" / "pixel-level"
    labelled: set[str] = set()
    if annotations.is_dir() and (folder / "photos").is_dir():
        labelled = {path.stem for path in annotations.glob("*.mat")}
        folder = folder / "photos"
    found = Found()
    listing = folder / LISTING
    listed = read_listed_tags(listing) if tags is None and listing.is_file() else {}
    seen: dict[tuple[str, str], Path] = {}
    rare = 0
    pictures = picture_files(folder, [output], found.problems)
    if not pictures:
        raise ValueError(no_picture(folder))
    for key, picture in pictures.items():
        name = key.rpartition("/")[2]
        if name in labelled:
            continue
        if RARE & set(listed.get(name, ())):
            rare += 1
            continue
        item = Item(split_of(name, split, validation_fraction), f"ccp_{name}" if labelled else name, picture)
        if tags is not None:
            backdrop = (
                CCP_BACKDROPS[int(name) % len(CCP_BACKDROPS)] if labelled and name.isdecimal() else None
            )
            item = replace(item, tags=tags.get(name, ()), backdrop=backdrop)
        add_item(found, item, seen)
    if labelled:
        found.remarks.append(f"{len(labelled)} photos have a pixel-level annotation and were not used")
    if rare:
        found.remarks.append(f"{rare} photos with gloves were not used")
    return found


@functools.lru_cache(maxsize=1)
def _parsed(recipe: PhotoRecipe, picture: Path, tags: Tags | None) -> tuple[Image.Image, ParsedPhoto]:
    """Read and parse a photo; cached for its next frame."""
    photo = read_photo(picture)
    limits = limits_of(tags or (), recipe.labels) if recipe.by_tags else None
    return photo, find_person(parse(load_segmenter(recipe), photo), recipe.labels, limits)


@functools.lru_cache(maxsize=1)
def load_segmenter(recipe: PhotoRecipe) -> Segmenter:
    """Load the parser, once per process."""
    return segmenter_for(recipe.parser, recipe.parser_labels, recipe.labels)


def segmenter_for(parser: str, parser_labels: Path | None, labels: LabelSet) -> Segmenter:
    """Load a parser that predicts the classes of ``labels``.

    Args:
        parser: segmentation model of transformers, folder or Hub id.
        parser_labels: file that maps its labels to the classes; None where they have the same names.
        labels: label set.

    Raises:
        ValueError: if it cannot be loaded, or its labels do not fit.
    """
    if parser_labels is None:
        return Segmenter(parser, LabelTable.of_model(parser, labels, flag="--parser"), flag="--parser")
    return Segmenter(parser, LabelTable.from_file(parser_labels, labels), flag="--parser")
