"""The results file of evaluate.py: begun, gone on with, finished part by part."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from groupdnet_hub.io.atomic import atomic_write
from groupdnet_hub.runs.provenance import refuse_other_settings

_OTHERWISE = "choose another --output"


class ResultsFile:
    """``NAME.json``: settings, and for each part of the evaluation its own settings and, once done, its result.

    A part that measures image by image keeps what it has in ``NAME.parts``, a file for each image, until it is done.
    A file under its final name is whole, so that a killed run goes on where it was, on any number of processes.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.folder = self.path.with_suffix(".parts")
        self._content: dict[str, Any] = {}

    def open(self, settings: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Read what is there. Writes nothing.

        Args:
            settings: what all parts depend on.
            parts: the settings of each part that is asked for; a part that is done and not asked for stays.

        Raises:
            ValueError: for a file of other settings, or one that evaluate.py did not write.
        """
        self._content = {"settings": dict(settings), "parts": {}}
        if self.path.exists():
            try:
                before = json.loads(self.path.read_text(encoding="utf-8"))
                refuse_other_settings(before["settings"], settings, self.path, _OTHERWISE)
                for name, part in before["parts"].items():
                    if name in parts:
                        place = f"{name.replace('_', ' ')} of {self.path}"
                        refuse_other_settings(part["settings"], parts[name], place, _OTHERWISE)
                self._content = before
            except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
                raise ValueError(
                    f"{self.path} is no results file of evaluate.py: remove it, or {_OTHERWISE}"
                ) from None
        elif self.folder.exists():
            raise ValueError(f"{self.folder} is there without {self.path.name}: remove it, or {_OTHERWISE}")
        for name, part_settings in parts.items():
            self._content["parts"].setdefault(name, {"settings": dict(part_settings), "result": None})

    def begin(self, sources: Mapping[str, str]) -> None:
        """Write the settings; what a killed run left half written is removed.

        Args:
            sources: names of the model and the data, for readers; they are not compared.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in self.folder.glob("**/.*.partial"):
            leftover.unlink()
        self._content = {**sources, **self._content}
        self._write()

    def result(self, part: str) -> Any:
        """What was found; ``None`` if the part is not done."""
        return self._content["parts"].get(part, {}).get("result")

    def finish(self, part: str, result: Any) -> None:
        """Record the result of a part; its rows go."""
        self._content["parts"][part]["result"] = result
        self._write()
        shutil.rmtree(self.folder / part, ignore_errors=True)
        if self.folder.exists() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def rows(self, part: str) -> dict[int, np.ndarray]:
        """The images of an unfinished part that are done, by their number."""
        return {
            int(file.stem): np.array(json.loads(file.read_text(encoding="utf-8")))
            for file in sorted((self.folder / part).glob("[0-9]*.json"))
        }

    def write_row(self, part: str, index: int, row: np.ndarray) -> None:
        """Record one image of an unfinished part."""
        folder = self.folder / part
        folder.mkdir(parents=True, exist_ok=True)
        _write_json(
            folder / f"{index:06d}.json", row.tolist()
        )  # floats are written so that they come back exactly

    def _write(self) -> None:
        _write_json(self.path, self._content, indent=1)


def _write_json(path: Path, content: Any, indent: int | None = None) -> None:
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(content, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")
