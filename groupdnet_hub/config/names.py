"""Class names: what they may be, everywhere, and how names that may be anything are written into messages."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import islice
from typing import Any

from groupdnet_hub.io.strict_json import shown

LONGEST_NAME = 64
# What turns the direction of the text around it, so that a name could rewrite the sentence that it stands in.
_TURNS_TEXT = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_HOW_TO_RENAME = "rename the class in the file that names it (config.json, classes.json)"
# Limits of the names in a message: an untrusted file may hold thousands, of any length.
_NAMES_LISTED, _NAME_LENGTH = 20, 40


def check_class_names(names: Sequence[Any], what: str) -> None:
    """Require names that people and files can tell apart, and that cannot change the text that they stand in.

    A name has 1 to ``LONGEST_NAME`` characters, no white space around it, no control characters, none that turn the
    direction of text, no halves of surrogate pairs, and Unicode's normal form C, so that names that look alike are
    equal; none occurs twice.

    Args:
        names: the names.
        what: their list in messages.

    Raises:
        ValueError: for any other name; the message says how to mend it.
    """
    for name in names:
        wrong = _what_is_wrong(name)
        if wrong:
            raise ValueError(f"{what} holds {shown(name)}, {wrong}: {_HOW_TO_RENAME}")
    if len(set(names)) != len(names):
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        raise ValueError(f"{what} holds {', '.join(map(shown, twice[:5]))} more than once")


def readable(text: str, longest: int = _NAME_LENGTH) -> str:
    """Return a text that may be anything for a message: what cannot be printed escaped, and all cut to ``longest``."""
    # One more than is shown, since a text may be very long.
    start = text[: longest + 1]
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in start)
    return escaped if len(escaped) <= longest else f"{escaped[: longest - 3]}..."


def listed(names: Collection[str]) -> str:
    """Return the first twenty names for a message, each as :func:`readable` writes it."""
    more = ", ..." if len(names) > _NAMES_LISTED else ""
    return ", ".join(map(readable, islice(names, _NAMES_LISTED))) + more


def _what_is_wrong(name: Any) -> str:
    """Return what is wrong with a name, as the rest of a sentence; nothing if it is one."""
    if not isinstance(name, str) or not name.strip():
        return "a value that is not a name"
    if len(name) > LONGEST_NAME:
        return f"a name of {len(name)} characters, where {LONGEST_NAME} are the most"
    strange = next((c for c in name if c in _TURNS_TEXT or unicodedata.category(c) in ("Cc", "Cs")), None)
    if strange is not None:
        return f"a name with the character U+{ord(strange):04X}, which is not for names"
    if name != name.strip():
        return "a name with white space around it"
    if not unicodedata.is_normalized("NFC", name):
        mended = ascii(unicodedata.normalize("NFC", name))
        return f"a name that is not in Unicode's normal form C, in which it is {mended}"
    return ""
