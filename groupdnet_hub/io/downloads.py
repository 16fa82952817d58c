"""Downloads of weights: what is out of reach is told at once, with the flag that names a local file instead."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import torch

# Long enough for a proxy, short beside the minutes after which a firewall lets a connection end.
_TIMEOUT = 10.0


@contextmanager
def weights_download(url: str, what: str, remedy: str) -> Iterator[None]:
    """Download weights inside, by torch.hub; they are asked for first, unless they are in its cache.

    Args:
        url: address of the file.
        what: what it holds, for the message.
        remedy: what to do without a network, such as ``give a local file with --alexnet_weights``.

    Raises:
        ValueError: if the file is out of reach, or its checksum is wrong.
    """
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(url).path).name
    try:
        if not cached.is_file():
            problem = unreachable(url)
            if problem:
                raise urllib.error.URLError(problem)
        yield
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise ValueError(
            f"{what} cannot be downloaded from {urlsplit(url).hostname} ({_reason(error)}): {remedy}"
        ) from None
    except RuntimeError as error:
        if "invalid hash value" not in str(error):  # torch.hub's words
            raise
        raise ValueError(
            f"{what} came from {urlsplit(url).hostname} with another checksum than its name says: download it again, "
            f"or {remedy}"
        ) from None


def unreachable(url: str) -> str | None:
    """Return why an address cannot be reached; None if it answers, with whatever status."""
    request = urllib.request.Request(url, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT):  # nosec B310: addresses of libraries
            return None
    except urllib.error.HTTPError:
        return None  # the download itself says what is wrong
    except (OSError, http.client.HTTPException) as error:
        return _reason(error)


def _reason(error: BaseException) -> str:
    """Return the innermost reason of a failed connection, such as ``Name or service not known``."""
    inner = getattr(error, "reason", error)
    return str(getattr(inner, "strerror", None) or inner or type(error).__name__)
