"""What all visitors share: the model, example maps and looks, the parser. Each is loaded when it is first needed."""

from __future__ import annotations

import contextvars
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import actions
import gradio as gr
import torch
from huggingface_hub import hf_hub_download
from photo_parser import PhotoParser
from session import Kept, Session
from zero_gpu import IS_LENT, on_gpu

from groupdnet_hub import GroupDNetConfig, GroupDNetPipeline, LabelSet, read_label_map

# What a visitor finds drawn; chosen by eye.
OPENING_SEED = 42
_CONFIG_FILE = "config.json"
ResultT = TypeVar("ResultT")


class Studio:
    """A model by the name of its folder or its Hub id, and what belongs to it.

    Args:
        source: only its configuration is read at first.
        examples: folder of label maps; those that are not of the model's classes and proportions are left out.
        parser: a segmentation model that makes label maps of photos, if there is one.

    Raises:
        FileNotFoundError, ValueError, OSError: if the model's configuration cannot be read.
    """

    def __init__(self, source: str, examples: Path, parser: PhotoParser | None = None) -> None:
        self.source, self.parser = source, parser
        self.config = _read_config(source)
        self.labels = LabelSet(self.config.class_names, self.config.palette)
        self.size = self.config.image_size
        self.examples = self._fitting(examples)
        self._lock = threading.RLock()
        # One thread for the model: each further one would bring its own pool of threads and its own memory.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="model")

        @on_gpu
        def on_model(action: Callable[..., Any], *arguments: Any) -> Any:
            # Not through the lock: ZeroGPU runs this in a copy of the process, which may hold it.
            return refusing(action)(self._pipeline, *arguments)

        self._on_model = on_model

    @functools.cached_property
    def _pipeline(self) -> GroupDNetPipeline:
        on_cuda = torch.cuda.is_available()
        return GroupDNetPipeline.from_pretrained(
            self.source,
            device="cuda" if on_cuda else "cpu",
            dtype=torch.bfloat16 if on_cuda else torch.float32,
        )

    @property
    def pipeline(self) -> GroupDNetPipeline:
        """The model, in bfloat16 on a GPU.

        Raises:
            FileNotFoundError, ValueError, OSError: as ``GroupDNetPipeline.from_pretrained``.
        """
        with self._lock:
            return self._pipeline

    @functools.cached_property
    def _opening(self) -> Session:
        looks = self.run(actions.draw_maps, self.examples, OPENING_SEED)
        bundled = tuple(Kept(f"example {number}", look) for number, look in enumerate(looks, start=1))
        return Session(look=bundled[0].look if bundled else None, bundled=bundled)

    def warm_up(self) -> None:
        """Load and draw ahead what the first visitor would wait for."""
        self.pipeline  # noqa: B018
        if not IS_LENT:  # a GPU is lent for a visitor's call only
            self.enter(Session())

    def enter(self, session: Session) -> Session:
        """The session of a visitor, which starts with the first example drawn and all of them as bundled looks."""
        if session != Session():
            return session
        with self._lock:
            return self._opening

    def run(self, action: Callable[..., ResultT], *arguments: Any) -> ResultT:
        """``action(pipeline, *arguments)``, on the GPU where there is one.

        Raises:
            gradio.Error: with the sentence of the action's ValueError.
        """
        refusing(lambda: self.pipeline)()  # loaded before ZeroGPU copies the process
        context = contextvars.copy_context()  # by which ZeroGPU knows the visitor
        return self._worker.submit(context.run, self._on_model, action, *arguments).result()

    def _fitting(self, folder: Path) -> list[Path]:
        fitting = []
        for path in sorted(folder.glob("*.png")):
            try:
                read_label_map(path, self.labels, size=self.size, resize=True)
            except ValueError:
                continue
            fitting.append(path)
        return fitting


def refusing(action: Callable[..., ResultT]) -> Callable[..., ResultT]:
    """An action whose ValueError is shown as a sentence on the page; the session stays as it was."""

    @functools.wraps(action)
    def wrapped(*arguments: Any) -> ResultT:
        try:
            return action(*arguments)
        except ValueError as error:
            text = str(error)
            raise gr.Error(text[:1].upper() + text[1:], print_exception=False) from None

    return wrapped


def _read_config(source: str) -> GroupDNetConfig:
    """The configuration of a folder or a Hub id, without the weights."""
    folder = Path(source)
    if folder.is_dir():
        path = folder / _CONFIG_FILE
        if not path.is_file():
            raise FileNotFoundError(f"the folder {source} has no {_CONFIG_FILE}")
    elif source.startswith((".", "~", "/")) or folder.exists():
        raise FileNotFoundError(f"there is no folder {source}")
    else:
        path = Path(hf_hub_download(source, _CONFIG_FILE))
    return GroupDNetConfig.from_file(path)
