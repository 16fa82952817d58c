"""Photos without label maps: a parser labels them, within what their tags allow, and the better ones are kept."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from groupdnet_hub import LabelSet
from groupdnet_hub.data.person_frames import Box, crop, find_frame, upper_square
from groupdnet_hub.data.person_maps import BACKGROUND, backdrop_of, cut_out, keep_main_person, without_bags
from groupdnet_hub.io.images import read_photo
from groupdnet_hub.metrics import LabelTable, Segmenter
from groupdnet_hub.metrics.segmenter import parse
from groupdnet_hub.prepare.items import Outcome, resize_map, write_item
from groupdnet_hub.prepare.people import shows_several_people, smooth_edges
from groupdnet_hub.prepare.photo_lists import CCP_BACKDROPS
from groupdnet_hub.prepare.sources import Found, Item, picture_files, split_of
from groupdnet_hub.prepare.tags import LISTING, RARE, Limits, Tags, limits_of, read_listed_tags

# No person is so small or so large in a photo that is framed like the training data.
_PERSON_SHARE = (0.03, 0.8)
_NOBODY = "without a person in sight"


@dataclass(frozen=True)
class Whole:
    """A whole photo as a parser sees it.

    Attributes:
        shares: probabilities of the classes, within what the tags allow, float32 [C, H, W].
        ids: the main person's classes, int64 [H, W].
        left_out: why the photo should not be trained on; None if it may.
        missing: garments that its tags name and its map does not show.
    """

    shares: np.ndarray
    ids: np.ndarray
    left_out: str | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Labelled:
    """A frame of a photo with its label map.

    Attributes:
        photo: what the map is of.
        ids: its classes, smoothed, int64 [H, W].
        sureness: see :func:`sureness`.
        box: the frame in the photo; None for all of it.
    """

    photo: Image.Image
    ids: np.ndarray
    sureness: float
    box: Box | None = None


@dataclass(frozen=True)
class PhotoRecipe:
    """How photos are labelled and prepared.

    Attributes:
        labels: the classes of the maps that are written.
        parser: a segmentation model of transformers, folder or Hub id.
        parser_labels: file of its labels in ours; None where they have the same names.
        resolution: (height, width) of what is written.
        aspect: height over width of the items' frames; a photo that is cut to one is parsed again.
        cut_out: put the person on a plain light backdrop.
        min_sureness: least :func:`sureness` of a photo that is kept.
        smooth: side of the square over which label edges are smoothed (:func:`.people.smooth_edges`).
        by_tags: limit the parser's answer to what the items' tags allow, and leave out photos with gloves, without
            tags, of several people, and those of which the parser does not find a tagged garment.
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
        """Label, judge, cut, resize and write one photo below ``output``; each file appears whole or not at all.

        Raises:
            OSError: if a file cannot be written.
        """
        segmenter = _segmenter(self)
        limits = None
        if self.by_tags:
            if RARE & set(item.tags or ()):
                return Outcome(item, left_out="gloves")
            limits = limits_of(item.tags or (), self.labels)
            if not limits.clothed:
                return Outcome(
                    item, left_out="without a tagged upper garment" if item.tags else "without tags"
                )
        try:
            photo, whole = _whole(self, item.picture, item.tags)
            if whole.left_out is not None:
                counts = {f"pictures do not show the tagged {name}": 1 for name in whole.missing}
                return Outcome(item, left_out=whole.left_out, counts=counts)
            found = self.label(segmenter, photo, item.frame, whole, limits)
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
        size = (self.resolution[1], self.resolution[0])
        photo = photo.resize(size, Image.Resampling.LANCZOS)
        files = write_item(item, photo, resize_map(found.ids, size), self.labels, output)
        return Outcome(item, entry={**files, **entry})

    def label(
        self, segmenter: Segmenter, photo: Image.Image, frame: str, whole: Whole, limits: Limits | None
    ) -> Labelled | None:
        """Cut a frame around the person of a photo, and parse that again.

        Args:
            frame: one of ``person_frames.FRAMES``; with ``none``, the whole photo's map is the answer.
            whole: from :func:`look`, where somebody was found.
            limits: what the photo's tags allow; None for all classes.

        Returns:
            None where the person is too small or too large for a photo that is framed like the training data.
        """
        box, shares, ids = None, whole.shares, whole.ids
        if frame != "none":
            box = self._frame(frame, without_bags(ids, self.labels))
            photo, _ = crop(photo, ids, box)
            shares = _limited(parse(segmenter, photo), limits)
            ids = keep_main_person(shares.argmax(0))
        person = float((ids != BACKGROUND).mean())
        if not _PERSON_SHARE[0] <= person <= _PERSON_SHARE[1]:
            return None
        return Labelled(photo, smooth_edges(ids, self.smooth), sureness(shares, ids), box)

    def _frame(self, frame: str, ids: np.ndarray) -> Box:
        if frame == "upper" and self.aspect == 1:
            left, top, side = upper_square(ids)
            return Box(left, top, side, side)
        return find_frame(frame, ids, self.aspect)


def look(shares: np.ndarray, labels: LabelSet, limits: Limits | None) -> Whole:
    """Find the main person in a whole photo, and judge by its tags whether it is one to train on.

    Whether there are several people is seen before the classes are limited: others wear what the tags do not name.

    Args:
        shares: from :func:`parse`.
        limits: what the photo's tags allow; None for all classes and no judgement but whether somebody is there.
    """
    limited = _limited(shares, limits)
    ids = keep_main_person(limited.argmax(0))
    if not ids.any():
        return Whole(limited, ids, _NOBODY)
    if limits is None:
        return Whole(limited, ids)
    if shows_several_people(shares.argmax(0), labels):
        return Whole(limited, ids, "several people")
    missing = tuple(limits.missing(ids))
    return Whole(limited, ids, "a tagged garment not found" if missing else None, missing)


def _limited(shares: np.ndarray, limits: Limits | None) -> np.ndarray:
    return shares if limits is None else limits.apply(shares)


def sureness(shares: np.ndarray, ids: np.ndarray) -> float:
    """How sure a parser is of a label map, from 0 to 1: the mean over the classes that the map shows, the background
    left out, of the mean probability of the class on its pixels.

    The probabilities are means over the photo and its mirror image (:func:`parse`): where the two disagree, no class
    is sure. The mean is by class, because a wrong face or shoe spoils a picture as much as a wrong coat and has few
    pixels.

    Args:
        shares: float32 [C, H, W].
        ids: int64 [H, W].

    Returns:
        0 where the map shows the background only.
    """
    shown = [class_id for class_id in np.unique(ids) if class_id != BACKGROUND]
    if not shown:
        return 0.0
    return float(np.mean([shares[class_id][ids == class_id].mean() for class_id in shown]))


def find_photos(
    folder: Path,
    output: Path,
    *,
    split: str,
    validation_share: float,
    tags: Mapping[str, Tags] | None = None,
) -> Found:
    """The photos below a folder; of Clothing Co-Parsing's own folder, those without a pixel-level annotation.

    Args:
        tags: of the photos, by their names; each item gets its own, and a photo of Clothing Co-Parsing the backdrop
            that its annotated ones have in fashion8. None: a ``metadata.jsonl`` may give them, and photos with gloves
            are left out.

    Raises:
        ValueError: if there is no such folder, or its metadata cannot be read.
    """
    annotations = folder / "annotations" / "pixel-level"
    labelled: set[str] = set()
    if annotations.is_dir() and (folder / "photos").is_dir():
        labelled = {path.stem for path in annotations.glob("*.mat")}
        folder = folder / "photos"
    found = Found()
    listing = folder / LISTING
    listed = read_listed_tags(listing) if tags is None and listing.is_file() else {}
    rare = 0
    for key, picture in picture_files(folder, [output], found.problems).items():
        name = key.rpartition("/")[2]
        if name in labelled:
            continue
        if RARE & set(listed.get(name, ())):
            rare += 1
            continue
        item = Item(split_of(name, split, validation_share), f"ccp_{name}" if labelled else name, picture)
        if tags is not None:
            backdrop = (
                CCP_BACKDROPS[int(name) % len(CCP_BACKDROPS)] if labelled and name.isdecimal() else None
            )
            item = replace(item, tags=tags.get(name, ()), backdrop=backdrop)
        found.items.append(item)
    if labelled:
        found.remarks.append(f"{len(labelled)} photos have a pixel-level annotation and were not used")
    if rare:
        found.remarks.append(f"{rare} photos with gloves were not used")
    return found


@functools.lru_cache(maxsize=1)
def _whole(recipe: PhotoRecipe, picture: Path, tags: Tags | None) -> tuple[Image.Image, Whole]:
    """A photo and what is found in all of it: kept for its next frame."""
    photo = read_photo(picture)
    limits = limits_of(tags or (), recipe.labels) if recipe.by_tags else None
    return photo, look(parse(_segmenter(recipe), photo), recipe.labels, limits)


@functools.lru_cache(maxsize=1)
def _segmenter(recipe: PhotoRecipe) -> Segmenter:
    """Loaded once by each process."""
    return segmenter_for(recipe.parser, recipe.parser_labels, recipe.labels)


def segmenter_for(parser: str, parser_labels: Path | None, labels: LabelSet) -> Segmenter:
    """A parser that answers in the classes of ``labels``.

    Args:
        parser_labels: file of its labels in these; None where they have the same names.

    Raises:
        ValueError: if it cannot be loaded, or its labels do not fit.
    """
    if parser_labels is None:
        return Segmenter(parser, LabelTable.of_model(parser, labels))
    return Segmenter(parser, LabelTable.from_file(parser_labels, labels))
