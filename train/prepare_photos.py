"""Photos without label maps: a parser labels them, and those where it is sure are kept."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from prepare_items import Outcome, resize_map, write_item
from prepare_sources import Found, Item, picture_files, split_of

from groupdnet_hub import LabelSet, read_photo
from groupdnet_hub.metrics import LabelTable, Segmenter
from groupdnet_hub.person_frames import Box, crop, find_frame, upper_square
from groupdnet_hub.person_maps import BACKGROUND, backdrop_of, cut_out, keep_main_person, without_bags
from groupdnet_hub.photo_parsing import parse

# Photos whose tags name one of these are left out, as the paper does for "rare attributes like a glove".
_RARE = {"glove", "gloves"}
# No person is so small or so large in a photo that is framed like the training data.
_PERSON_SHARE = (0.03, 0.8)
_NOBODY = "without a person in sight"


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
    """

    labels: LabelSet
    parser: str
    parser_labels: Path | None = None
    resolution: tuple[int, int] = (256, 256)
    aspect: float = 1.0
    cut_out: bool = False
    min_sureness: float = 0.0

    def prepare(self, item: Item, output: Path) -> Outcome:
        """Label, judge, cut, resize and write one photo below ``output``; each file appears whole or not at all.

        Raises:
            OSError: if a file cannot be written.
        """
        segmenter = _segmenter(self)
        entry: dict[str, Any] = {}
        try:
            photo = read_photo(item.picture)
            if item.frame != "none":
                rough = keep_main_person(parse(segmenter, photo).argmax(0))
                if not rough.any():
                    return Outcome(item, left_out=_NOBODY)
                box = self._frame(item.frame, without_bags(rough, self.labels))
                photo, _ = crop(photo, rough, box)
                entry["crop"] = box.as_entry()
            shares = parse(segmenter, photo)
        except ValueError as error:
            return Outcome(item, problem=" ".join(str(error).split()))
        ids = keep_main_person(shares.argmax(0))
        person = float((ids != BACKGROUND).mean())
        if not _PERSON_SHARE[0] <= person <= _PERSON_SHARE[1]:
            return Outcome(item, left_out=_NOBODY)
        entry["sureness"] = round(sureness(shares, ids), 4)
        if entry["sureness"] < self.min_sureness:
            return Outcome(item, left_out="unsure")
        if self.cut_out:
            photo = cut_out(photo, ids, backdrop_of(item.name))
        size = (self.resolution[1], self.resolution[0])
        photo = photo.resize(size, Image.Resampling.LANCZOS)
        files = write_item(item, photo, resize_map(ids, size), self.labels, output)
        return Outcome(item, entry={**files, **entry})

    def _frame(self, frame: str, ids: np.ndarray) -> Box:
        if frame == "upper" and self.aspect == 1:
            left, top, side = upper_square(ids)
            return Box(left, top, side, side)
        return find_frame(frame, ids, self.aspect)


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


def find_photos(folder: Path, output: Path, *, split: str, validation_share: float) -> Found:
    """The photos below a folder; of Clothing Co-Parsing's own folder, those without a pixel-level annotation.

    A ``metadata.jsonl`` may give the photos' ``tags``: those with gloves are left out.

    Raises:
        ValueError: if there is no such folder, or its metadata cannot be read.
    """
    annotations = folder / "annotations" / "pixel-level"
    labelled: set[str] = set()
    if annotations.is_dir() and (folder / "photos").is_dir():
        labelled = {path.stem for path in annotations.glob("*.mat")}
        folder = folder / "photos"
    found = Found()
    tags = _tags(folder / "metadata.jsonl")
    rare = 0
    for key, picture in picture_files(folder, [output], found.problems).items():
        name = key.rpartition("/")[2]
        if name in labelled:
            continue
        if _RARE & tags.get(name, set()):
            rare += 1
            continue
        name = f"ccp_{name}" if labelled else name
        found.items.append(Item(split_of(name, split, validation_share), name, picture))
    if labelled:
        found.remarks.append(f"{len(labelled)} photos have a pixel-level annotation and were not used")
    if rare:
        found.remarks.append(f"{rare} photos with gloves were not used")
    return found


def _tags(path: Path) -> dict[str, set[str]]:
    """Tags by the picture's name without its ending; none where there is no such file."""
    if not path.is_file():
        return {}
    try:
        entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return {Path(entry["file_name"]).stem: set(entry.get("tags", ())) for entry in entries}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read: {error!r}") from None


@functools.lru_cache(maxsize=1)
def _segmenter(recipe: PhotoRecipe) -> Segmenter:
    """Loaded once by each process."""
    if recipe.parser_labels is None:
        table = LabelTable.same_names(recipe.labels)
    else:
        table = LabelTable.from_file(recipe.parser_labels, recipe.labels)
    return Segmenter(recipe.parser, table)
