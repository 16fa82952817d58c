"""Label maps of photos by a segmentation model of the Hub, for photos that come without one."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from groupdnet_hub import LabelSet
from groupdnet_hub.config.limits import UNLIMITED
from groupdnet_hub.config.names import listed
from groupdnet_hub.data.labels import describe_difference
from groupdnet_hub.data.people import PEOPLE16_IN_PEOPLE8, merged_ids, shows_people
from groupdnet_hub.data.person_frames import Box, cut, plain_colour
from groupdnet_hub.data.person_maps import keep_main_person
from groupdnet_hub.io.strict_json import shown

from ..budget import page_limits
from .frames import colour_beyond, middle_frame, person_frame, scaled
from .person_check import NoPersonError, check_person

if TYPE_CHECKING:
    from groupdnet_hub.metrics import Segmenter

# Made by train/train_parser.py; see its card.
BUNDLED = Path(__file__).resolve().parents[3] / "parser"

# What parsers of people call things (LIP, CIHP and ATR), as the classes that models of people have: the paper's eight,
# or finer ones. Of several the first that the model has is meant.
WORDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("hat", "hair"), ("hair",)),
    "face": ("face",),
    **dict.fromkeys(("sunglasses", "glasses"), ("glasses", "face")),
    **dict.fromkeys(
        ("skin", "glove", "torso skin", "left arm", "right arm", "left leg", "right leg"), ("skin",)
    ),
    "upper clothes": ("top", "top-clothes"),
    "coat": ("outerwear", "top-clothes"),
    "jumpsuits": ("dress", "top-clothes"),
    **dict.fromkeys(("dress", "scarf", "belt"), ("top-clothes",)),
    "pants": ("trousers", "bottom-clothes"),
    "skirt": ("bottom-clothes",),
    "socks": ("legwear",),
    **dict.fromkeys(("left shoe", "right shoe", "shoe"), ("shoes",)),
    "bag": ("background",),
}

# Pictures are parsed at this size where the parser does not say its own.
_SIDE = 512


@dataclass(frozen=True, eq=False)
class ParsedPhoto:
    """What a parser found.

    Attributes:
        box: the part of the photo that becomes a picture, in pixels; it may reach beyond the photo.
        label: the label map of that part, int64 [H, W], at the model's size.
    """

    box: Box
    label: np.ndarray


class PhotoParser:
    """A model for ``transformers.AutoModelForSemanticSegmentation``, loaded with the first photo.

    Its classes are known by the names in its ``id2label``: a name that is one of ours, whatever its case and hyphens,
    is that class; other names are looked up in ``classes`` and then in :data:`WORDS`; what is found nowhere becomes
    the first class. A parser of the sixteen classes of people serves models of the eight by their table. The
    probabilities of all that becomes one class are added. A parser that has less than half of our classes is refused:
    most of a photo would be wrong.

    Args:
        source: a folder or a Hub id.
        classes: further names of the parser, each with the class that it becomes.
        loaded: networks that are there already, by the classes in which they answer.
    """

    def __init__(
        self,
        source: str,
        classes: Mapping[str, str] | None = None,
        loaded: Mapping[LabelSet, Segmenter] | None = None,
    ) -> None:
        self.source, self.classes = source, dict(classes or {})
        self._loaded = dict(loaded or {})

    @classmethod
    def from_environment(cls, labels: LabelSet) -> PhotoParser | None:
        """Return the parser that ``GROUPDNET_PARSER`` names, with the classes of ``GROUPDNET_PARSER_CLASSES`` (JSON).

        By default it is the bundled one, if it knows the classes of ``labels`` and what it needs is installed.
        ``none`` is no parser.

        Raises:
            ValueError: if the latter is not a JSON object of names.
        """
        source = os.environ.get("GROUPDNET_PARSER")
        if not source:
            source = str(BUNDLED) if _bundled_parses(labels) else "none"
        if source == "none":
            return None
        text = os.environ.get("GROUPDNET_PARSER_CLASSES", "{}")
        try:
            classes = json.loads(text)
            if not all(isinstance(value, str) for value in classes.values()):
                raise ValueError
        except (ValueError, AttributeError):
            raise ValueError(
                f'GROUPDNET_PARSER_CLASSES is {shown(text)}; it must be JSON such as {{"Hat": "hair"}}'
            ) from None
        return cls(source, classes)

    def parse(
        self, photo: Image.Image, labels: LabelSet, size: tuple[int, int], box: Box | None = None
    ) -> ParsedPhoto:
        """Return the part of a photo that becomes a picture, and its label map.

        With a label set of people it is the part around the person, framed as training data is; of other photos it is
        the middle. The photo keeps its proportions on the way into the parser.

        Args:
            photo: the photo, RGB.
            labels: the classes of the map.
            size: (height, width) of the map.
            box: the part, if it was chosen already.

        Raises:
            NoPersonError: if the labels are of people and the photo shows nobody.
            ValueError: if the parser cannot be loaded, or has less than half of our classes.
        """
        segmenter = self.segmenter(labels)
        side = _side(segmenter)
        if box is not None:
            colour = colour_beyond(photo, box)
        elif not shows_people(labels):
            box, colour = middle_frame(photo.size, size), (0, 0, 0)
        else:
            aspect = size[0] / size[1]
            small = _reduced(photo, side)
            rough = keep_main_person(_probabilities(segmenter, small, mirrored=False).argmax(axis=0))
            if not rough.any():
                raise NoPersonError
            near = person_frame(rough, labels, aspect)
            box, colour = scaled(near, photo.width / small.width, aspect), plain_colour(small, rough)
        part = cut(photo, box, colour)
        fine = torch.from_numpy(_probabilities(segmenter, _fitted(part, side)))[None]
        probabilities = F.interpolate(fine, size=size, mode="bilinear", antialias=True)[0].numpy()
        if shows_people(labels):
            certain = np.eye(len(labels), 1, dtype=probabilities.dtype)
            probabilities[:, ~_inside(box, photo, size)] = certain
            label = keep_main_person(probabilities.argmax(axis=0))
            check_person(label, probabilities, labels)
        else:
            label = probabilities.argmax(axis=0)
        return ParsedPhoto(box, label)

    def segmenter(self, labels: LabelSet) -> Segmenter:
        """Return the network, answering in our classes.

        Raises:
            ValueError: if it cannot be loaded, or has less than half of our classes.
        """
        if labels not in self._loaded:
            try:
                import transformers  # noqa: F401

                from groupdnet_hub.hub.foreign_networks import read_network_config
                from groupdnet_hub.hub.location import model_folder
                from groupdnet_hub.metrics import LabelTable, Segmenter
            except ModuleNotFoundError:
                raise ValueError(
                    "the parser needs transformers and timm: pip install transformers timm."
                ) from None
            try:
                model_folder(self.source)
                config = read_network_config(self.source)
            except (OSError, ValueError) as error:
                raise self._cannot_be_loaded(error) from None
            targets = self.targets(config.id2label.values(), labels)
            ignored = frozenset(range(len(labels))) - set(targets.values())
            limits = UNLIMITED if self.source == str(BUNDLED) else page_limits()
            try:
                table = LabelTable(labels, targets, ignored)
                self._loaded[labels] = Segmenter(self.source, table, limits=limits)
            except ValueError as error:
                raise self._cannot_be_loaded(error) from None
        return self._loaded[labels]

    def _cannot_be_loaded(self, error: Exception) -> ValueError:
        # What it says is for whoever runs the page: it names files of the server.
        logging.getLogger(__name__).error("%s", error)
        return ValueError(
            "the parser cannot be loaded: GROUPDNET_PARSER must be a folder or a Hub id of a model for semantic "
            "segmentation, with its weights as safetensors; the log of the page says more."
        )

    def targets(self, names: Collection[str], labels: LabelSet) -> dict[str, int]:
        """Return the id of our class for each of the parser's names.

        Raises:
            ValueError: if these are less than half of our classes.
        """
        ours = {_plain(name): class_id for class_id, name in enumerate(labels.names)}
        words = dict(WORDS)
        if merged_ids([_plain(name) for name in names], labels) is not None:
            words |= {theirs: (class_,) for theirs, class_ in PEOPLE16_IN_PEOPLE8.items()}
        words |= {_plain(theirs): (class_,) for theirs, class_ in self.classes.items()}
        targets, known, strange = {}, set(), []
        for name in names:
            candidates = map(_plain, (name, *words.get(_plain(name), ())))
            found = next((ours[plain] for plain in candidates if plain in ours), None)
            if found is None:
                strange.append(name)
            else:
                known.add(found)
            targets[name] = found or 0
        if 2 * len(known) < len(labels):
            some = f"only {listed([labels.names[i] for i in sorted(known)])}" if known else "none"
            raise ValueError(
                f"the parser knows {some} of {listed(labels.names)}, but {listed(strange[:8])}: name what they "
                "become in GROUPDNET_PARSER_CLASSES."
            )
        return targets


def _probabilities(segmenter: Segmenter, photo: Image.Image, *, mirrored: bool = True) -> np.ndarray:
    """Return those of our classes, float32 [C, H, W]: the mean over the photo and, ``mirrored``, its mirror image."""
    from groupdnet_hub.metrics.segmenter import parse, parse_once

    return parse(segmenter, photo) if mirrored else parse_once(segmenter, photo)


def _side(segmenter: Segmenter) -> int:
    """Return how large pictures are to the network, in pixels of the longer side."""
    size = dict(segmenter.processor.size)
    return max(size.get("height") or _SIDE, size.get("width") or 0)


def _reduced(photo: Image.Image, side: int) -> Image.Image:
    return photo if max(photo.size) <= side else _fitted(photo, side)


def _fitted(photo: Image.Image, side: int) -> Image.Image:
    """Return the photo with a longer side of ``side`` pixels."""
    scale = side / max(photo.size)
    size = max(1, round(photo.width * scale)), max(1, round(photo.height * scale))
    return photo.resize(size, Image.Resampling.LANCZOS)


def _inside(box: Box, photo: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """Return bool [H, W] at ``size``: which pixels of the framed part the photo has."""
    rows = box.top + (np.arange(size[0]) + 0.5) * box.height / size[0]
    columns = box.left + (np.arange(size[1]) + 0.5) * box.width / size[1]
    return ((rows >= 0) & (rows < photo.height))[:, None] & ((columns >= 0) & (columns < photo.width))


def _bundled_parses(labels: LabelSet) -> bool:
    """Return whether the bundled parser can be loaded here and has all these classes. Nothing is loaded to find out."""
    if not (BUNDLED / "config.json").is_file() or not all(
        find_spec(name) for name in ("transformers", "timm")
    ):
        return False
    return _serves(_bundled_names(), labels)


def _serves(names: Sequence[str], labels: LabelSet) -> bool:
    """Return whether a parser of these classes has all of the labels, by itself or merged."""
    return set(labels.names) <= set(names) or merged_ids(names, labels) is not None


def _bundled_names() -> tuple[str, ...]:
    return tuple(json.loads((BUNDLED / "config.json").read_text(encoding="utf-8"))["id2label"].values())


def why_no_parser(labels: LabelSet) -> str:
    """Return why :meth:`PhotoParser.from_environment` gives none, as a sentence that says what to do."""
    known = _bundled_names() if (BUNDLED / "config.json").is_file() else labels.names
    if os.environ.get("GROUPDNET_PARSER") == "none" or _serves(known, labels):
        return (
            "no parser is configured: install transformers and timm for the bundled one, or name one in "
            "GROUPDNET_PARSER."
        )
    parsers, models = describe_difference(known, labels.names)
    return (
        f"no parser is configured: the bundled one has the {parsers}; this model has the {models}. Name one in "
        "GROUPDNET_PARSER, or bring the photo's label map."
    )


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("-", " ").replace("_", " ").split())
