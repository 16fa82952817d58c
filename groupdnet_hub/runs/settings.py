"""Settings of a command as frozen dataclasses: each field is a flag, its type, default, help and check in one place.

A command's settings are a subclass of :class:`Settings`. The fields of one subject, such as the data, stand in a class
of their own from which that subclass inherits, so that names stay flat::

    @dataclass(frozen=True, kw_only=True)
    class SheetConfig(Settings):
        \"\"\"Contact sheets.\"\"\"

        rows: int = option(4, "label maps on a sheet", check=at_least(1))


    settings = parse_settings(SheetConfig, prog="sheets.py", description="Draw contact sheets.")
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

# From a flag's name, with its hyphens, and its value: what is wrong with it, or None.
Check = Callable[[str, Any], str | None]
# From a flag's name and the list that the command line gives: the field's value.
Read = Callable[[str, list[Any]], Any]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Checked settings of a command.

    Raises:
        ValueError: naming the first flag whose value cannot be, or that does not go with another.
    """

    def __post_init__(self) -> None:
        for one in fields(self):
            check, value = one.metadata.get("check"), getattr(self, one.name)
            problem = None if check is None or value is None else check(f"--{one.name}", value)
            if problem:
                raise ValueError(problem)
        self.check()

    def check(self) -> None:
        """Refuse fields that do not go together; a subclass checks its own after ``super().check()``.

        Raises:
            ValueError: naming the flags.
        """


S = TypeVar("S", bound=Settings)


def option(
    default: Any = MISSING,
    help: str = "",
    *,
    check: Check | None = None,
    read: Read | None = None,
    shown: str | None = None,
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
        flag: keywords of ``add_argument`` that differ from what the type says, such as ``metavar``.
    """
    metadata = {"help": help, "check": check, "read": read, "shown": shown, "flag": flag}
    return field(default=default, metadata=metadata)


def without_flag(default: Any) -> Any:
    """Return a dataclass field that the command line does not have."""
    return field(default=default)


# -- fields and checks that several commands share --------------------------------------------------------------


def seed_option(help: str) -> Any:
    """Return the field of a seed, from 0 to 2**63 - 1: what every generator takes."""
    whole = _must(lambda seed: 0 <= seed < 2**63, "it must be a whole number from 0 to 2**63 - 1")
    return option(0, help, check=whole)


def size_option(
    default: tuple[int, int] | None, help: str, *, least: int = 1, most: int | None = None, **flag: Any
) -> Any:
    """Return the field of a height and a width in pixels; on the command line one number makes a square.

    Args:
        least, most: limits of a side.
    """
    limits = f"of {least} pixels or more" if most is None else f"each from {least} to {most} pixels"
    takes = f"takes one side, or height and width{', ' + limits if least > 1 or most else ''}"

    def check(name: str, size: Sequence[int]) -> str | None:
        fits = all(side >= least and (most is None or side <= most) for side in size)
        return None if fits else f"{name} is {' '.join(map(str, size))}; it {takes}"

    def read(name: str, sides: list[int]) -> tuple[int, int]:
        if len(sides) > 2:
            raise ValueError(f"{name} is {' '.join(map(str, sides))}; it {takes}")
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


def existing_folder(name: str, path: str | Path) -> str | None:
    """Check that a folder is there."""
    return None if Path(path).is_dir() else f"{name}: there is no folder {path}"


def existing_folders(name: str, paths: Sequence[str | Path]) -> str | None:
    """Check that several folders are there."""
    return next(filter(None, (existing_folder(name, path) for path in paths)), None)


def _must(holds: Callable[[Any], bool], text: str) -> Check:
    return lambda name, value: None if holds(value) else f"{name} is {value}; {text}"


def _plain(value: float) -> str:
    return f"{value:g}"


# -- from the command line --------------------------------------------------------------------------------------


def parse_settings(
    settings: type[S],
    argv: Sequence[str] | None = None,
    *,
    prog: str,
    description: str,
    args_file: bool = False,
) -> S:
    """Return the settings that a command line gives; wrong ones end with a message and exit status 2.

    Args:
        argv: flags and their values; by default those of this process.
        args_file: whether there is a flag ``--args_file`` that names a file of flags. The command line wins over it.
    """
    parser = new_parser(prog, description)
    flags = list(sys.argv[1:] if argv is None else argv)
    if args_file:
        text = "YAML or JSON file of these flags; the command line wins over it"
        parser.add_argument("--args_file", help=text)
        alone = argparse.ArgumentParser(prog=prog, add_help=False)
        alone.add_argument("--args_file")
        file = alone.parse_known_args(flags)[0].args_file
        if file:
            try:
                flags = read_flags(Path(file), settings) + flags  # of a flag given twice the last counts
            except ValueError as error:
                parser.error(str(error))
    add_flags(parser, settings)
    return _made(parser, settings, parser.parse_args(flags))


def parse_known_settings(
    settings: type[S], argv: Sequence[str] | None = None, *, prog: str, description: str
) -> tuple[S, list[str]]:
    """Return the settings that a command line gives, and the flags on it that are not theirs, for another command."""
    parser = new_parser(prog, description)
    add_flags(parser, settings)
    found, others = parser.parse_known_args(argv)
    return _made(parser, settings, found), others


def parse_command(
    commands: Mapping[str, type[S]],
    argv: Sequence[str] | None = None,
    *,
    prog: str,
    description: str,
    metavar: str,
) -> S:
    """Return the settings of the subcommand that a command line names; its help is the first line of their docstring.

    Args:
        commands: the settings' class of each subcommand.
        metavar: word for a subcommand in the help text.
    """
    parser = new_parser(prog, description)
    choices = parser.add_subparsers(dest="command", required=True, metavar=metavar)
    for name, settings in commands.items():
        text = _title(settings)
        one = choices.add_parser(name, help=text, description=text, argument_default=argparse.SUPPRESS)
        add_flags(one, settings)
    found = parser.parse_args(argv)
    settings = commands[found.command]
    del found.command
    return _made(parser, settings, found)


def new_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """Return a parser without flags, whose result has only what was given."""
    return argparse.ArgumentParser(
        prog=prog,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter
        if "\n" in description
        else argparse.HelpFormatter,
        argument_default=argparse.SUPPRESS,
    )


def add_flags(parser: argparse.ArgumentParser, settings: type[Settings]) -> None:
    """Add the flags of settings to a parser, in a group for each class that fields are from."""
    groups: dict[str, argparse._ArgumentGroup] = {}
    hints = get_type_hints(settings)
    for one in fields(settings):
        if "flag" not in one.metadata:
            continue
        title = _title(
            next(owner for owner in settings.__mro__ if one.name in inspect.get_annotations(owner))
        )
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        keywords = _read_as(hints[one.name]) | one.metadata["flag"]
        groups[title].add_argument(
            f"--{one.name}", required=one.default is MISSING, help=_help(one), **keywords
        )


def read_flags(path: Path, settings: type[Settings]) -> list[str]:
    """Return a YAML or JSON file of flags as a command line; null leaves a flag out.

    Raises:
        ValueError: if there is no such file, it cannot be read, or it holds what is not a flag.
    """
    hints = {
        one.name: get_type_hints(settings)[one.name] for one in fields(settings) if "flag" in one.metadata
    }
    values = _read_file(path)
    unknown = sorted(str(name) for name in values if name not in hints)
    if unknown:
        raise ValueError(f"{path} holds flags that do not exist: {', '.join(unknown)}")
    flags: list[str] = []
    for name, value in values.items():
        if value is None or value == []:
            continue
        if isinstance(value, dict):
            raise ValueError(f"{path} has {name}: {value}; a flag has one value or a list")
        if bool in (hints[name], *get_args(hints[name])):
            if not isinstance(value, bool):
                raise ValueError(f"{path} has {name}: {value}; it must be true or false")
            flags.append(f"--{name}" if value else f"--no-{name}")
        elif isinstance(value, list):
            flags += [f"--{name}", *map(_word, value)]
        else:
            flags.append(f"--{name}={_word(value)}")
    return flags


def _made(parser: argparse.ArgumentParser, settings: type[S], found: argparse.Namespace) -> S:
    """Return the settings of what a parser found, or end with a message."""
    values = {name: value for name, value in vars(found).items() if name != "args_file"}
    try:
        for one in fields(settings):
            value = values.get(one.name)
            if isinstance(value, list):
                read = one.metadata["read"]
                values[one.name] = tuple(value) if read is None else read(f"--{one.name}", value)
        return settings(**values)
    except ValueError as error:
        parser.error(str(error))


def _read_as(hint: Any) -> dict[str, Any]:
    """Return what ``add_argument`` is told of a field's type."""
    kinds = [kind for kind in _alternatives(hint) if kind is not type(None)]
    kind = next((kind for kind in kinds if get_origin(kind) is tuple), kinds[0])
    if kind is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(kind) is tuple:
        items = get_args(kind)
        return _read_as(items[0]) | {"nargs": "+" if items[-1] is Ellipsis else len(items)}
    if get_origin(kind) is Literal:
        return {"choices": get_args(kind)}
    return {"type": kind}


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _help(one: Field[Any]) -> str:
    text, shown = one.metadata["help"], one.metadata["shown"]
    if shown is None and one.default is not MISSING and one.default is not None:
        shown = " ".join(map(str, one.default)) if isinstance(one.default, tuple) else str(one.default)
    return f"{text} (default: {shown})".replace("%", "%%") if shown else text


def _title(settings: type[Settings]) -> str:
    return (settings.__doc__ or "").splitlines()[0].rstrip(".")


def _read_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    text = path.read_text(encoding="utf-8")
    try:
        if path.suffix == ".json":
            values = json.loads(text)
        else:
            import yaml

            values = yaml.safe_load(text)
    except Exception as error:  # two libraries' many parse errors, all told the same way
        raise ValueError(f"{path} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold one object of flags")
    return values


def _word(value: Any) -> str:
    """Return a value of a file as it stands on a command line; YAML reads ``no`` as a boolean."""
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
