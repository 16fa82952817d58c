"""Label maps of photos by a segmentation model of the Hub, for photos that come without one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from groupdnet_hub import LabelSet

# Made by train/train_parser.py; see its card.
BUNDLED = Path(__file__).resolve().parent / "parser"

# What parsers of people call things (LIP, CIHP and ATR), as the paper's classes for people.
PEOPLE = {
    **dict.fromkeys(("hat", "hair"), "hair"),
    **dict.fromkeys(("face", "sunglasses", "glasses"), "face"),
    **dict.fromkeys(
        ("skin", "glove", "torso skin", "left arm", "right arm", "left leg", "right leg"), "skin"
    ),
    **dict.fromkeys(("upper clothes", "dress", "coat", "jumpsuits", "scarf", "belt"), "top-clothes"),
    **dict.fromkeys(("pants", "skirt"), "bottom-clothes"),
    "socks": "socks",
    **dict.fromkeys(("left shoe", "right shoe", "shoe"), "shoes"),
    "bag": "background",
}


class PhotoParser:
    """A model for ``transformers.AutoModelForSemanticSegmentation``, loaded with the first photo.

    Its classes are known by the names in its ``id2label``: a name that is one of ours, whatever its case and hyphens,
    is that class; other names are looked up in ``classes`` and then in :data:`PEOPLE`; what is found nowhere becomes
    the first class.

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
            ValueError: if the parser cannot be loaded, or knows none of our classes.
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
        words = {_plain(theirs): _plain(class_) for theirs, class_ in {**PEOPLE, **self.classes}.items()}
        table, known = np.zeros(1 + max(id2label), np.int64), 0
        for parser_id, name in id2label.items():
            plain = _plain(name)
            found = ours.get(plain, ours.get(words.get(plain, "")))
            if found is not None:
                table[parser_id], known = found, known + 1
        if not known:
            raise ValueError(
                f"the parser knows none of {', '.join(labels.names)}, but {', '.join(list(id2label.values())[:8])}: "
                "name what they become in GROUPDNET_PARSER_CLASSES."
            )
        return table


def _bundled_parses(labels: LabelSet) -> bool:
    """Whether the bundled parser can be loaded here and has all these classes. Nothing is loaded to find out."""
    config = BUNDLED / "config.json"
    if not config.is_file() or not all(find_spec(name) for name in ("transformers", "timm")):
        return False
    known = json.loads(config.read_text(encoding="utf-8"))["id2label"].values()
    return set(labels.names) <= set(known)


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("-", " ").replace("_", " ").split())
