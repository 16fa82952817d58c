"""Command lines of :mod:`groupdnet_hub.runs.settings`: argparse is told what the fields say."""

from __future__ import annotations

import argparse
import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin, get_type_hints

from groupdnet_hub.runs.args_file import flag_fields, group_title, read_flags, title
from groupdnet_hub.runs.scripts import program
from groupdnet_hub.runs.settings import Settings

S = TypeVar("S", bound=Settings)


class FlagParser(argparse.ArgumentParser):
    """A parser whose errors are one line: the flag and what is wrong with it, not the usage of dozens of flags."""

    def error(self, message: str) -> NoReturn:
        """End with exit status 2."""
        self.exit(2, f"{self.prog}: {message.removeprefix('argument ')}; see {self.prog} --help\n")


def parse_settings(
    settings: type[S],
    argv: Sequence[str] | None = None,
    *,
    prog: str,
    description: str,
    args_file: bool = False,
    others: str | None = None,
) -> S:
    """Return the settings that a command line gives; wrong ones end with a message and exit status 2.

    Args:
        settings: the settings' class.
        argv: flags and their values; by default those of this process.
        prog: what usage and errors call the command.
        description: what it does, for its help text.
        args_file: whether there is a flag ``--args_file`` that names a file of flags. The command line wins over it.
        others: name of a field without a flag that takes flags of another command; without it they are refused.
    """
    # A shortened flag could be one of the other command.
    parser = new_parser(prog, description, allow_abbrev=others is None)
    flags = list(sys.argv[1:] if argv is None else argv)
    if args_file:
        text = "YAML or JSON file of these flags; the command line wins over it"
        parser.add_argument("--args_file", help=text)
        alone = FlagParser(prog=program(prog), add_help=False)
        alone.add_argument("--args_file")
        file = alone.parse_known_args(flags)[0].args_file
        if file:
            try:
                flags = read_flags(Path(file), settings) + flags  # of a flag given twice the last counts
            except ValueError as error:
                parser.error(str(error))
    add_flags(parser, settings)
    if others is None:
        return _made(parser, settings, vars(parser.parse_args(flags)))
    found, unknown = parser.parse_known_args(flags)
    return _made(parser, settings, {**vars(found), others: unknown})


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
        argv: the command line; by default that of this process.
        prog: what usage and errors call the command.
        description: what it does, for its help text.
        metavar: word for a subcommand in the help text.
    """
    parser = new_parser(prog, description)
    choices = parser.add_subparsers(dest="command", required=True, metavar=metavar)
    for name, settings in commands.items():
        text = title(settings)
        one = choices.add_parser(name, help=text, description=text, argument_default=argparse.SUPPRESS)
        add_flags(one, settings)
    found = parser.parse_args(argv)
    return _made(parser, commands[found.command], vars(found))


def refuse(prog: str, problem: str) -> NoReturn:
    """End as a wrong command line does: with a message and exit status 2."""
    FlagParser(prog=program(prog)).error(problem)


def new_parser(prog: str, description: str, *, allow_abbrev: bool = True) -> FlagParser:
    """Return a parser without flags, whose result has only what was given."""
    return FlagParser(
        prog=program(prog),
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter
        if "\n" in description
        else argparse.HelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=allow_abbrev,
    )


def add_flags(parser: argparse.ArgumentParser, settings: type[Settings]) -> None:
    """Add the flags of settings to a parser, in a group for each class that fields are from."""
    groups: dict[str, argparse._ArgumentGroup] = {}
    hints = get_type_hints(settings)
    for one in flag_fields(settings):
        group = group_title(settings, one.name)
        if group not in groups:
            groups[group] = parser.add_argument_group(group)
        keywords = _read_as(hints[one.name]) | one.metadata["flag"]
        groups[group].add_argument(
            f"--{one.name}", required=one.default is MISSING, help=_help(one), **keywords
        )


def _made(parser: argparse.ArgumentParser, settings: type[S], found: dict[str, Any]) -> S:
    """Return the settings of what a parser found, or end with a message."""
    values = {one.name: found[one.name] for one in fields(settings) if one.name in found}
    try:
        for one in fields(settings):
            value = values.get(one.name)
            if isinstance(value, list):
                read = one.metadata.get("read")
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
