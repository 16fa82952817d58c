"""Configurations as JSON files: exact round trips, every unknown or missing key an error."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, ClassVar, TypeVar

FORMAT_VERSION = 1

ConfigT = TypeVar("ConfigT", bound="JSONConfig")


class JSONConfig:
    """What every frozen configuration of a system can do; a dataclass with a ``format_version`` inherits it.

    Attributes:
        system_key: value of the file's key ``system``, which tells the systems' files apart; a GroupDNet's has none.
    """

    system_key: ClassVar[str | None] = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; :meth:`from_dict` gives back an equal configuration."""
        named = {} if self.system_key is None else {"system": self.system_key}
        return json.loads(json.dumps(named | dataclasses.asdict(self)))  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls: type[ConfigT], values: dict[str, Any]) -> ConfigT:
        """The reverse of :meth:`to_dict`.

        Raises:
            ValueError: for another system or format version, an unknown or missing key, or a value that cannot work.
        """
        if not isinstance(values, dict):
            raise ValueError(f"a configuration is a JSON object, not {type(values).__name__}")
        values = dict(values)
        system = values.pop("system", None)
        if system != cls.system_key:
            raise ValueError(
                f"this is the configuration of a {system or 'GroupDNet'}, not of a {cls.system_key or 'GroupDNet'}: "
                "groupdnet_hub.load_system loads either"
            )
        version = values.get("format_version")
        if version != FORMAT_VERSION:
            raise ValueError(
                f"format_version is {version!r}, and this version of groupdnet_hub reads {FORMAT_VERSION}: "
                "upgrade groupdnet_hub, or save the model again with the version that made it"
            )
        known = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"unknown configuration keys: {', '.join(map(repr, unknown))}")
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
        """Fields of known names as the constructor takes them."""
        return values

    def to_json(self) -> str:
        """:meth:`to_dict` as indented JSON text."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_json(cls: type[ConfigT], text: str) -> ConfigT:
        """The reverse of :meth:`to_json`."""
        try:
            values = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"the configuration is not valid JSON: {error}") from None
        return cls.from_dict(values)

    def replace(self: ConfigT, **fields: Any) -> ConfigT:
        """A validated copy with some fields changed."""
        return dataclasses.replace(self, **fields)  # type: ignore[type-var]
