"""Downloads of weights: what is out of reach is told at once, with the flag that names a local file instead."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import torch

# Long enough for a proxy, short beside the minutes after which a firewall lets a connection end.
_TIMEOUT = 10.0


@dataclass(frozen=True)
class Download:
    """A file of weights that torch.hub downloads into its cache.

    Attributes:
        url: address of the file.
        what: what it holds, for messages.
        remedy: what to do without a network, such as ``name a local file with --alexnet_weights``.
    """

    url: str
    what: str
    remedy: str

    def check(self) -> None:
        """Ask for the file, unless it is in the cache.

        Raises:
            ValueError: if it is out of reach.
        """
        cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(self.url).path).name
        problem = None if cached.is_file() else unreachable(self.url)
        if problem:
            raise self._failed(problem)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Download the file inside, after :meth:`check`.

        Raises:
            ValueError: if it is out of reach, or its checksum is wrong.
        """
        self.check()
        try:
            yield
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            raise self._failed(_reason(error)) from None
        except RuntimeError as error:
            if "invalid hash value" not in str(error):  # torch.hub's words
                raise
            raise self._failed("its checksum is wrong") from None

    def _failed(self, reason: str) -> ValueError:
        host = urlsplit(self.url).hostname
        return ValueError(f"{self.what} cannot be downloaded from {host} ({reason}): {self.remedy}")


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
