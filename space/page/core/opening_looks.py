"""What a visitor finds drawn: looks that a model names in a ``looks.json`` beside its weights, chosen by eye.

The file is a list of at most 8 objects, each with the file name of an example label map and a seed::

    [{"map": "example_03.png", "seed": 27}, {"map": "example_01.png", "seed": 5}]

A model without one opens with fixed seeds on the first example maps.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groupdnet_hub.hub.files import find_extra
from groupdnet_hub.io.strict_json import read_json, shown

from .session import MAX_SEED

# Of models that do not name their own.
OPENING_SEEDS = (7, 27, 25, 6, 1, 48, 34, 26)
LOOKS_FILE = "looks.json"
_MOST = len(OPENING_SEEDS)


@dataclass(frozen=True)
class OpeningLook:
    """A sample that is drawn ahead.

    Attributes:
        map: file name of an example label map.
        seed: 0 to ``MAX_SEED``.
    """

    map: str
    seed: int


def read_looks(source: str) -> list[OpeningLook]:
    """Return the looks that a model names; none if it has no ``looks.json``.

    Args:
        source: folder or Hub id of the model.

    Raises:
        ValueError: if there is one that cannot be used; the message says what is wrong with it.
        OSError: if it cannot be read.
    """
    path = find_extra(source, LOOKS_FILE)
    if path is None:
        return []
    what = f"{LOOKS_FILE} of {source}"
    entries = read_json(path, what)
    if not isinstance(entries, list) or not 1 <= len(entries) <= _MOST:
        raise ValueError(
            f"{what} must be a list of 1 to {_MOST} looks, "
            f'such as [{{"map": "example_01.png", "seed": 7}}]; it is {shown(entries)}'
        )
    return [_checked(entry, f"look {number} in {what}") for number, entry in enumerate(entries, start=1)]


def opening_looks(named: Sequence[OpeningLook], examples: Sequence[Path]) -> list[tuple[Path, int]]:
    """Return label maps with the seeds that are drawn on them.

    Args:
        named: those of the model. What is about other maps is left out, which the log says; if nothing is left, or
            nothing was named, the first maps have fixed seeds.
        examples: the maps that there are.
    """
    by_name = {path.name: path for path in examples}
    missing = sorted({look.map for look in named} - set(by_name))
    if missing and by_name:
        logging.getLogger(__name__).warning(
            "%s names %s, of which there are no example label maps", LOOKS_FILE, ", ".join(missing)
        )
    chosen = [(by_name[look.map], look.seed) for look in named if look.map in by_name]
    return chosen or list(zip(examples, OPENING_SEEDS, strict=False))


def _checked(entry: Any, what: str) -> OpeningLook:
    if not isinstance(entry, dict) or set(entry) != {"map", "seed"}:
        raise ValueError(f'{what} must have the keys "map" and "seed" and no others; it is {shown(entry)}')
    name, seed = entry["map"], entry["seed"]
    if not isinstance(name, str) or not name or Path(name).name != name:
        raise ValueError(
            f"the map of {what} must be the name of a file, without a folder; it is {shown(name)}"
        )
    if type(seed) is not int or not 0 <= seed <= MAX_SEED:
        raise ValueError(
            f"the seed of {what} must be a whole number from 0 to {MAX_SEED}; it is {shown(seed)}"
        )
    return OpeningLook(name, seed)
