"""Loading models of transformers: a Hub that is out of reach is told at once, not after half a minute of retries."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from huggingface_hub import constants

from groupdnet_hub.hub.files import CONFIG_FILE
from groupdnet_hub.hub.location import model_folder, why_unreachable

T = TypeVar("T")
# What transformers raises for files that are missing or do not fit each other.
_REFUSALS = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError)


def load_transformers(load: Callable[..., T], name: str | os.PathLike[str], flag: str, **options: Any) -> T:
    """Return what a function loads of a segmentation model; without the Hub, of a folder or the Hub's cache alone.

    Args:
        load: function of the options of transformers' ``from_pretrained``.
        name: folder or Hub id of the model, which ``load`` knows.
        flag: flag that names it, for the message.
        options: options of transformers' ``from_pretrained``.

    Raises:
        ValueError: if it cannot be loaded.
    """
    problem = None
    try:
        if model_folder(name) is None and not (options.get("local_files_only") or constants.HF_HUB_OFFLINE):
            revision, token = options.get("revision"), options.get("token")
            problem = why_unreachable(os.fspath(name), CONFIG_FILE, revision, token)
        return load(**{**options, "local_files_only": True} if problem else options)
    except _REFUSALS as error:
        reason = str(error)
        if problem:
            reason = (
                f"there is no such folder, it is not in the Hub's cache, and {urlsplit(constants.ENDPOINT).hostname} "
                f"cannot be reached ({problem}): name a local folder with {flag}"
            )
        raise ValueError(f"the segmentation model {name} cannot be loaded: {reason}") from None
