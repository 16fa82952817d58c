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
from photo_parser import PhotoParser
from session import Kept, Session
from zero_gpu import IS_LENT

from groupdnet_hub import FIGURE_LABELS, GroupDNetConfig, GroupDNetPipeline, LabelSet, read_label_map

# What a visitor finds drawn: a look on each of the first example maps, chosen by eye.
OPENING_SEEDS = (7, 27, 25, 6, 1, 48, 34, 26)
ResultT = TypeVar("ResultT")


class Studio:
    """A model by the name of its folder or its Hub id, and what belongs to it.

    Args:
        source: only its configuration is read at first.
        examples: folder of the bundled label maps, for models of their classes and proportions.
        parser: a segmentation model that makes label maps of photos, if there is one.

    Raises:
        FileNotFoundError, ValueError, OSError: if the model's configuration cannot be read, or is of another system.
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
        self.examples = self._fitting(examples)
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="model")
        self.model = LazyModel(source, GroupDNetPipeline.from_pretrained, self.worker)
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
    """The bundled label maps, for a model of their classes: among more classes their ids would be other things."""
    return sorted(folder.glob("*.png")) if labels.names == FIGURE_LABELS.names else []
