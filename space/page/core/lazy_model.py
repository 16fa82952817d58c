"""A model that is loaded when it is first needed, and used in one thread, on the GPU that a call is lent."""

from __future__ import annotations

import contextvars
import functools
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from groupdnet_hub.baselines import SystemConfig, system_from_file
from groupdnet_hub.hub.files import find_config

from .budget import page_limits
from .gpu import device_options, on_gpu
from .model_thread import ModelThread
from .refusal import Refusal

ModelT = TypeVar("ModelT")
ResultT = TypeVar("ResultT")


class LazyModel(Generic[ModelT]):
    """A model by the name of its folder or its Hub id.

    Args:
        source: the folder or the Hub id.
        load: the ``from_pretrained`` of such models; it is given the page's limits, the device and, on a GPU, bfloat16.
        worker: the thread for the model.
    """

    def __init__(self, source: str, load: Callable[..., ModelT], worker: ModelThread) -> None:
        self.source, self._load, self._worker = source, load, worker
        self._lock = threading.RLock()

        @on_gpu
        def on_model(action: Callable[..., Any], *arguments: Any) -> Any:
            # Not through the lock: ZeroGPU runs this in a copy of the process, which may hold it.
            return refusing(action)(self._loaded, *arguments)

        self._on_model = on_model

    @functools.cached_property
    def _loaded(self) -> ModelT:
        return self._load(self.source, limits=page_limits(), **device_options())

    @property
    def is_loaded(self) -> bool:
        """Whether it was needed already."""
        return "_loaded" in vars(self)

    @property
    def loaded(self) -> ModelT:
        """The model.

        Raises:
            FileNotFoundError, ValueError, OSError: as ``from_pretrained``.
        """
        with self._lock:
            return self._loaded

    def run(self, action: Callable[..., ResultT], *arguments: Any) -> ResultT:
        """Return ``action(model, *arguments)``, run on the GPU where there is one: a visitor waits for it.

        Raises:
            Refusal: with the sentence of the action's ValueError, or if the model cannot be loaded.
        """
        return self._submit(action, arguments, piece=False).result()

    def run_piece(self, action: Callable[..., ResultT], *arguments: Any) -> ResultT:
        """Return ``action(model, *arguments)`` as :meth:`run` does, but let the calls of :meth:`run` pass."""
        return self.submit_piece(action, *arguments).result()

    def submit_piece(self, action: Callable[..., ResultT], *arguments: Any) -> Future[ResultT]:
        """Return the result of :meth:`run_piece`, a piece of long work, to come.

        Raises:
            Refusal: if the model, which is loaded first, cannot be; the other errors are the future's.
        """
        return self._submit(action, arguments, piece=True)

    def _submit(
        self, action: Callable[..., ResultT], arguments: tuple[Any, ...], *, piece: bool
    ) -> Future[ResultT]:
        try:
            self.loaded  # noqa: B018  (before ZeroGPU copies the process)
        except (ValueError, OSError):
            # What it says is for whoever runs the page: it names files of the server.
            logging.getLogger(__name__).exception("The model %s cannot be loaded", self.source)
            raise Refusal("The model cannot be loaded; the log of the page says why.") from None
        context = contextvars.copy_context()  # by which ZeroGPU knows the visitor
        call = functools.partial(context.run, self._on_model, action, *arguments)
        return self._worker.submit(call, piece=piece)


def refusing(
    action: Callable[..., ResultT], but: tuple[type[ValueError], ...] = ()
) -> Callable[..., ResultT]:
    """Return an action whose ValueError is shown as a sentence on the page; the session stays as it was.

    Args:
        action: what may refuse.
        but: errors that the caller handles.
    """

    @functools.wraps(action)
    def wrapped(*arguments: Any) -> ResultT:
        try:
            return action(*arguments)
        except Refusal:  # which is a ValueError too
            raise
        except but:
            raise
        except ValueError as error:
            text = str(error)
            raise Refusal(text[:1].upper() + text[1:]) from None

    return wrapped


def read_config(source: str) -> SystemConfig:
    """Return the configuration of a folder or a Hub id, without the weights.

    Raises:
        FileNotFoundError, ValueError, OSError: if it cannot be read, or asks for more than the page has.
    """
    config = system_from_file(find_config(source))
    page_limits().check(config, source)
    return config
