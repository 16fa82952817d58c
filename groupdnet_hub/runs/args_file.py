"""Files of flags, which ``--args_file`` takes: how YAML and JSON are read, and settings written for another time."""

from __future__ import annotations

import inspect
import os
from collections.abc import Collection, Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from groupdnet_hub.io.strict_json import parse_json, read_short_text
from groupdnet_hub.runs.settings import (
    Settings,
    existing_file,
    existing_folder,
    existing_folders,
    path_if_there,
)

# The section of a file that says where it comes from, for people and for records; it is not a flag.
PROVENANCE = "provenance"

_PATH_CHECKS = (existing_file, existing_folder, existing_folders, path_if_there)


# -- reading ----------------------------------------------------------------------------------------------------


def read_flags(path: Path, settings: type[Settings]) -> list[str]:
    """Return a YAML or JSON file of flags as a command line; null leaves a flag out, as does the file's provenance.

    Raises:
        ValueError: if there is no such file, it cannot be read, or it holds what is not a flag.
    """
    types = get_type_hints(settings)
    hints = {one.name: types[one.name] for one in flag_fields(settings)}
    values = {name: value for name, value in read_args_file(path).items() if name != PROVENANCE}
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


def read_args_file(path: Path) -> dict[str, Any]:
    """Return what a YAML or JSON file of flags holds, its provenance too.

    Raises:
        ValueError: if there is no such file, it cannot be read, or it holds something else.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    text = read_short_text(path, str(path))
    if path.suffix.lower() == ".json":
        values = parse_json(text, str(path))
    else:
        import yaml

        try:
            values = yaml.safe_load(text)
            nodes = yaml.compose(text, Loader=yaml.SafeLoader)
        except Exception as error:  # its many parse errors, all told the same way
            raise ValueError(f"{path} cannot be read: {error}") from None
        names = [key.value for key, _ in nodes.value] if isinstance(values, dict) else []
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"{path} has {twice} more than once")
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold one object of flags")
    return values


def _word(value: Any) -> str:
    """Return a value of a file as it stands on a command line; YAML reads ``no`` as a boolean."""
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


# -- writing ----------------------------------------------------------------------------------------------------


def flag_fields(settings: type[Settings]) -> list[Field[Any]]:
    """Return the fields of settings that are flags."""
    return [one for one in fields(settings) if "flag" in one.metadata]


def secret_flags(settings: type[Settings]) -> list[str]:
    """Return the flags whose values, such as that of ``hub_token``, are nobody else's business."""
    return [one.name for one in flag_fields(settings) if one.metadata["secret"]]


def flag_values(kind: type[Settings], settings: Settings, *, unset: Collection[str] = ()) -> dict[str, Any]:
    """Return settings as a file of flags holds them, in plain YAML types.

    Paths that exist are absolute, so that the file may be used from any folder; secrets are None.

    Args:
        kind: class whose fields are the flags.
        settings: the settings, of this class or of one that is made of it.
        unset: flags that are at their defaults, whatever the settings say.
    """
    values, secrets = {}, secret_flags(kind)
    for one in flag_fields(kind):
        value = one.default if one.name in unset else getattr(settings, one.name)
        if one.metadata["check"] in _PATH_CHECKS:
            value = _absolute(value)
        values[one.name] = None if one.name in secrets else _plain(value)
    return values


def flags_text(kind: type[Settings], values: Mapping[str, Any]) -> str:
    """Return values of flags as YAML, under the titles that the help text has them under."""
    lines: list[str] = []
    above = None
    for one in flag_fields(kind):
        if above != (above := group_title(kind, one.name)):
            lines.append(f"\n# {above}\n")
        lines.append(yaml_text({one.name: values[one.name]}))
    return "".join(lines)


def yaml_text(values: Mapping[str, Any]) -> str:
    """Return a mapping as YAML: in its order, one entry a line, innermost lists and mappings on one line."""
    import yaml

    nested = any(isinstance(value, (list, dict)) for value in values.values())
    style = None if nested else False  # None has the innermost ones on one line, and that may be all of it
    return yaml.safe_dump(
        dict(values), sort_keys=False, default_flow_style=style, allow_unicode=True, width=float("inf")
    )


def group_title(kind: type[Settings], name: str) -> str:
    """Return the title of the group of a flag: the first line of the docstring of the class that it is from."""
    owner = next(owner for owner in kind.__mro__ if name in inspect.get_annotations(owner))
    return title(owner)


def title(settings: type[Settings]) -> str:
    """Return the first line of the docstring of settings, without the full stop."""
    return (settings.__doc__ or "").splitlines()[0].rstrip(".")


def _absolute(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_absolute, value))
    return os.path.abspath(value) if value is not None and os.path.exists(value) else value


def _plain(value: Any) -> Any:
    """Return a value as YAML has it; a colour as it is given, ``#rrggbb``."""
    if isinstance(value, (tuple, list)):
        return ["#" + bytes(item).hex() if isinstance(item, tuple) else _plain(item) for item in value]
    return str(value) if isinstance(value, os.PathLike) else value
