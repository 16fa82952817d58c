"""What is asked of a verb of the pipeline: arguments for one picture, or lists with one for each."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

# One for each picture.
Many = list[Any] | tuple[Any, ...]
Seeds = int | Sequence[int] | None
Generators = torch.Generator | Sequence[torch.Generator] | None
# Where the codes of one picture come from.
Draw = int | torch.Generator

_HIGHEST_SEED = 2**63 - 1
_END = object()


@dataclass(frozen=True)
class Request:
    """The pictures that are asked for.

    Attributes:
        rows: the arguments of each picture, by name.
        many: whether a list is asked for, be it of one picture or none.
    """

    rows: list[dict[str, Any]]
    many: bool

    @classmethod
    def of(cls, **given: Any) -> Request:
        """Spread arguments over pictures: a list or a tuple has one for each, anything else is for all of them.

        Raises:
            ValueError: for lists of different lengths.
        """
        lengths = {name: len(value) for name, value in given.items() if isinstance(value, (list, tuple))}
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{length} of {_said(name)}" for name, length in lengths.items())
            raise ValueError(
                f"the lists have different lengths, {told}: give one for each picture, or one for all"
            )
        count = next(iter(lengths.values()), 1)
        rows = [
            {name: value[i] if name in lengths else value for name, value in given.items()}
            for i in range(count)
        ]
        return cls(rows, bool(lengths))


@contextmanager
def naming(place: int, count: int | None) -> Iterator[None]:
    """Say in a ValueError which of many pictures it is about.

    Args:
        place: number of the picture, from 0.
        count: number of pictures, where it is known.
    """
    try:
        yield
    except ValueError as error:
        of = "" if count is None else f" of {count}"
        raise ValueError(f"picture {place + 1}{of}: {error}") from None


def rows_of_stream(
    masks: Iterable[Any], draw: Any, instance: Iterable[Any] | None
) -> Iterator[dict[str, Any]]:
    """Yield the arguments of each picture, in step with the label maps.

    Args:
        masks: label maps.
        draw: what :func:`draws` returned.
        instance: instance maps, or None.

    Raises:
        ValueError: where seeds or instance maps end before the label maps, or after them.
    """
    lists = {"draw": draw if isinstance(draw, list) else None, "instance": instance}
    waiting = {name: iter(values) for name, values in lists.items() if values is not None}
    for place, mask in enumerate(masks):
        row = {"mask": mask, "draw": draw, "instance": None}
        for name, values in waiting.items():
            row[name] = next(values, _END)
            if row[name] is _END:
                raise ValueError(
                    f"there are {place} of {_said(name)} and more of mask: give one for each picture"
                )
        yield row
    for name, values in waiting.items():
        if next(values, _END) is not _END:
            raise ValueError(f"there are more of {_said(name)} than of mask: give one for each picture")


def draws(seed: Any, generator: Any, *, default: int | None = None) -> Any:
    """Return where codes come from: one :data:`Draw`, or a list with one for each picture.

    Args:
        seed: seed, or one for each picture.
        generator: generator, which serves all pictures in turn, or one for each.
        default: seed where neither is given; None for a fresh one for each picture, which stays None here.

    Raises:
        ValueError: for both at once, and what is not a seed or a generator.
    """
    if generator is not None:
        if seed is not None:
            raise ValueError("seed and generator are both given: give one of them")
        several = isinstance(generator, (list, tuple))
        for one in generator if several else [generator]:
            if not isinstance(one, torch.Generator):
                raise ValueError(
                    f"generator is of type {type(one).__name__}; it must be a torch.Generator, or a list of them"
                )
        return list(generator) if several else generator
    if isinstance(seed, (np.ndarray, Tensor)) and seed.ndim == 1:
        seed = seed.tolist()
    if isinstance(seed, Sequence) and not isinstance(seed, str):
        return [checked_seed(one) for one in seed]
    return default if seed is None else checked_seed(seed)


def fresh_seed() -> int:
    """Return a new seed."""
    return secrets.randbelow(2**31)


def checked_seed(seed: Any) -> int:
    """Return a seed as a Python integer.

    Raises:
        ValueError: for anything but a whole number from 0 to 2**63 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed <= _HIGHEST_SEED:
        raise ValueError(f"seed is {seed!r}; it must be a whole number from 0 to 2**63 - 1")
    return int(seed)


def check_one_map(given: Any, name: str) -> None:
    """Refuse what holds several label maps and is not a list.

    Raises:
        ValueError: for a batch in one array, and for an iterator.
    """
    if isinstance(given, (np.ndarray, Tensor)):
        maps = given.ndim - (1 if given.shape[-1:] in ((3,), (4,)) else 0)
        if maps == 3:
            raise ValueError(
                f"{name} is one array {tuple(given.shape)} of several maps: give a list, list({name})"
            )
    elif isinstance(given, Iterable) and not isinstance(given, (str, bytes, list, tuple)):
        raise ValueError(
            f"{name} is of type {type(given).__name__}: give a list of them, or use stream, which takes any iterable"
        )


def _said(name: str) -> str:
    """Return what an argument is called in a message."""
    return "seed or generator" if name == "draw" else name
