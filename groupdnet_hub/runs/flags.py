"""What several scripts check of their command lines in the same way."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence


def parse_checked(
    parser: argparse.ArgumentParser,
    find_problem: Callable[[argparse.Namespace], str | None],
    argv: Sequence[str] | None,
) -> argparse.Namespace:
    """The flags; wrong ones end with a message and exit status 2."""
    args = parser.parse_args(argv)
    problem = find_problem(args)
    if problem:
        parser.error(problem)
    return args


def count_problem(args: argparse.Namespace, names: Iterable[str]) -> str | None:
    """The first of some flags that is given and below 1, in words."""
    for name in names:
        value = getattr(args, name)
        if value is not None and value < 1:
            return f"--{name} is {value}; it must be at least 1"
    return None


def read_ties(ties: Sequence[str] | str | None) -> tuple[tuple[str, ...], ...] | None:
    """``--prior_ties face+skin ...`` as names; None if it is not given."""
    if ties is None:
        return None
    return tuple(
        tuple(name.strip() for name in tie.split("+")) for tie in ([ties] if isinstance(ties, str) else ties)
    )


def seed_problem(args: argparse.Namespace) -> str | None:
    """A ``--seed`` that no generator takes, in words."""
    if not 0 <= args.seed < 2**63:
        return f"--seed is {args.seed}; it must be a whole number from 0 to 2**63 - 1"
    return None
