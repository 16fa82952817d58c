"""What training reads, as small as it can travel: prepared pictures with their label maps, and ImageNet weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.torch import save_file

from groupdnet_hub import LabelSet, PairedImages
from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.data.label_maps import read_instance_map, read_partial_label_map
from groupdnet_hub.data.labels import colour_picture, label_picture, resize_map
from groupdnet_hub.data.listing import LISTING, data_folder_problem
from groupdnet_hub.data.paired import read_label_set
from groupdnet_hub.data.turned_pairs import check_pair
from groupdnet_hub.data.unknown import with_ignored
from groupdnet_hub.io.headers import header_of
from groupdnet_hub.io.images import read_photo
from groupdnet_hub.io.strict_json import json_line, read_json_lines
from groupdnet_hub.io.tensors import open_tensors

SPLITS = ("train", "validation")
# ``keep`` copies files; ``png`` keeps every value of a picture, ``jpeg`` does not.
PICTURES = ("keep", "jpeg", "png")


def pack_data(
    source: Path,
    target: Path,
    *,
    pictures: str = "keep",
    quality: int = 92,
    size: tuple[int, int] | None = None,
    ignored: Sequence[Ignored] = (),
) -> dict[str, int]:
    """Copy the splits of a paired data set; its label maps keep every value, and which pixels are unknown.

    Args:
        source: folder of the data set.
        target: folder that is made.
        pictures: one of ``PICTURES``.
        quality: of ``jpeg``, from 1 to 100; colours keep their full resolution.
        size: (height, width) to which pictures and maps are resized as training would, not with ``keep``.
        ignored: ids and colours that stand for unknown pixels, beside those that ``classes.json`` ignores; that of the
            copy lists them.

    Returns:
        The number of pictures of each split.

    Raises:
        ValueError: for a folder that is no such data set, files that cannot be read, and two files that would get one
            name; the message names them.
    """
    problem = data_folder_problem(source, "train")
    if problem is not None:
        raise ValueError(problem)
    labels = with_ignored(read_label_set(source), ignored)
    target.mkdir(parents=True)
    labels_file = next(p for p in (source / "classes.json", source / "train" / "classes.json") if p.is_file())
    if ignored:
        labels.to_file(target / "classes.json")
    else:
        shutil.copyfile(labels_file, target / "classes.json")
    counts = {}
    for split in SPLITS:
        if (source / split).is_dir():
            counts[split] = _pack_split(source, target / split, labels, split, pictures, quality, size)
    return counts


def _pack_split(
    source: Path,
    target: Path,
    labels: LabelSet,
    split: str,
    pictures: str,
    quality: int,
    size: tuple[int, int] | None,
) -> int:
    # Its names are checked there.
    pairs = PairedImages.from_folder(
        source, size or (1, 1), split=split, labels=labels, instances=False
    ).given
    entries = [entry for _, entry in read_json_lines(source / split / LISTING)]
    written: dict[str, Path] = {}

    def put(path: Path, suffix: str | None, write: Callable[[Path], None]) -> str:
        """Write one file, unless it was written before; with a new suffix, or None to copy it."""
        relative = path.relative_to(source / split)
        name = (relative if suffix is None else relative.with_suffix(suffix)).as_posix()
        if written.setdefault(name, path) != path:
            raise ValueError(f"{path} and {written[name]} would both become {name}: rename one of them")
        if not (target / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (shutil.copyfile(path, target / name) if suffix is None else write(target / name))
        return name

    for entry, (picture, label, instance) in zip(entries, pairs, strict=True):
        _check_fit(picture, label, instance)
        suffix = {"keep": None, "jpeg": ".jpg", "png": ".png"}[pictures]
        entry["file_name"] = put(picture, suffix, partial(_write_photo, picture, quality=quality, size=size))
        suffix = None if size is None and _is_png(label) else ".png"
        entry["label_file_name"] = put(label, suffix, partial(_write_label, label, labels=labels, size=size))
        if instance is not None:
            suffix = None if size is None and _is_png(instance) else ".png"
            entry["instance_file_name"] = put(instance, suffix, partial(_write_instance, instance, size=size))
    (target / LISTING).write_text("".join(map(json_line, entries)), "utf-8")
    return len(entries)


def pack_weights(source: Path, target: Path) -> None:
    """Write the convolutions of an ImageNet net in half precision, which training reads as they are.

    Raises:
        ValueError: for a file without ``features.N.weight``, and for weights that 16-bit floats do not hold.
    """
    with open_tensors(source, source.name) as file:
        found = {key: file.read(key) for key in file.shapes if key.startswith("features.")}
    if not found:
        raise ValueError(f"{source.name} holds no 'features.N.weight': are these the weights of a VGG net?")
    halves = {key: value.half() if value.is_floating_point() else value for key, value in found.items()}
    for key, value in halves.items():
        if not bool(value.isfinite().all()):
            raise ValueError(f"{key} in {source.name} holds values that 16-bit floats do not hold")
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in halves.items()}, target)


def _check_fit(picture: Path, label: Path, instance: Path | None) -> None:
    """Refuse what training would refuse: resized, a pair that does not fit would go unnoticed."""
    try:
        check_pair((picture, label, instance))
    except ValueError as error:
        raise ValueError(f"{picture.name}: {error}") from None
    photo, ids = header_of(picture), header_of(label)
    if photo is not None and ids is not None and photo.upright != ids.upright:
        sizes = ["x".join(map(str, header.upright)) for header in (photo, ids)]
        raise ValueError(f"{picture.name} is {sizes[0]} (height x width) and its label map {sizes[1]}")


def _is_png(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(8) == b"\x89PNG\r\n\x1a\n"


def _write_photo(path: Path, target: Path, quality: int, size: tuple[int, int] | None) -> None:
    photo = read_photo(path)
    if size is not None and (photo.height, photo.width) != size:
        photo = photo.resize((size[1], size[0]), Image.Resampling.LANCZOS)  # as PairedImages does
    if target.suffix == ".jpg":
        photo.save(target, "JPEG", quality=quality, subsampling=0, optimize=True)
    else:
        photo.save(target, "PNG", optimize=True)


def _write_label(path: Path, target: Path, labels: LabelSet, size: tuple[int, int] | None) -> None:
    ids, unknown = read_partial_label_map(path, labels)
    ids, unknown = _resized(ids, size), _resized(unknown, size).astype(bool)
    # Of an ignored class a pixel is unknown by its id.
    unknown &= ~np.isin(ids, labels.ignored_ids)
    draw = colour_picture if unknown.any() and labels.unknown_id is None else label_picture
    draw(ids, labels, unknown).save(target, "PNG", optimize=True)


def _write_instance(path: Path, target: Path, size: tuple[int, int] | None) -> None:
    ids = _resized(read_instance_map(path), size)
    if ids.max() >= 2**16:
        raise ValueError(f"{path} holds the instance id {ids.max()}; 16 bit hold up to {2**16 - 1}")
    Image.fromarray(ids.astype(np.uint16)).save(target, "PNG", optimize=True)


def _resized(ids: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    return ids if size is None else resize_map(ids, size)
