"""Image-level tags of a photo as limits of its label map: which classes it may show, and which it must show.

Image-level tags name garments, not places. Clothing Co-Parsing (W. Yang, P. Luo, L. Lin, CVPR 2014) has only these for
1,094 of its photos.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from groupdnet_hub import LabelSet
from groupdnet_hub.data.people import BACKGROUND, PEOPLE, PEOPLE16
from groupdnet_hub.io.names import normal
from groupdnet_hub.io.strict_json import read_json_lines, shown
from groupdnet_hub.prepare.ccp import read_tags
from groupdnet_hub.prepare.labels import CCP, NEAREST, rules_for
from groupdnet_hub.prepare.matlab import read_numbers

Tags = tuple[str, ...]

# Photos whose tags name one of these are left out, as the paper does for "rare attributes like a glove".
RARE = frozenset({"glove", "gloves"})
# Classes that need no tag: nearly every person shows them.
_ALWAYS = ("background", "hair", "face", "skin")
# Tags without any of these are incomplete: they must not prevent the parser from labelling the chest.
_UPPER = frozenset({"top", "outerwear", "dress", "top-clothes"})
# Classes that image-level annotators also mean by a tag, besides its own.
_ALSO = {"jumper": ("dress",), "vest": ("top",)}
# Folder of image-level tags in Clothing Co-Parsing, and its list of all tags.
_IMAGE_LEVEL, _TAG_LIST = Path("annotations") / "image-level", "label_list.mat"
# File of tags in any other folder of photos, a line for each.
LISTING = "metadata.jsonl"
# Least fraction of the person's pixels at which a tagged class counts as found: half of the fraction that 99 % of the
# annotated photos with that class exceed. A belt or a sock that is mostly hidden passes; a coat of which the parser saw
# only a sleeve does not.
_LEAST = {
    "hat": 0.007,
    "glasses": 0.002,
    "top": 0.0035,
    "outerwear": 0.05,
    "dress": 0.07,
    "skirt": 0.025,
    "trousers": 0.027,
    "legwear": 0.0015,
    "shoes": 0.004,
    "bag": 0.0035,
    "scarf": 0.011,
    "belt": 0.001,
}


@dataclass(frozen=True)
class Needed:
    """A garment that the tags name.

    Attributes:
        name: its class of :data:`groupdnet_hub.data.people.PEOPLE16`.
        ids: ids of the classes as which a map may show it.
        fraction: least fraction of the person's pixels of these classes at which the garment counts as found.
    """

    name: str
    ids: tuple[int, ...]
    fraction: float


@dataclass(frozen=True)
class Limits:
    """The limits that tags set to the label map of one photo.

    Attributes:
        allowed: bool [C], whether the map may show a class.
        needed: garments that the map must show.
    """

    allowed: np.ndarray
    needed: tuple[Needed, ...]

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Return probabilities [C, H, W] with 0 for classes that are not allowed.

        They are not normalised to a sum of 1: where the parser is sure of something else, it is not sure of the rest.
        """
        return probabilities * self.allowed[:, None, None].astype(probabilities.dtype)

    def missing(self, ids: np.ndarray) -> list[str]:
        """Return the needed garments of which a label map [H, W] of one person shows too little."""
        person = max(1, int((ids != BACKGROUND).sum()))
        return [one.name for one in self.needed if np.isin(ids, one.ids).sum() < one.fraction * person]


def limits_of(tags: Iterable[str], labels: LabelSet) -> Limits:
    """Return the limits that the tags of a photo set to label maps of ``labels``.

    A tag allows its class by :data:`groupdnet_hub.prepare.labels.CCP`; hair, face, skin and background are always
    allowed, and jewellery and accessories allow nothing more. Ambiguous tags allow more classes, of which one must be
    found:

    - ``dress`` beside another upper garment, where :func:`.ccp.merge_tags` may find a skirt: dress and skirt;
    - ``suit`` without other trousers or a skirt, whose lower half is trousers: outerwear, and also trousers;
    - ``jumper`` and ``vest``, by which Clothing Co-Parsing's pixel-level annotations mean sweaters and waistcoats, but
      its image-level ones as often dresses and sleeveless tops: both classes.

    Args:
        tags: tags of one photo, all of them known (:func:`check_tags`).
        labels: :data:`groupdnet_hub.data.people.PEOPLE` or :data:`groupdnet_hub.data.people.PEOPLE16`.
    """
    merged = _merged(labels)
    tags = set(tags) - RARE
    classes = {tag: _class_of(tag, labels) for tag in sorted(tags)}
    others = {class_ for tag, class_ in classes.items() if tag != "dress"}
    allowed = np.isin(labels.names, _ALWAYS)
    needed: dict[tuple[int, ...], Needed] = {}
    for tag, class_ in classes.items():
        if class_ not in merged:  # jewellery; or a class of the paper's eight, which is several garments
            allowed[labels.ids_of([class_] if class_ else [])] = True
            continue
        skirt = tag == "dress" and others & {"top", "outerwear", "dress"}
        names = (class_, "skirt") if skirt else (class_, *_ALSO.get(tag, ()))
        ids = tuple(dict.fromkeys(labels.id_of(merged[name]) for name in names if merged[name] != NEAREST))
        allowed[list(ids)] = True
        if ids and not set(_ALWAYS) & {labels.names[i] for i in ids}:
            needed.setdefault(ids, Needed(class_, ids, min(_LEAST[name] for name in names)))
    if "suit" in tags and not others & {"skirt", "trousers"}:
        allowed[labels.id_of(merged["trousers"])] = True
    return Limits(allowed, tuple(needed.values()))


def names_upper_garment(tags: Iterable[str], labels: LabelSet) -> bool:
    """Return whether some of the known tags of a photo is an upper garment or a dress."""
    return bool({_class_of(tag, labels) for tag in set(tags) - RARE} & _UPPER)


def _merged(labels: LabelSet) -> dict[str, str]:
    """Return the class of ``labels``, or :data:`~groupdnet_hub.prepare.labels.NEAREST`, for each of the 16 classes."""
    return rules_for(labels, {name: name for name in PEOPLE16.names})


def _class_of(tag: str, labels: LabelSet) -> str | None:
    """Return the class of :data:`PEOPLE16`, or else of ``labels``, of a tag; None for jewellery and accessories.

    Raises:
        ValueError: for a tag that is neither one of Clothing Co-Parsing nor a class.
    """
    if tag in CCP:
        return None if CCP[tag] == NEAREST else CCP[tag]
    if tag in PEOPLE16.names or tag in labels.names:
        return tag
    raise ValueError(f"the tag {tag!r} is unknown")


def check_tags(by_photo: Mapping[str, Tags], labels: LabelSet) -> None:
    """Refuse tags that :func:`limits_of` cannot use.

    Raises:
        ValueError: for label sets other than those of people, and for unknown tags; the message names their photos.
    """
    if labels not in (PEOPLE, PEOPLE16):
        raise ValueError("--tags knows the classes people8 and people16 only, and --classes are others")
    strange = []
    for name, tags in by_photo.items():
        for tag in tags:
            try:
                if tag not in RARE:
                    _class_of(tag, labels)
            except ValueError:
                strange.append(f"{tag!r} of photo {name}")
    if strange:
        more = f" and {len(strange) - 5} more" if len(strange) > 5 else ""
        raise ValueError(
            f"unknown tags: {', '.join(strange[:5])}{more}. Tags are those of Clothing Co-Parsing "
            f"({', '.join(tag for tag in CCP if tag != 'null')}) and the classes {', '.join(labels.names)}"
        )


def find_tags(source: Path | None, photos: Path) -> dict[str, Tags]:
    """Return the tags of each photo by its name without the suffix.

    Args:
        source: folder of ``.mat`` files like Clothing Co-Parsing's ``annotations/image-level``, or a ``metadata.jsonl``
            whose lines have ``file_name`` and ``tags``. None for the one in the folder of the photos, in this order.
        photos: folder of the photos, or of that data set.

    Raises:
        ValueError: if there are none, or they cannot be read.
    """
    if source is None:
        places = (photos / _IMAGE_LEVEL, photos / LISTING)
        source = next((place for place in places if place.exists()), None)
        if source is None:
            raise ValueError(
                f"--tags: there is neither {_IMAGE_LEVEL.as_posix()} nor {LISTING} in {photos}; name the folder of "
                "image-level .mat files, or the .jsonl file"
            )
    if not source.is_dir():
        if not source.is_file():
            raise ValueError(f"--tags: there is no file or folder {source}")
        return read_listed_tags(source)
    files = sorted(source.glob("*.mat"))
    files = [file for file in files if file.name != _TAG_LIST]
    if not files:
        raise ValueError(f"--tags: there are no .mat files in {source}")
    lists = [folder / _TAG_LIST for folder in (source, source.parent, source.parent.parent, photos)]
    listed = next((path for path in lists if path.is_file()), None)
    if listed is None:
        raise ValueError(f"--tags: the .mat files of {source} need {_TAG_LIST}, the names of their ids")
    names = read_tags(listed)
    return {file.stem: read_image_tags(file, names) for file in files}


def read_image_tags(path: Path, names: Tags) -> Tags:
    """Return the tags of an image-level annotation: a ``.mat`` file with ``tags``, ids from 0 into ``label_list.mat``.

    That they count from 0 is evident from the files: 0, ``null``, is in nearly all of them, and so then are ``hair``
    and ``skin``.

    Args:
        path: path of the file.
        names: tags by id.

    Raises:
        ValueError: for a damaged file, or an id that is not a tag.
    """
    ids = read_numbers(path, "tags")
    strange = [value for value in ids.ravel().tolist() if value not in range(len(names))]
    if strange:
        raise ValueError(
            f"the MATLAB file {path.name!r} holds the tag id {strange[0]}; the ids are 0 to {len(names) - 1}"
        )
    return tuple(sorted({names[int(value)] for value in ids.ravel()}))


def read_listed_tags(path: Path) -> dict[str, Tags]:
    """Return the ``tags`` of a ``metadata.jsonl`` by the photo's name without the suffix; a line may have none.

    Raises:
        ValueError: if it cannot be read, its tags are not lists of strings, or two lines tag one name differently.
    """
    found: dict[str, Tags] = {}
    for place, entry in read_json_lines(path):
        name = entry.get("file_name") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            raise ValueError(f"{place} is not a JSON object with file_name and tags")
        stem, tags = normal(PurePosixPath(name.replace("\\", "/")).stem), entry.get("tags", ())
        if not isinstance(tags, list | tuple) or not all(isinstance(tag, str) for tag in tags):
            raise ValueError(f"{place}: the tags of {stem} are {shown(tags)}, not a list of texts")
        if found.setdefault(stem, tuple(tags)) != tuple(tags):
            raise ValueError(f"{place} gives {stem} other tags than an earlier line")
    return found
