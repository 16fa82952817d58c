"""One raw picture with its label map -> the files that training reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from groupdnet_hub import LabelSet
from groupdnet_hub.data.label_maps import read_instance_map, read_label_map
from groupdnet_hub.data.labels import label_picture
from groupdnet_hub.data.person_frames import crop, find_frame
from groupdnet_hub.data.person_maps import BACKGROUND, backdrop_of, cut_out, without_bags
from groupdnet_hub.io.atomic import atomic_write
from groupdnet_hub.io.images import read_photo
from groupdnet_hub.prepare.ccp import merge_tags, read_tag_map
from groupdnet_hub.prepare.labels import (
    CITYSCAPES_PLATE,
    CITYSCAPES_PLATE_BYTE,
    PARSER_RULES,
    parser_label_set,
    rules_for,
)
from groupdnet_hub.prepare.people import fill_nearest, merge, smooth_edges
from groupdnet_hub.prepare.sources import Item

# A glove of fewer pixels than this share of the person is a parser's noise.
_GLOVE_SHARE = 0.001
_BYTES = LabelSet.from_names([f"value {i}" for i in range(256)])


@dataclass(frozen=True)
class Recipe:
    """How every picture of a data set is prepared.

    Attributes:
        source: ``deepfashion``, ``cityscapes``, ``ade20k``, ``ccp`` or ``folder``.
        labels: the classes of the maps that are written.
        raw_names: names of the ids of the raw maps, where they are merged.
        label_set: ``lip``, ``cihp`` or ``atr`` (DeepFashion).
        resolution: (height, width) of what is written; None keeps the native size.
        aspect: height over width of the items' frames.
        cut_out: put the person on a plain light backdrop.
        smooth: side of the square over which label edges are smoothed (:func:`.people.smooth_edges`).
        keep_gloves: keep pictures that show gloves.
    """

    source: str
    labels: LabelSet
    raw_names: tuple[str, ...] = ()
    label_set: str | None = None
    resolution: tuple[int, int] | None = None
    aspect: float = 1.0
    cut_out: bool = False
    smooth: int = 0
    keep_gloves: bool = False

    def prepare(self, item: Item, output: Path) -> Outcome:
        """See :func:`prepare_item`."""
        return prepare_item(item, self, output)


@dataclass(frozen=True)
class Outcome:
    """What became of an item: ``entry``, its line of metadata.jsonl; or why it was left out or skipped.

    ``counts`` holds what the summary adds up over all items.
    """

    item: Item
    entry: dict[str, Any] | None = None
    left_out: str | None = None
    problem: str | None = None
    problem_path: Path | None = None
    counts: dict[str, int] = field(default_factory=dict)


def prepare_item(item: Item, recipe: Recipe, output: Path) -> Outcome:
    """Read, merge, cut, resize and write one item below ``output``; each file appears whole or not at all.

    Raises:
        OSError: if a file cannot be written.
    """
    assert item.label is not None, "photos without label maps are PhotoRecipe's"
    reading = item.picture
    try:
        photo = read_photo(item.picture)
        reading = item.label
        counts: dict[str, int] = {}
        ids, raw = _read_ids(item.label, recipe, (photo.height, photo.width), counts)
        if not recipe.keep_gloves and _shows_gloves(raw, recipe.raw_names):
            return Outcome(item, left_out="gloves")
        instance = None
        if item.instance is not None:
            reading = item.instance
            instance = read_instance_map(item.instance)
            _check_size(instance, photo, "instance map")
            if instance.max() > 65535:
                raise ValueError(
                    f"the instance map holds the id {instance.max()}; at most 65535 fit into 16 bit"
                )
        reading = item.label
        entry: dict[str, Any] = {}
        ids = smooth_edges(ids, recipe.smooth)
        if item.frame != "none":
            box = find_frame(item.frame, without_bags(ids, recipe.labels), recipe.aspect)
            photo, ids = crop(photo, ids, box)
            entry["crop"] = box.as_entry()
        if recipe.cut_out:
            backdrop = backdrop_of(item.name) if item.backdrop is None else item.backdrop
            photo = cut_out(photo, ids, backdrop)
    except ValueError as error:
        return Outcome(item, problem=" ".join(str(error).split()), problem_path=reading)
    if recipe.resolution is not None:
        size = (recipe.resolution[1], recipe.resolution[0])
        photo = photo.resize(size, Image.Resampling.LANCZOS)
        ids = resize_map(ids, size)
        instance = None if instance is None else resize_map(instance, size)
    files = write_item(item, photo, ids, recipe.labels, output, instance)
    return Outcome(item, entry={**files, **entry}, counts=counts)


def _read_ids(
    label: Path, recipe: Recipe, size: tuple[int, int], counts: dict[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Class ids and, for gloves, the raw ids they came from."""
    if recipe.source == "ccp":
        raw = read_tag_map(label, recipe.raw_names, size)
        return merge_tags(raw, recipe.raw_names, recipe.labels), raw
    if recipe.label_set is not None:
        raw = read_label_map(label, parser_label_set(recipe.label_set), size=size)
        rules = rules_for(recipe.labels, PARSER_RULES[recipe.label_set])
        return fill_nearest(merge(raw, recipe.raw_names, rules, recipe.labels), recipe.labels), raw
    if recipe.source == "cityscapes":
        raw = read_label_map(label, _BYTES, size=size)
        plate = raw == CITYSCAPES_PLATE_BYTE
        if plate.any():
            counts[f"pixels of value {CITYSCAPES_PLATE_BYTE} became {CITYSCAPES_PLATE}, license plate"] = int(
                plate.sum()
            )
        return read_label_map(np.where(plate, CITYSCAPES_PLATE, raw), recipe.labels), raw
    raw = read_label_map(label, recipe.labels, size=size)
    return raw, raw


def _shows_gloves(raw: np.ndarray, names: tuple[str, ...]) -> bool:
    gloves = [i for i, name in enumerate(names) if name in ("glove", "gloves")]
    person = (raw != BACKGROUND).sum()
    return bool(gloves) and bool(np.isin(raw, gloves).sum() > _GLOVE_SHARE * person)


def _check_size(ids: np.ndarray, photo: Image.Image, what: str) -> None:
    if ids.shape != (photo.height, photo.width):
        raise ValueError(
            f"the {what} is {ids.shape[0]}x{ids.shape[1]} (height x width) and the picture "
            f"{photo.height}x{photo.width}"
        )


def resize_map(ids: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Nearest, by pixel centres as Lanczos has them: picture and map stay in step."""
    picture = Image.fromarray(ids.astype(np.int32))
    return np.asarray(picture.resize(size, Image.Resampling.NEAREST)).astype(np.int64)


def write_item(
    item: Item,
    photo: Image.Image,
    ids: np.ndarray,
    labels: LabelSet,
    output: Path,
    instance: np.ndarray | None = None,
) -> dict[str, Any]:
    """Write the files below ``output``, the label map last; return their names for metadata.jsonl."""
    folder = output / item.split
    jpeg = item.picture.suffix.lower() in (".jpg", ".jpeg")
    files: dict[str, Any] = {"file_name": f"images/{item.name}.{'jpg' if jpeg else 'png'}"}
    files["label_file_name"] = f"labels/{item.name}.png"
    if jpeg:
        _save(photo, folder / files["file_name"], format="JPEG", quality=95, subsampling=0)
    else:
        _save(photo, folder / files["file_name"], format="PNG")
    if instance is not None:
        files["instance_file_name"] = f"instances/{item.name}.png"
        _save(Image.fromarray(instance.astype(np.uint16)), folder / files["instance_file_name"], format="PNG")
    _save(label_picture(ids, labels), folder / files["label_file_name"], format="PNG")
    return files


def _save(picture: Image.Image, path: Path, **options: Any) -> None:
    with atomic_write(path) as partial:
        picture.save(partial, **options)
