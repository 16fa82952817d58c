"""What all visitors share: the model, example maps and looks, the parser. Each is loaded when it is first needed."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import actions
from lazy_model import LazyModel, read_config
from one_look import OneLookClasses
from photo_parser import PhotoParser
from session import Kept, Session
from zero_gpu import IS_LENT

from groupdnet_hub import GroupDNetConfig, GroupDNetPipeline, LabelSet, read_label_map
from groupdnet_hub.labels import describe_difference

# What a visitor finds drawn: a look on each of the first example maps, chosen by eye.
OPENING_SEEDS = (7, 27, 25, 6, 1, 48, 34, 26)
_CLASSES_FILE = "classes.json"
ResultT = TypeVar("ResultT")


class ExamplesError(ValueError):
    """A folder of example label maps cannot be used."""


class Studio:
    """A model by the name of its folder or its Hub id, and what belongs to it.

    Args:
        source: only its configuration is read at first.
        examples: folder of label maps and their ``classes.json``, for models of these classes and proportions.
        parser: a segmentation model that makes label maps of photos, if there is one.

    Raises:
        FileNotFoundError, ValueError, OSError: if the model's configuration cannot be read, or is of another system.
        ExamplesError: if the ``classes.json`` of the examples cannot be read.
    """

    def __init__(self, source: str, examples: Path, parser: PhotoParser | None = None) -> None:
        config = read_config(source)
        if not isinstance(config, GroupDNetConfig):
            raise ValueError(
                f"{source} is a {config.system_name}, which has no codes for single classes; the page needs a "
                "GroupDNet (the human evaluation takes any system)"
            )
        self.source, self.parser, self.config = source, parser, config
        self.labels = LabelSet(config.class_names, config.palette)
        self.size = config.image_size
        self.examples_folder, self.examples = examples, self._fitting(examples)
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="model")
        self.model = LazyModel(source, GroupDNetPipeline.from_pretrained, self.worker)
        self.one_look = OneLookClasses(self.run, lambda: self.enter(Session()).bundled)
        self._lock = threading.RLock()

    @functools.cached_property
    def _opening(self) -> Session:
        looks = self.run(actions.draw_maps, list(zip(self.examples, OPENING_SEEDS, strict=False)))
        bundled = tuple(Kept(f"example {number}", look) for number, look in enumerate(looks, start=1))
        return Session(look=bundled[0].look if bundled else None, bundled=bundled)

    def warm_up(self) -> None:
        """Load and draw ahead what the first visitor would wait for."""
        self.model.loaded  # noqa: B018
        if not IS_LENT:  # a GPU is lent for a visitor's call only
            self.enter(Session())
            self.one_look.find()

    def enter(self, session: Session) -> Session:
        """The session of a visitor, which starts with the first example drawn and others beside it as bundled looks."""
        if session != Session():
            return session
        with self._lock:
            return self._opening

    def run(self, action: Callable[..., ResultT], *arguments: Any) -> ResultT:
        """``action(pipeline, *arguments)``, on the GPU where there is one.

        Raises:
            gradio.Error: as :meth:`LazyModel.run`.
        """
        return self.model.run(action, *arguments)

    def _fitting(self, folder: Path) -> list[Path]:
        fitting = []
        for path in example_maps(folder, self.labels):
            try:
                read_label_map(path, self.labels, size=self.size, resize=True)
            except ValueError:
                continue
            fitting.append(path)
        return fitting


def example_maps(folder: Path, labels: LabelSet) -> list[Path]:
    """The label maps of a folder, for a model of their classes: among others their ids would be other things.

    Raises:
        ExamplesError: if the folder's ``classes.json`` cannot be read.
    """
    fits = (folder / _CLASSES_FILE).is_file() and _classes_of(folder).names == labels.names
    return sorted(folder.glob("*.png")) if fits else []


def check_examples(folder: Path, labels: LabelSet, size: tuple[int, int]) -> None:
    """Refuse a folder that was asked for by name and does not fit the model throughout.

    Args:
        size: (height, width) of the model's pictures.

    Raises:
        ExamplesError: for a folder without maps or ``classes.json``, other classes, and a map that does not fit.
    """
    if not (folder / _CLASSES_FILE).is_file():
        raise ExamplesError(
            f"{folder} has no {_CLASSES_FILE}, which says what the ids of its label maps mean: "
            "LabelSet.to_file writes one"
        )
    names = _classes_of(folder).names
    if names != labels.names:
        its, models = describe_difference(names, labels.names)
        raise ExamplesError(f"{folder} has maps of the {its}; the model has the {models}")
    paths = example_maps(folder, labels)
    if not paths:
        raise ExamplesError(f"{folder} holds no label maps: they are PNG files")
    for path in paths:
        try:
            read_label_map(path, labels, size=size, resize=True)
        except ValueError as error:
            raise ExamplesError(f"{path}: {error}") from None


def _classes_of(folder: Path) -> LabelSet:
    try:
        return LabelSet.from_file(folder / _CLASSES_FILE)
    except ValueError as error:
        raise ExamplesError(f"{folder}: {error}") from None
