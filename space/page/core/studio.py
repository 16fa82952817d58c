"""What all visitors share: the model, example maps and looks, the parser. Each is loaded when it is first needed."""

from __future__ import annotations

import functools
import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from groupdnet_hub import GroupDNetConfig, GroupDNetPipeline, LabelSet
from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.data.unknown import with_ignored

from . import actions
from .example_maps import example_map, fitting_maps
from .film import Films
from .fixed_classes import FixedClasses
from .gpu import IS_LENT
from .lazy_model import LazyModel, read_config
from .memory.model_identity import ModelIdentity
from .memory.opened_files import OpenedFile, open_file
from .memory.packed_looks import packed
from .model_thread import ModelThread
from .opening_looks import OPENING_SEEDS, opening_looks, read_looks
from .photo_reading.parser import PhotoParser
from .redraw.colour_wish import ColourWishes
from .session import Session, ShelfItem

ResultT = TypeVar("ResultT")
# Variable of what stands for unknown pixels.
IGNORED = "GROUPDNET_IGNORE_ID"


class Studio:
    """A model by the name of its folder or its Hub id, and what belongs to it.

    Args:
        source: only its configuration is read at first.
        examples: folder of label maps and their ``classes.json``, for models of these classes and proportions.
        parser: a segmentation model that makes label maps of photos, if there is one.
        ignored: ids and colours of unknown pixels in the label maps of visitors, beside those of the model.
        worker: the thread for its model, if it shares one with others.

    Raises:
        FileNotFoundError, ValueError, OSError: if the model's configuration or its ``looks.json`` cannot be read, or it
            is of another system.
        ExamplesError: if the ``classes.json`` of the examples cannot be read.
    """

    def __init__(
        self,
        source: str,
        examples: Path,
        parser: PhotoParser | None = None,
        ignored: Sequence[Ignored] = (),
        worker: ModelThread | None = None,
    ) -> None:
        config = read_config(source)
        if not isinstance(config, GroupDNetConfig):
            raise ValueError(
                f"{source} is a {config.system_name}, which has no codes for single classes; the page needs a "
                "GroupDNet (the human evaluation takes any system)"
            )
        self.source, self.parser, self.config = source, parser, config
        labels = LabelSet(config.class_names, config.palette, config.ignore)
        self.labels = with_ignored(labels, ignored, IGNORED)
        self.size = config.image_size
        self.examples_folder, self.examples = examples, fitting_maps(examples, self.labels, self.size)
        self.opening = opening_looks(read_looks(source), self.examples)
        self.first_seed = self.opening[0][1] if self.opening else OPENING_SEEDS[0]
        self.worker = worker or ModelThread()
        self.model = LazyModel(source, GroupDNetPipeline.from_pretrained, self.worker)
        self.films = Films(self.model.submit_piece)
        self.fixed_classes = FixedClasses(self.run, self.run_piece, lambda: self.enter(Session()).bundled)
        self.colour_wishes = ColourWishes(self.run_piece, lambda: self.enter(Session()).bundled)
        self._lock = threading.RLock()

    @functools.cached_property
    def _opening(self) -> Session:
        looks = self.run(actions.draw_maps, [(self.example(path), seed) for path, seed in self.opening])
        bundled = tuple(
            ShelfItem(f"example {number}", packed(look)) for number, look in enumerate(looks, start=1)
        )
        return Session(look=bundled[0].look if bundled else None, bundled=bundled)

    def warm_up(self) -> None:
        """Load and draw ahead what the first visitor would wait for."""
        self.model.loaded  # noqa: B018
        if not IS_LENT:  # a GPU is lent for a visitor's call only
            self.enter(Session())
            self.fixed_classes.find()

    def enter(self, session: Session) -> Session:
        """Return a visitor's session, which starts with the first example drawn and others as bundled looks."""
        if session != Session():
            return session
        with self._lock:
            return replace(self._opening, work=session.work or secrets.token_hex(8))

    @functools.cached_property
    def identity(self) -> ModelIdentity:
        """The model, as saved work and pictures name it.

        Raises:
            gradio.Error: if the model cannot be loaded.
        """
        try:
            return ModelIdentity.of(self.source, self.config)
        except (ValueError, OSError):
            self.run(_nothing)  # which fails with a sentence for the page
            raise

    def open_file(self, path: str, session: Session) -> OpenedFile:
        """Return what a visitor's file makes of the session.

        Raises:
            ValueError: as :func:`page.core.memory.opened_files.open_file`.
        """
        return open_file(path, session, self.enter(Session()), self.identity, self.config)

    def example(self, path: Path) -> np.ndarray:
        """Return one of ``examples`` as the model takes it, int64 [H, W]."""
        return example_map(path, self.labels, self.size)

    def run(self, action: Callable[..., ResultT], *arguments: Any) -> ResultT:
        """Return ``action(pipeline, *arguments)``, run on the GPU where there is one: a visitor waits for it.

        Raises:
            gradio.Error: as :meth:`LazyModel.run`.
        """
        return self.model.run(action, *arguments)

    def run_piece(self, action: Callable[..., ResultT], *arguments: Any) -> ResultT:
        """Return ``action(pipeline, *arguments)``, a piece of long work: calls of :meth:`run` pass it.

        Raises:
            gradio.Error: as :meth:`LazyModel.run`.
        """
        return self.model.run_piece(action, *arguments)


def _nothing(pipeline: GroupDNetPipeline) -> None:
    """Do nothing with a model, which is loaded for it."""
