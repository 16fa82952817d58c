"""Settings of a command as frozen dataclasses: each field is a flag, its type, default, help and check in one place.

A command's settings are a subclass of :class:`Settings`. The fields of one subject, such as the data, stand in a class
of their own from which that subclass inherits, so that names stay flat::

    @dataclass(frozen=True, kw_only=True)
    class SheetConfig(Settings):
        \"\"\"Contact sheets.\"\"\"

        rows: int = option(4, "label maps on a sheet", check=at_least(1))


    settings = parse_settings(SheetConfig, prog="sheets.py", description="Draw contact sheets.")

:mod:`groupdnet_hub.runs.flags` reads them from a command line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from groupdnet_hub.data.listing import LISTING, data_folder_problem, split_problem

# From a flag's name, with its hyphens, and its value: what is wrong with it, or None.
Check = Callable[[str, Any], str | None]
# From a flag's name and the list that the command line gives: the field's value.
Read = Callable[[str, list[Any]], Any]
# How a resumed run's setting is compared with that of its checkpoint. ``same``: it changes what the run computes.
# ``file_name``: so does what the file holds, wherever it lies. ``network`` and ``data``: it says which network or which
# data, and these are compared themselves. ``free``: it may be another, for the results stay the same.
OnResume = Literal["same", "file_name", "network", "data", "free"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Checked settings of a command.

    Raises:
        ValueError: naming the first flag whose value cannot be, or that does not go with another.
    """

    def __post_init__(self) -> None:
        for one in fields(self):
            check, value = one.metadata.get("check"), getattr(self, one.name)
            problem = _not_finite(f"--{one.name}", value)
            if problem is None and check is not None and value is not None:
                problem = check(f"--{one.name}", value)
            if problem:
                raise ValueError(problem)
        self.check()

    def check(self) -> None:
        """Refuse fields that do not go together; a subclass checks its own after ``super().check()``.

        Raises:
            ValueError: naming the flags.
        """

    def refuse_given(self, names: Sequence[str], why: str, remedy: str = "") -> None:
        """Refuse fields that are not at their defaults, because they have no effect.

        Args:
            names: the fields.
            why: beside what they have none, such as ``without --use_ema``.
            remedy: what to do, if it is not just to leave them out.

        Raises:
            ValueError: naming all flags that were given.
        """
        default = {one.name: one.default for one in fields(self)}
        given = [
            f"--no-{name}" if getattr(self, name) is False else f"--{name}"
            for name in names
            if getattr(self, name) != default[name]
        ]
        if given:
            have, them = ("has", "it") if len(given) == 1 else ("have", "them")
            remedy = remedy or f"leave {them} out"
            raise ValueError(f"{', '.join(given)} {have} no effect {why}: {remedy}")


def option(
    default: Any = MISSING,
    help: str = "",
    *,
    check: Check | None = None,
    read: Read | None = None,
    shown: str | None = None,
    on_resume: OnResume = "same",
    secret: bool = False,
    **flag: Any,
) -> Any:
    """Return a dataclass field that is a flag of the command line too; the field's type says how the flag is read.

    ``bool`` makes a pair ``--name`` and ``--no-name``, a tuple takes several values, ``Literal`` has choices.

    Args:
        default: without one the flag is required.
        help: one line about it, without the default.
        check: what is refused besides values of another type; None is never checked.
        read: makes the field's value of a list of values, where a tuple of them is not what is wanted.
        shown: the default in the help text, where it is not the value.
        on_resume: what a run that resumes from a checkpoint checks of it; only scripts with checkpoints look at it.
        secret: it is never printed or recorded, such as a token.
        flag: keywords of ``add_argument`` that differ from what the type says, such as ``metavar``.
    """
    metadata: dict[str, Any] = {"help": help, "check": check, "read": read, "shown": shown, "flag": flag}
    metadata |= {"on_resume": on_resume, "secret": secret}
    return field(default=default, metadata=metadata, repr=not secret)


def without_flag(default: Any) -> Any:
    """Return a dataclass field that the command line does not have."""
    return field(default=default)


# -- fields and checks that several commands share --------------------------------------------------------------


def seed_option(help: str) -> Any:
    """Return the field of a seed, from 0 to 2**63 - 1: what every generator takes."""
    whole = _must(lambda seed: 0 <= seed < 2**63, "it must be a whole number from 0 to 2**63 - 1")
    return option(0, help, check=whole)


def size_option(default: tuple[int, int] | None, help: str, *, least: int = 1, **flag: Any) -> Any:
    """Return the field of a height and a width in pixels; on the command line one number makes a square.

    Args:
        default: default (height, width); None for a flag that may be left out.
        help: one line about it, without the default.
        least: smallest side.
        **flag: keywords of ``add_argument``, such as ``metavar``.
    """
    takes = f"takes one side, or height and width, of {least} pixel{'s' if least > 1 else ''} or more"

    def check(name: str, size: Sequence[int]) -> str | None:
        given = " ".join(map(str, dict.fromkeys(size)))
        return None if min(size) >= least else f"{name} {takes}, not {given}"

    def read(name: str, sides: list[int]) -> tuple[int, int]:
        if len(sides) > 2:
            raise ValueError(f"{name} {takes}, not {' '.join(map(str, sides))}")
        return sides[0], sides[-1]

    shown = None if default is None else " ".join(map(str, dict.fromkeys(default)))
    return option(default, help, check=check, read=read, shown=shown, nargs="+", **flag)


def at_least(least: float) -> Check:
    """Return the check of a number with a lower limit."""
    return _must(
        lambda value: value >= least, f"it must be {'0 or more' if least == 0 else f'at least {least}'}"
    )


def in_range(low: float, high: float, text: str | None = None) -> Check:
    """Return the check of a number from ``low`` to ``high``; ``text`` says so where it says more."""
    return _must(
        lambda value: low <= value <= high, text or f"it must lie from {_plain(low)} to {_plain(high)}"
    )


def strictly_between(low: float, high: float) -> Check:
    """Return the check of a number between two limits that it must not reach."""
    return _must(lambda value: low < value < high, f"it must lie between {_plain(low)} and {_plain(high)}")


def below(high: float, text: str) -> Check:
    """Return the check of a number from 0 that must not reach a limit."""
    return _must(lambda value: 0 <= value < high, text)


def above(low: float) -> Check:
    """Return the check of a number that must not be at its lower limit."""
    return _must(lambda value: value > low, f"it must be above {_plain(low)}")


def existing_file(name: str, path: str | Path) -> str | None:
    """Check that a file is there."""
    return None if Path(path).is_file() else f"{name}: there is no file {path}"


def path_if_there(name: str, value: str) -> str | None:
    """Check nothing: marks what is the path of something if that exists, and else is not one, or not yet."""
    return None


def existing_folder(name: str, path: str | Path) -> str | None:
    """Check that a folder is there."""
    return None if Path(path).is_dir() else f"{name}: there is no folder {path}"


def existing_folders(name: str, paths: Sequence[str | Path]) -> str | None:
    """Check that several folders are there."""
    return next(filter(None, (existing_folder(name, path) for path in paths)), None)


def refuse_other_folders(flags: str, folder: str | Path, split: str) -> None:
    """Refuse a folder that is not a data set with a split of this name.

    Args:
        flags: flags that name them.
        folder: folder of the data set.
        split: name of the split.

    Raises:
        ValueError: saying what to name instead, such as the folder around a split.
    """
    root = Path(folder)
    problem = data_folder_problem(root, split)
    if problem is not None:
        raise ValueError(f"{flags}: there is no {LISTING} in {root / split}: {problem}")
    problem = split_problem(root / split)
    if problem is not None:
        raise ValueError(f"{flags}: {problem}")


def _not_finite(name: str, value: Any) -> str | None:
    for one in value if isinstance(value, tuple) else (value,):
        if isinstance(one, float) and not math.isfinite(one):
            return f"{name} is {one}; it must be a finite number"
    return None


def _must(holds: Callable[[Any], bool], text: str) -> Check:
    return lambda name, value: None if holds(value) else f"{name} is {value}; {text}"


def _plain(value: float) -> str:
    return f"{value:g}"
