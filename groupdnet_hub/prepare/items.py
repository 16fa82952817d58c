"""Preparing one raw picture with its label map: the files that training reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from groupdnet_hub import LabelSet
from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.data.label_maps import read_instance_map, read_label_map, read_partial_label_map
from groupdnet_hub.data.labels import label_picture, resize_map
from groupdnet_hub.data.people import BACKGROUND
from groupdnet_hub.data.person_frames import crop, find_frame
from groupdnet_hub.data.person_maps import backdrop_of, cut_out, without_bags
from groupdnet_hub.data.turned_pairs import check_pair
from groupdnet_hub.data.unknown import UNKNOWN
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

# A glove with a smaller fraction of the person's pixels is noise of a parser.
_GLOVE_FRACTION = 0.001
_TURNED = (
    "pictures are turned by an EXIF orientation that their maps lack, or the other way round, and sizes do not tell "
    "whether they fit: look at some"
)
_UNKNOWN_PIXELS = "pixels of the label maps are unknown; classes.json lists what stands for them under ignore"
_BYTES = LabelSet.from_names([f"value {i}" for i in range(256)])


@dataclass(frozen=True)
class Recipe:
    """How the pictures of a data set are prepared.

    Attributes:
        source: ``deepfashion``, ``cityscapes``, ``ade20k``, ``ccp`` or ``folder``.
        labels: label set of the written maps.
        raw_names: names of the raw maps' ids, where they are merged.
        label_set: ``lip``, ``cihp`` or ``atr`` (DeepFashion).
        ignored: ids and colours that stand for unknown pixels in the raw maps (``folder``).
        resolution: (height, width) of the written files; None for the native size.
        aspect: height over width of the items' frames.
        cut_out: whether to put the person on a plain light backdrop.
        smooth: side in pixels of the square over which label edges are smoothed (:func:`.people.smooth_edges`).
        keep_gloves: whether to use pictures that show gloves.
    """

    source: str
    labels: LabelSet
    raw_names: tuple[str, ...] = ()
    label_set: str | None = None
    ignored: tuple[Ignored, ...] = ()
    resolution: tuple[int, int] | None = None
    aspect: float = 1.0
    cut_out: bool = False
    smooth: int = 0
    keep_gloves: bool = False

    @property
    def batch_size(self) -> int:
        """Number of pictures that are prepared together."""
        return 1

    @property
    def device(self) -> str:
        """Device that works for the items."""
        return "cpu"

    @property
    def columns(self) -> Mapping[str, str]:
        """Values of an item's entry besides its files and crop."""
        return {}

    def prepare_batch(self, items: Sequence[Item], output: Path) -> list[Outcome]:
        """Prepare items; see :func:`prepare_item`."""
        return [prepare_item(item, self, output) for item in items]


@dataclass(frozen=True)
class Outcome:
    """The outcome of an item.

    Attributes:
        item: the item.
        entry: its line of metadata.jsonl, if it was prepared.
        left_out: reason to leave it out.
        problem, problem_path: reason to skip it, and the file concerned.
        counts: counts that the summary adds up over all items.
    """

    item: Item
    entry: dict[str, Any] | None = None
    left_out: str | None = None
    problem: str | None = None
    problem_path: Path | None = None
    counts: dict[str, int] = field(default_factory=dict)


def prepare_item(item: Item, recipe: Recipe, output: Path) -> Outcome:
    """Read, merge, cut, resize and write one item below ``output``, each file atomically.

    Raises:
        OSError: if a file cannot be written.
    """
    reading: Path | None = item.picture
    try:
        photo = read_photo(item.picture)
        reading = item.label
        counts: dict[str, int] = {}
        if check_pair((item.picture, item.label, item.instance)) is not None:
            counts[_TURNED] = 1
        ids, raw = _read_ids(item, recipe, (photo.height, photo.width), counts)
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
        photo = photo.resize(recipe.resolution[::-1], Image.Resampling.LANCZOS)
        ids = resize_map(ids, recipe.resolution)
        instance = None if instance is None else resize_map(instance, recipe.resolution)
    files = write_item(item, photo, ids, recipe.labels, output, instance)
    return Outcome(item, entry={**files, **entry}, counts=counts)


def _read_ids(
    item: Item, recipe: Recipe, size: tuple[int, int], counts: dict[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the class ids, UNKNOWN where there is none, and the raw ids that they were merged from (for gloves)."""
    assert item.label is not None, "only a PhotoRecipe makes label maps"
    if recipe.source == "ccp":
        raw = read_tag_map(item.label, recipe.raw_names, size)
        return merge_tags(raw, recipe.raw_names, recipe.labels), raw
    if recipe.label_set is not None:
        raw = read_label_map(item.label, parser_label_set(recipe.label_set), size=size)
        rules = rules_for(recipe.labels, PARSER_RULES[recipe.label_set])
        return fill_nearest(merge(raw, recipe.raw_names, rules, recipe.labels), recipe.labels), raw
    if recipe.source == "cityscapes":
        raw = read_label_map(item.label, _BYTES, size=size)
        plate = raw == CITYSCAPES_PLATE_BYTE
        if plate.any():
            counts[f"pixels of value {CITYSCAPES_PLATE_BYTE} became {CITYSCAPES_PLATE}, license plate"] = int(
                plate.sum()
            )
        return read_label_map(np.where(plate, CITYSCAPES_PLATE, raw), recipe.labels), raw
    labels = replace(recipe.labels, ignore=recipe.ignored)
    raw, unknown = read_partial_label_map(item.label, labels, size=size)
    if unknown.any():
        counts[_UNKNOWN_PIXELS] = int(unknown.sum())
        raw = np.where(unknown & ~np.isin(raw, labels.ignored_ids), UNKNOWN, raw)
    return raw, raw


def _shows_gloves(raw: np.ndarray, names: tuple[str, ...]) -> bool:
    gloves = [i for i, name in enumerate(names) if name in ("glove", "gloves")]
    person = (raw != BACKGROUND).sum()
    return bool(gloves) and bool(np.isin(raw, gloves).sum() > _GLOVE_FRACTION * person)


def _check_size(ids: np.ndarray, photo: Image.Image, what: str) -> None:
    if ids.shape != (photo.height, photo.width):
        raise ValueError(
            f"the {what} is {ids.shape[0]}x{ids.shape[1]} (height x width) and the picture "
            f"{photo.height}x{photo.width}"
        )


def write_item(
    item: Item,
    photo: Image.Image,
    ids: np.ndarray,
    labels: LabelSet,
    output: Path,
    instance: np.ndarray | None = None,
) -> dict[str, Any]:
    """Write an item's files below ``output``, the label map last, and return their names for metadata.jsonl.

    Pixels of ``ids`` that are UNKNOWN are written as the id that ``labels`` has for them.
    """
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
    unknown = ids == UNKNOWN
    _save(
        label_picture(np.where(unknown, 0, ids), labels, unknown),
        folder / files["label_file_name"],
        format="PNG",
    )
    return files


def _save(picture: Image.Image, path: Path, **options: Any) -> None:
    with atomic_write(path) as partial:
        picture.save(partial, **options)
