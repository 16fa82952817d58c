"""Configurations as JSON files: round trips are exact, and every unknown or missing key is an error."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from groupdnet_hub.config.cost import Cost
from groupdnet_hub.io.strict_json import parse_json, read_short_text, shown

# Increased when an older program would misread the file; a file without a version is of version 1.
FORMAT_VERSION = 1

ConfigT = TypeVar("ConfigT", bound="JSONConfig")


class JSONConfig:
    """Base of the frozen configurations of all systems, dataclasses with a ``format_version``.

    Attributes:
        system_key: value of the key ``system``, which distinguishes the files of the systems; None for a GroupDNet,
            whose file lacks the key.
        image_size: (height, width) of the pictures.
    """

    system_key: ClassVar[str | None] = None
    image_size: tuple[int, int]

    @property
    def separate_convolutions(self) -> int:
        """Lower bound of the number of convolutions that the model has per class (MulNet); 0 for most systems."""
        return 0

    @property
    def cost(self) -> Cost:
        """What the networks cost: arithmetic alone, so that a stranger's file is judged before anything is made."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration in plain JSON types; :meth:`from_dict` is the inverse."""
        named = {} if self.system_key is None else {"system": self.system_key}
        values = named | dataclasses.asdict(self)  # type: ignore[call-overload]
        if not values.get("ignore"):
            values.pop("ignore", None)  # few have it, and older programs refuse keys that they do not know
        return json.loads(json.dumps(values))

    @classmethod
    def from_dict(cls: type[ConfigT], values: dict[str, Any]) -> ConfigT:
        """Build a configuration from what :meth:`to_dict` returns.

        Raises:
            ValueError: for another system or format version, an unknown or missing key, or a value that cannot work.
        """
        if not isinstance(values, dict):
            raise ValueError(f"a configuration is a JSON object, not {type(values).__name__}")
        values = dict(values)
        system = values.pop("system", None)
        if system != cls.system_key:
            found = system if isinstance(system, str) and len(system) < 40 else shown(system)
            raise ValueError(
                f"this is the configuration of a {'GroupDNet' if system is None else found}, not of a "
                f"{cls.system_key or 'GroupDNet'}: groupdnet_hub.load_system loads either"
            )
        check_format_version(values.get("format_version", 1))
        known = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - set(known))
        if unknown:
            more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
            raise ValueError(f"unknown configuration keys: {', '.join(map(shown, unknown[:5]))}{more}")
        missing = sorted(
            name
            for name, field in known.items()
            if field.default is dataclasses.MISSING and name not in values
        )
        if missing:
            raise ValueError(f"configuration keys are missing: {', '.join(map(repr, missing))}")
        return cls(**cls._fields_from_json(values))

    @classmethod
    def _fields_from_json(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Return fields of known names as the constructor takes them."""
        return values

    def to_json(self) -> str:
        """Return :meth:`to_dict` as indented JSON text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_json(cls: type[ConfigT], text: str) -> ConfigT:
        """Build a configuration from the text of :meth:`to_json`.

        Raises:
            ValueError: as :meth:`from_dict`, and for text that is not JSON or repeats a key.
        """
        return cls.from_dict(parse_json(text, "the configuration"))

    @classmethod
    def from_file(cls: type[ConfigT], path: str | os.PathLike[str]) -> ConfigT:
        """Read a ``config.json``.

        Raises:
            ValueError: as :meth:`from_json`, and for a file that is missing, longer than 4 MiB or not UTF-8.
        """
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"there is no file {path}")
        return cls.from_json(read_short_text(path, path.name))

    def replace(self: ConfigT, **fields: Any) -> ConfigT:
        """Return a validated copy with some fields changed."""
        return dataclasses.replace(self, **fields)  # type: ignore[type-var]


def check_format_version(version: Any) -> None:
    """Refuse a file of a newer version, or of an invalid one.

    Raises:
        ValueError: for anything but an integer from 1 to ``FORMAT_VERSION``.
    """
    if type(version) is int and version > FORMAT_VERSION:
        raise ValueError(
            f"format_version is {shown(version)}: the model was saved by a newer groupdnet_hub, and this one reads up "
            f"to {FORMAT_VERSION}. Upgrade it: pip install --upgrade groupdnet-hub"
        )
    if type(version) is not int or version < 1:
        raise ValueError(
            f"format_version is {shown(version)}; it must be a whole number, at most {FORMAT_VERSION}"
        )
