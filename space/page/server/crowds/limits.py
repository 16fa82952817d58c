"""How much of the page one address may have, and all of them together: settings of whoever runs it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

_PREFIX = "GROUPDNET_"


def _setting(default: int, least: int) -> int:
    return field(default=default, metadata={"least": least})


@dataclass(frozen=True)
class Limits:
    """The limits. An address may be a room of 30 people behind one router, which the defaults leave alone.

    Attributes:
        proxies: how many proxies stand in front of the page, each of which notes in ``X-Forwarded-For`` whom it serves.
            Of 0, that header is what a stranger says, and is not read.
        sessions: that are kept at once.
        sessions_mib: what all of them hold, in MiB.
        sessions_per_address: that one address has at once.
        queue: calls that wait for their turn.
        queue_per_address: of them, those of one address.
        films_per_address: that one address has drawn at once.
        calls_per_minute: of one address, on average; a quarter of them may come at once. 0 for any number.
        uploads_mib_per_hour: of one address, on average; they may come at once. 0 for any size.
        requests_per_address: of one address that are open at once, streams of answers among them.

    Raises:
        ValueError: for a number below what the page needs.
    """

    proxies: int = _setting(0, least=0)
    sessions: int = _setting(1000, least=1)
    sessions_mib: int = _setting(1024, least=16)
    sessions_per_address: int = _setting(300, least=1)
    queue: int = _setting(64, least=1)
    queue_per_address: int = _setting(32, least=1)
    films_per_address: int = _setting(6, least=1)
    calls_per_minute: int = _setting(6000, least=0)
    uploads_mib_per_hour: int = _setting(2000, least=0)
    requests_per_address: int = _setting(400, least=8)

    def __post_init__(self) -> None:
        for one in fields(self):
            value, least = getattr(self, one.name), one.metadata["least"]
            if type(value) is not int or value < least:
                raise ValueError(
                    f"{variable(one.name)} is {value!r}; it must be a whole number from {least} on."
                )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Limits:
        """Return the limits that variables set, such as ``GROUPDNET_SESSIONS``; a Space stands behind one proxy.

        Raises:
            ValueError: for what is no whole number, and as the class.
        """
        given: dict[str, int] = {"proxies": 1} if environment.get("SPACE_ID") else {}
        for one in fields(cls):
            text = environment.get(variable(one.name), "").strip()
            if not text:
                continue
            wanted = f"a whole number, such as {one.default}"
            given[one.name] = whole_number(variable(one.name), text, wanted)
        return cls(**given)


def whole_number(variable: str, text: str, wanted: str, least: int = 0, most_digits: int = 9) -> int:
    """Return what an environment variable sets.

    Args:
        variable: its name.
        text: its value.
        wanted: what it must be, in messages.
        least: smallest number that it may be.
        most_digits: of the number.

    Raises:
        ValueError: for any other text.
    """
    if not text.isdecimal() or len(text) > most_digits or int(text) < least:
        raise ValueError(f"{variable} is {text[:40]!r}; it must be {wanted}.")
    return int(text)


def variable(name: str) -> str:
    """Return the environment variable of a limit."""
    return _PREFIX + name.upper()
