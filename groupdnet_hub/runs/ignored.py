"""The flag of what stands for "unknown" in label maps: of training, evaluation, generation and preparation alike."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from groupdnet_hub.config.validation import Ignored
from groupdnet_hub.runs.settings import option

_ID, _COLOUR = re.compile(r"[0-9]{1,5}"), re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")
_LARGEST_ID = 65535


def ignore_option(help: str) -> Any:
    """Return the field ``ignore_id`` of settings, of type ``tuple[Ignored, ...]``; by default empty."""
    return option((), help, read=read_ignored, type=str, metavar="ID")


def read_ignored(flag: str, values: Sequence[str]) -> tuple[Ignored, ...]:
    """Return the ids and colours that a flag's values stand for, such as ``255`` and ``#e0e0c0``.

    Raises:
        ValueError: naming the flag, for a value that is neither.
    """
    return tuple(_read(flag, value) for value in values)


def _read(flag: str, value: str) -> Ignored:
    if _ID.fullmatch(value) and int(value) <= _LARGEST_ID:
        return int(value)
    colour = _COLOUR.fullmatch(value)
    if colour is None:
        raise ValueError(
            f"{flag} takes ids from 0 to {_LARGEST_ID} and colours such as '#e0e0c0', in quotation marks, not {value!r}"
        )
    red, green, blue = (int(part, 16) for part in colour.groups())
    return red, green, blue


def as_flag(values: Sequence[Ignored]) -> list[str]:
    """Return the flag with these values, for the command line of another script; empty without any."""
    words = [str(value) if isinstance(value, int) else "#" + bytes(value).hex() for value in values]
    return ["--ignore_id", *words] if words else []
