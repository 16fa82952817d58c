"""Label maps of photos by a segmentation model of the Hub, for photos that come without one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from groupdnet_hub import LabelSet
from groupdnet_hub.labels import describe_difference

# Made by train/train_parser.py; see its card.
BUNDLED = Path(__file__).resolve().parent / "parser"

# What parsers of people call things (LIP, CIHP and ATR), as the classes that models of people have: the paper's eight,
# or finer ones. Of several the first that the model has is meant.
PEOPLE: dict[str, tuple[str, ...]] = {
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


class PhotoParser:
    """A model for ``transformers.AutoModelForSemanticSegmentation``, loaded with the first photo.

    Its classes are known by the names in its ``id2label``: a name that is one of ours, whatever its case and hyphens,
    is that class; other names are looked up in ``classes`` and then in :data:`PEOPLE`; what is found nowhere becomes
    the first class. A parser that has less than half of our classes is refused: most of a photo would be wrong.

    Args:
        source: a folder or a Hub id.
        classes: further names of the parser, each with the class that it becomes.
    """

    def __init__(self, source: str, classes: Mapping[str, str] | None = None) -> None:
        self.source, self.classes = source, dict(classes or {})

    @classmethod
    def from_environment(cls, labels: LabelSet) -> PhotoParser | None:
        """The parser that ``GROUPDNET_PARSER`` names, with the classes of ``GROUPDNET_PARSER_CLASSES`` (JSON).

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
                f'GROUPDNET_PARSER_CLASSES is {text!r}; it must be JSON such as {{"Hat": "hair"}}'
            ) from None
        return cls(source, classes)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        try:
            from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation
        except ModuleNotFoundError:
            raise ValueError(
                "the parser needs transformers and timm: pip install transformers timm."
            ) from None
        try:
            processor = AutoImageProcessor.from_pretrained(self.source, trust_remote_code=False)
            model = AutoModelForSemanticSegmentation.from_pretrained(
                self.source, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
            )
        except (OSError, ValueError):
            raise ValueError(
                "the parser cannot be loaded: GROUPDNET_PARSER must be a folder or a Hub id of a model for semantic "
                "segmentation, with its weights as safetensors."
            ) from None
        return processor, model.eval()

    def parse(self, photo: Image.Image, labels: LabelSet, size: tuple[int, int]) -> np.ndarray:
        """The label map int64 [H, W] of a photo.

        Args:
            size: (height, width) of the map.

        Raises:
            ValueError: if the parser cannot be loaded, or has less than half of our classes.
        """
        processor, model = self._loaded
        table = self._table(model.config.id2label, labels)
        with torch.inference_mode():
            logits = model(**processor(images=photo, return_tensors="pt")).logits
            scores = torch.nn.functional.interpolate(logits.float(), size=size, mode="bilinear")
        return table[scores[0].argmax(dim=0).numpy()]

    def _table(self, id2label: Mapping[int, str], labels: LabelSet) -> np.ndarray:
        """int64 [parser's ids]: the class of each."""
        ours = {_plain(name): class_id for class_id, name in enumerate(labels.names)}
        words = PEOPLE | {_plain(theirs): (class_,) for theirs, class_ in self.classes.items()}
        table, known, strange = np.zeros(1 + max(id2label), np.int64), set(), []
        for parser_id, name in id2label.items():
            candidates = map(_plain, (name, *words.get(_plain(name), ())))
            found = next((ours[plain] for plain in candidates if plain in ours), None)
            if found is None:
                strange.append(name)
            else:
                table[parser_id] = found
                known.add(found)
        if 2 * len(known) < len(labels):
            some = f"only {_listed([labels.names[i] for i in sorted(known)])}" if known else "none"
            raise ValueError(
                f"the parser knows {some} of {_listed(labels.names)}, but {', '.join(strange[:8])}: name what they "
                "become in GROUPDNET_PARSER_CLASSES."
            )
        return table


def _bundled_parses(labels: LabelSet) -> bool:
    """Whether the bundled parser can be loaded here and has all these classes. Nothing is loaded to find out."""
    if not (BUNDLED / "config.json").is_file() or not all(
        find_spec(name) for name in ("transformers", "timm")
    ):
        return False
    return set(labels.names) <= set(_bundled_names())


def _bundled_names() -> tuple[str, ...]:
    return tuple(json.loads((BUNDLED / "config.json").read_text(encoding="utf-8"))["id2label"].values())


def why_no_parser(labels: LabelSet) -> str:
    """Why :meth:`PhotoParser.from_environment` gives none, as a sentence that says what to do."""
    known = _bundled_names() if (BUNDLED / "config.json").is_file() else labels.names
    if os.environ.get("GROUPDNET_PARSER") == "none" or set(labels.names) <= set(known):
        return (
            "no parser is configured: install transformers and timm for the bundled one, or name one in "
            "GROUPDNET_PARSER."
        )
    parsers, models = describe_difference(known, labels.names)
    return (
        f"no parser is configured: the bundled one has the {parsers}; this model has the {models}. Name one in "
        "GROUPDNET_PARSER, or bring the photo's label map."
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("-", " ").replace("_", " ").split())
