"""Reading untrusted JSON: whatever is wrong with it raises a ValueError, in bounded time and memory."""

from __future__ import annotations

import json
import os
import reprlib
from pathlib import Path
from typing import Any

# A list of thousands of classes with their colours takes a tenth of this.
MAX_BYTES = 4 * 2**20

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 80
_repr.maxlist = _repr.maxtuple = _repr.maxdict = 8


def shown(value: object) -> str:
    """Return a ``repr`` for messages that is short, however long or deep the value is."""
    return _repr.repr(value)


def parse_json(text: str, what: str) -> Any:
    """Return the value that a JSON text holds.

    Args:
        text: the JSON text.
        what: name of the text in messages.

    Raises:
        ValueError: for text that is not JSON, nests too deeply, holds a number of thousands of digits, or repeats a key
            of an object.
    """
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except RecursionError:
        raise ValueError(f"{what} is not valid JSON of ours: it nests too deeply") from None
    except ValueError as error:
        raise ValueError(f"{what} is not valid JSON: {error}") from None


def read_json(path: str | os.PathLike[str], what: str) -> Any:
    """Return the value that a UTF-8 JSON file holds; see :func:`parse_json`.

    Raises:
        ValueError: as :func:`parse_json`, and for a file of more than 4 MiB or in another encoding.
        OSError: for a file that cannot be read.
    """
    return parse_json(read_short_text(path, what), what)


def read_short_text(path: str | os.PathLike[str], what: str) -> str:
    """Return the text of a UTF-8 file of at most 4 MiB; a longer one is refused unread.

    Args:
        path: path of the file.
        what: name of the file in messages.

    Raises:
        ValueError: for a longer file or another encoding.
        OSError: for a file that cannot be read.
    """
    with Path(path).open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{what} is longer than {MAX_BYTES} bytes: it is not a file of ours")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{what} is not UTF-8 text: {error}") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as a dictionary, refusing repeated keys: readers differ in which of two they take."""
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shown(twice)} occurs more than once")
    return values
