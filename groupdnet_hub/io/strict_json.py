"""Reading untrusted JSON and other text: whatever is wrong raises a ValueError, in bounded time and memory.

Files are UTF-8, with or without a byte order mark. In files of a value a line, ``\\n`` alone ends a line (a ``\\r``
before it is white space): other characters at which Python's ``splitlines`` splits, such as U+2028, may be in names.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# A list of thousands of classes with their colours takes a tenth of this.
MAX_BYTES = 4 * 2**20
# A line of a listing has some names and tags.
MAX_LINE_BYTES = 2**20

# The longer ones first: the mark of UTF-32 begins as that of UTF-16 does.
_OTHER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
# Line ends for programs that split text as Python's splitlines does, and what UTF-8 cannot hold.
_ESCAPED = re.compile("[\x85\u2028\u2029\ud800-\udfff]")

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
    """Return the text of a UTF-8 file of at most 4 MiB, without its byte order mark; a longer one is refused unread.

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
    return _decoded(content, what, what)


def read_json_lines(path: str | os.PathLike[str]) -> Iterator[tuple[str, Any]]:
    """Yield the value of each line of a UTF-8 file that is not blank, after its place, such as ``line 3 of FILE``.

    Args:
        path: path of the file; messages name it in full.

    Raises:
        ValueError: for a line that is not JSON or has more than 1 MiB, and for another encoding.
        OSError: for a file that cannot be read.
    """
    with Path(path).open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), start=1):
            place = f"line {number} of {path}"
            if len(line) > MAX_LINE_BYTES:
                raise ValueError(
                    f"{place} is longer than {MAX_LINE_BYTES} bytes: this is a file of a JSON object a line"
                )
            text = _decoded(line, str(path), place)
            if text.strip():
                yield place, parse_json(text, place)


def json_line(value: Any) -> str:
    """Return a value as a line for :func:`read_json_lines`, of readable names, that other programs split alike."""
    text = json.dumps(value, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def _decoded(content: bytes, what: str, place: str) -> str:
    """Return UTF-8 bytes as text, without a byte order mark; ``place`` in the file ``what`` is named in messages."""
    for mark, encoding in _OTHER_MARKS.items():
        if content.startswith(mark):
            raise ValueError(f"{what} is {encoding} text: save it as UTF-8")
    if b"\0" in content:
        raise ValueError(f"{place} holds zero bytes, as UTF-16 text does: save it as UTF-8")
    try:
        return content.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{place} is not UTF-8 text ({error}): save it as UTF-8") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as a dictionary, refusing repeated keys: readers differ in which of two they take."""
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {shown(twice)} occurs more than once")
    return values
