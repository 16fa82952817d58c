"""Matching the files of a raw data set, without opening them: pairs, and files without a partner."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from groupdnet_hub.io.names import normal
from groupdnet_hub.prepare.labels import CCP_SAME_OUTFIT
from groupdnet_hub.prepare.photo_lists import CCP_BACKDROPS, CCP_NOT_USED, CCP_VALIDATION

_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")
# Pictures that are told instead of passed over.
_OTHER_PICTURES = (".heic", ".heif", ".avif", ".jxl", ".jp2", ".jfif", ".ppm", ".pgm", ".tga", ".psd", ".dng")


@dataclass(frozen=True, slots=True)
class Item:
    """One picture to prepare.

    Attributes:
        split: split that it goes into.
        name: name of the written files, without suffix.
        picture, label, instance: raw files; ``label`` is None where a parser makes the label map.
        frame: part of the picture that is written, one of ``person_frames.FRAMES``.
        backdrop: number of a backdrop of ``person_maps.cut_out``; None for the one that depends on the name.
        tags: names of what the picture shows, where they are used.
    """

    split: str
    name: str
    picture: Path
    label: Path | None = None
    instance: Path | None = None
    frame: str = "none"
    backdrop: int | None = None
    tags: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Problem:
    """A file that was skipped, and the reason."""

    path: Path
    reason: str


@dataclass
class Found:
    """The content of a raw data set: pairs, problems such as files without a partner, and remarks for the summary."""

    items: list[Item] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def limited(self, count: int | None) -> Found:
        """Return the first ``count`` pairs of each split; all for None."""
        seen: dict[str, int] = {}
        items = []
        for item in self.items:
            seen[item.split] = seen.get(item.split, 0) + 1
            if count is None or seen[item.split] <= count:
                items.append(item)
        return Found(items, self.problems, self.remarks)

    def framed(self, frames: Sequence[str]) -> Found:
        """Return every item in each of these frames; with several, ``NAME_FRAME`` is written for each."""
        items = [
            replace(item, frame=frame, name=item.name if len(frames) == 1 else f"{item.name}_{frame}")
            for item in self.items
            for frame in frames
        ]
        return Found(items, self.problems, self.remarks)


def split_of(group: str, split: str, validation_fraction: float) -> str:
    """Return ``split``, or ``validation`` for about ``validation_fraction`` of all groups.

    It depends on the group's name alone, so that more pictures or a second run have no effect on it.
    """
    digest = hashlib.sha256(group.encode()).digest()
    u = int.from_bytes(digest[:6], "big") / 2**48
    return "validation" if u < validation_fraction else split


def need_folder(folder: Path, what: str) -> Path:
    """Return a folder; a missing one raises a ValueError."""
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder} ({what})")
    return folder


def no_picture(folder: Path) -> str:
    """Return the message about a folder without pictures."""
    return f"{folder} holds no picture: names end in {', '.join(_PICTURES)}"


def picture_files(
    folder: Path, without: Iterable[Path], problems: list[Problem], ending: str = ""
) -> dict[str, Path]:
    """Return the pictures below ``folder`` by their path in it, without ``ending`` or else their suffix.

    Args:
        folder: folder to search.
        without: folders to leave out if they are inside ``folder``, such as label maps among the pictures.
        problems: list to which pictures of equal names and of formats that are not read are added.
        ending: end of the file names to find, including the suffix; any picture by default.
    """
    away = {path.resolve() for path in without if not folder.resolve().is_relative_to(path.resolve())}
    found: dict[str, Path] = {}
    for path in _files_below(folder, away):
        suffix = path.suffix.lower()
        if suffix not in _PICTURES + _OTHER_PICTURES or path.name.startswith("."):
            continue
        if suffix in _OTHER_PICTURES:
            problems.append(Problem(path, f"is a {suffix} file, which is not read: save it as PNG or JPEG"))
            continue
        inside = path.relative_to(folder).as_posix()
        if ending and not inside.endswith(ending):
            continue
        key = normal(
            inside[: -len(ending or path.suffix)]
        )  # a picture and its map may have come different ways
        if key in found:
            problems.append(Problem(path, f"has the same name as {found[key].name}, up to the ending"))
        else:
            found[key] = path
    return found


def _files_below(folder: Path, away: set[Path]) -> Iterator[Path]:
    """Yield the files below a folder in the order of their paths, without those below the folders ``away``."""
    try:
        with os.scandir(folder) as there:
            entries = sorted(
                (entry.name, entry.is_dir(follow_symlinks=False), entry.is_file()) for entry in there
            )
    except OSError:
        return
    for name, is_folder, is_file in entries:
        path = folder / name
        if is_folder and path.resolve() not in away:
            yield from _files_below(path, away)
        elif is_file:
            yield path


def _pairs(
    pictures: dict[str, Path],
    maps: dict[str, Path],
    problems: list[Problem],
    also_called: Callable[[str], tuple[str, ...]] = lambda key: (),
) -> list[tuple[str, Path, Path]]:
    """Return (key, picture, label map) of each pair; files without a partner are added to ``problems``."""
    pairs, used = [], set()
    by_folded_name = {name.casefold(): path for name, path in maps.items()}
    for key, picture in pictures.items():
        name = next((name for name in (key, *also_called(key)) if name in maps), None)
        if name is None:
            near = by_folded_name.get(key.casefold())
            named = f"; {near.name} differs in upper and lower case" if near else ""
            problems.append(Problem(picture, f"has no label map{named}"))
        elif name in used:
            problems.append(Problem(picture, f"shares the label map {maps[name].name} with another picture"))
        else:
            used.add(name)
            pairs.append((key, picture, maps[name]))
    problems.extend(Problem(path, "has no picture") for name, path in maps.items() if name not in used)
    return pairs


def add_item(found: Found, item: Item, seen: dict[tuple[str, str], Path]) -> None:
    """Add an item unless its files would overwrite another one's."""
    other = seen.setdefault((item.split, item.name), item.picture)
    if other is item.picture:
        found.items.append(item)
    else:
        found.problems.append(Problem(item.picture, f"would be written as {item.name}, as {other} is"))


def find_folder_pair(
    pictures: Path,
    maps: Path,
    output: Path,
    *,
    instances: Path | None = None,
    split: str,
    validation_fraction: float,
    same_garment: bool = False,
) -> Found:
    """Match pictures and label maps by their path in the folder, without the suffix.

    The maps may also be in one flat folder, as parsers write them: ``WOMEN/Dresses/id_1/02_1_front.jpg`` has
    ``WOMEN-Dresses-id_1-02_1_front.png``, or the same with ``_``.

    Args:
        pictures: folder of the pictures.
        maps: folder of the label maps.
        output: folder to leave out.
        instances: folder of the instance maps, if there are any.
        split: split that the pictures go into.
        validation_fraction: fraction of them that goes into validation instead.
        same_garment: whether pictures of one folder go into the same split (DeepFashion: one garment per folder).

    Raises:
        ValueError: for a missing folder, and for pictures and label maps in the same one.
    """
    found = Found()
    seen: dict[tuple[str, str], Path] = {}
    need_folder(pictures, "the pictures")
    need_folder(maps, "the label maps")
    if maps.resolve() == pictures.resolve():
        raise ValueError(f"the pictures and the label maps are the same folder, {maps}: keep them apart")
    apart = [folder for folder in (pictures, maps, instances, output) if folder is not None]
    photos = picture_files(pictures, apart, found.problems)
    label_files = picture_files(maps, apart, found.problems)
    for folder, files in ((pictures, photos), (maps, label_files)):
        if not files:
            raise ValueError(no_picture(folder))
    edges = (
        picture_files(need_folder(instances, "the instance maps"), apart, found.problems) if instances else {}
    )

    def flat(key: str) -> tuple[str, ...]:
        return (key.replace("/", "-"), key.replace("/", "_")) if "/" in key else ()

    for key, picture, label in _pairs(photos, label_files, found.problems, flat):
        if instances and key not in edges:
            found.problems.append(Problem(picture, "has no instance map"))
            continue
        group = key.rpartition("/")[0] if same_garment and "/" in key else key
        where = split_of(group, split, validation_fraction)
        add_item(found, Item(where, key.replace("/", "-"), picture, label, edges.get(key)), seen)
    return found


def find_ccp(folder: Path, *, split: str, validation_fraction: float, chosen: bool = False) -> Found:
    """Find the photos of Clothing Co-Parsing with a pixel-level annotation; those with tags only are just counted.

    Args:
        folder: folder of the data set.
        split: split that the photos go into.
        validation_fraction: fraction of them that goes into validation instead.
        chosen: whether to take only the photos of fashion8, in its split (:mod:`groupdnet_hub.prepare.photo_lists`).

    Raises:
        ValueError: for a folder with another layout.
    """
    need_folder(folder, "Clothing Co-Parsing; --download fetches it")
    annotations = folder / "annotations" / "pixel-level"
    if not annotations.is_dir() or not (folder / "photos").is_dir():
        raise ValueError(
            f"{folder} is not Clothing Co-Parsing: it needs photos/, annotations/pixel-level/ and label_list.mat "
            "(--download fetches it)"
        )
    found = Found()
    photos = picture_files(folder / "photos", [], found.problems)
    not_used = 0
    for path in sorted(annotations.glob("*.mat")):
        photo = photos.pop(path.stem, None)
        if photo is None:
            found.problems.append(Problem(path, "has no photo"))
            continue
        if chosen and path.stem in CCP_NOT_USED:
            not_used += 1
            continue
        item = Item(split, f"ccp_{path.stem}", photo, path)
        if chosen:
            where = "validation" if path.stem in CCP_VALIDATION else split
            backdrop = CCP_BACKDROPS[int(path.stem) % len(CCP_BACKDROPS)]
            item = replace(item, split=where, backdrop=backdrop)
        else:
            where = split_of(CCP_SAME_OUTFIT.get(path.stem, path.stem), split, validation_fraction)
            item = replace(item, split=where)
        found.items.append(item)
    if not_used:
        found.remarks.append(f"{not_used} annotated photos are not in fashion8 and were not used")
    if photos:
        found.remarks.append(f"{len(photos)} photos have no pixel-level annotation and were not used")
    return found


def find_cityscapes(folder: Path, only: str | None) -> Found:
    """Find the pairs of Cityscapes: ``leftImg8bit/SPLIT/CITY/`` with ``gtFine/SPLIT/CITY/``.

    Its ``val`` is our ``validation``. The test split is not used: its public maps are dummies.

    Args:
        folder: folder of the data set.
        only: the one split to take; None for both.

    Raises:
        ValueError: for a folder with another layout.
    """
    need_folder(folder, "Cityscapes")
    found = Found()
    parts = {"train": "train", "val": "validation"}
    for split, photos_at, maps_at in _split_folders(folder, ("leftImg8bit", "gtFine"), parts, only):
        photos = picture_files(photos_at, [], found.problems, "_leftImg8bit.png")
        maps = picture_files(maps_at, [], found.problems, "_gtFine_labelIds.png")
        instances = picture_files(maps_at, [], found.problems, "_gtFine_instanceIds.png")
        for key, photo, label in _pairs(photos, maps, found.problems):
            if key in instances:
                found.items.append(Item(split, key.rpartition("/")[2], photo, label, instances[key]))
            else:
                found.problems.append(Problem(photo, "has no instance map (*_gtFine_instanceIds.png)"))
    return _some(found, folder, "leftImg8bit/train|val/CITY/ and gtFine/train|val/CITY/")


def find_ade20k(folder: Path, only: str | None) -> Found:
    """Find the pairs of ADE20K: ``images/training|validation`` with ``annotations/training|validation``.

    Args:
        folder: folder of the data set.
        only: the one split to take; None for both.

    Raises:
        ValueError: for a folder with another layout.
    """
    need_folder(folder, "ADE20K")
    found = Found()
    parts = {"training": "train", "validation": "validation"}
    for split, photos_at, maps_at in _split_folders(folder, ("images", "annotations"), parts, only):
        photos, maps = (picture_files(place, [], found.problems) for place in (photos_at, maps_at))
        for key, photo, label in _pairs(photos, maps, found.problems):
            found.items.append(Item(split, key.replace("/", "-"), photo, label))
    return _some(found, folder, "images/training|validation and annotations/training|validation")


def _split_folders(
    folder: Path, names: tuple[str, str], parts: Mapping[str, str], only: str | None
) -> Iterator[tuple[str, Path, Path]]:
    """Yield (our split, folder of its pictures, folder of its label maps) of each part that is there.

    Args:
        folder: folder of the data set.
        names: folders in it of the pictures and of the label maps, each with a folder for each part.
        parts: our splits by the names of the data set's parts.
        only: the one split to take; None for all.

    Raises:
        ValueError: for a part that has one of the two folders alone.
    """
    for part, split in parts.items():
        photos_at, maps_at = (folder / name / part for name in names)
        if only not in (None, split) or not (photos_at.is_dir() or maps_at.is_dir()):
            continue
        need_folder(photos_at, "the pictures")
        need_folder(maps_at, "the label maps")
        yield split, photos_at, maps_at


def _some(found: Found, folder: Path, layout: str) -> Found:
    if not found.items and not found.problems:
        raise ValueError(f"{folder} holds none of this data set's files: it needs {layout}")
    return found
