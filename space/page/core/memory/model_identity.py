"""Which model work belongs to: a name to read, and a digest by which no other model is taken for it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groupdnet_hub import GroupDNetConfig
from groupdnet_hub.hub.files import WEIGHTS_FILE, find_files
from groupdnet_hub.io.strict_json import shown

_BLOCK = 2**20


@dataclass(frozen=True)
class ModelIdentity:
    """A model, as saved work and pictures name it.

    Attributes:
        name: for people.
        digest: hexadecimal, of its classes, its sizes and its weights.
    """

    name: str
    digest: str

    @classmethod
    def of(cls, source: str, config: GroupDNetConfig) -> ModelIdentity:
        """Return the identity of a saved model, a folder or a Hub id.

        Raises:
            FileNotFoundError, ValueError, OSError: if its weights cannot be read.
        """
        height, width = config.image_size
        facts = [config.class_names, config.image_size, config.code_shape]
        digest = hashlib.sha256(json.dumps(facts).encode())
        with find_files(source)[WEIGHTS_FILE].open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        name = Path(source).name if Path(source).is_dir() else source
        return cls(f"{name}, {len(config.class_names)} classes, {height}x{width}", digest.hexdigest())

    def as_json(self) -> dict[str, str]:
        """Return what is written into files."""
        return {"name": self.name, "digest": self.digest}

    def check_is(self, written: Any, what: str) -> None:
        """Refuse what another model made.

        Args:
            written: what a file holds in the place of :meth:`as_json`; it may be anything.
            what: the file in messages, such as "this work".

        Raises:
            ValueError: for another model, with the names of both, and for anything that is no identity.
        """
        if not isinstance(written, dict) or not all(
            isinstance(written.get(key), str) for key in self.as_json()
        ):
            raise ValueError(
                f"{what} does not say which model made it: it is damaged, or was made by something else"
            )
        if written["digest"] != self.digest:
            theirs = f"{shown(written['name'])} ({shown(written['digest'][:8])[1:-1]})"
            raise ValueError(
                f"{what} is of another model, {theirs}; this page's model is {self.name!r} ({self.digest[:8]}): "
                "open it on the page of the model that made it"
            )
