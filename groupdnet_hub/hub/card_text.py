"""What people write on a model card stays on it when the model is saved again.

A card of ours is front matter and a part between two marks. Each is refreshed for as long as it is as we wrote it, as
checksums in the first mark tell; text above and below the part stays. A card that was edited inside the part, or has no
marks, is somebody's own and stays as it is.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

_BEGIN = (
    "<!-- Written by groupdnet_hub up to the mark below, and refreshed with the model unless edited: {} -->"
)
_END = "<!-- End of what groupdnet_hub wrote. Text below it, and above the first mark, is kept. -->"
# A card of earlier versions began with this, and said so; it ended with the citation.
_EARLIER = "<!-- Written by groupdnet_hub. Remove this line to keep your own edits. -->"

_FRONT = re.compile(r"\A\ufeff?\s*---[ \t]*\r?\n.*?^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_PART = re.compile(
    "(?P<begin>" + re.escape(_BEGIN).replace(r"\{\}", r"(?P<sums>[0-9a-f]+ [0-9a-f]+)") + ")"
    "(?P<text>.*?)" + re.escape(_END),
    re.DOTALL,
)
_EARLIER_PART = re.compile(re.escape(_EARLIER) + r".*\n## Citation\s+```.*?\n```", re.DOTALL)


@dataclass(frozen=True)
class _Card:
    """A card in pieces, which make it up in this order.

    Attributes:
        front: front matter with its fences, or nothing.
        above: somebody's text before our part.
        part: our part with its marks.
        below: somebody's text after it.
        own_front: whether the front matter is as we wrote it.
    """

    front: str
    above: str
    part: str
    below: str
    own_front: bool


def marked(front: str, text: str) -> str:
    """Return a card of front matter and text with the marks around what we wrote."""
    begin = _BEGIN.format(f"{_checksum(front)} {_checksum(text)}")
    return f"{front}\n\n{begin}\n\n{text}\n\n{_END}\n"


def refreshed(before: str, fresh: str) -> str:
    """Return the card ``before`` with what we wrote replaced by that of ``fresh``, and all else as it is.

    Args:
        before: a card, anybody's.
        fresh: a card of :func:`marked`.
    """
    new, old = _split(fresh), _split(before)
    assert new is not None
    if old is not None:
        return (new.front if old.own_front else old.front) + old.above + new.part + old.below
    front = _FRONT.match(before)
    if front is not None and not before[front.end() :].strip():  # a new repository with a licence
        return f"{front[0].rstrip()}\n{new.above}{new.part}{new.below}"
    return before if before.strip() else fresh


def card_to_save(fresh: str, there: str, loaded: str | None) -> str:
    """Return the card of a model that is saved.

    Args:
        fresh: card of :func:`marked`, as the model is now.
        there: card of the place that it is saved to; empty if there is none.
        loaded: card that the model was loaded with, if there was one. It is used where nobody wrote on the other.
    """
    for before in (there, loaded):
        if before is not None and (card := refreshed(before, fresh)) != fresh:
            return card
    return fresh


def _split(card: str) -> _Card | None:
    """Return the pieces of a card; None for one without our part, and one whose part was edited."""
    front = _FRONT.match(card)
    start = front.end() if front else 0
    if (earlier := _EARLIER_PART.search(card, start)) is not None:
        return _Card(card[:start], card[start : earlier.start()], earlier[0], card[earlier.end() :], True)
    found = _PART.search(card, start)
    if found is None:
        return None
    of_front, of_text = found["sums"].split()
    if _checksum(found["text"]) != of_text:
        return None
    own_front = _checksum(card[:start]) == of_front
    return _Card(card[:start], card[start : found.start()], found[0], card[found.end() :], own_front)


def _checksum(text: str) -> str:
    """Return 16 digits that change with the text, but not with white space at the ends of its lines."""
    lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()[:16]
