"""The results file of evaluate.py: started, resumed, and finished part by part."""

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
    """``NAME.json``: settings, and for each part of the evaluation its settings and, once finished, its result.

    A part that measures image by image has a file for each image in ``NAME.parts`` until it is finished. All files are
    written atomically, so that a killed run resumes where it was, on any number of processes.

    Args:
        path: path of ``NAME.json``.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.folder = self.path.with_suffix(".parts")
        self._content: dict[str, Any] = {}

    def open(self, settings: Mapping[str, Any], parts: Mapping[str, Mapping[str, Any]]) -> None:
        """Read the existing file, if there is one; nothing is written.

        Args:
            settings: settings of all parts.
            parts: settings of each requested part; other finished parts stay.

        Raises:
            ValueError: for a file with other settings, or one that evaluate.py did not write.
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
                    f"{self.path} is not a results file of evaluate.py: remove it, or {_OTHERWISE}"
                ) from None
        elif self.folder.exists():
            raise ValueError(f"{self.folder} exists without {self.path.name}: remove it, or {_OTHERWISE}")
        for name, part_settings in parts.items():
            self._content["parts"].setdefault(name, {"settings": dict(part_settings), "result": None})

    def begin(self, sources: Mapping[str, Any]) -> None:
        """Write the settings, and remove half-written files of a killed run.

        Args:
            sources: names of the model and the data, and what else readers are told; it is not compared.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in self.folder.glob("**/.*.partial"):
            leftover.unlink()
        self._content = {**sources, **self._content}
        self._write()

    def result(self, part: str) -> Any:
        """Return the result of a part; None if it is not finished."""
        return self._content["parts"].get(part, {}).get("result")

    def finish(self, part: str, result: Any) -> None:
        """Record the result of a part, and remove its rows."""
        self._content["parts"][part]["result"] = result
        self._write()
        shutil.rmtree(self.folder / part, ignore_errors=True)
        if self.folder.exists() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def rows(self, part: str) -> dict[int, np.ndarray]:
        """Return the rows of an unfinished part by image index."""
        return {
            int(file.stem): np.array(json.loads(file.read_text(encoding="utf-8")))
            for file in sorted((self.folder / part).glob("[0-9]*.json"))
        }

    def write_row(self, part: str, index: int, row: np.ndarray) -> None:
        """Record the row of one image of an unfinished part."""
        folder = self.folder / part
        folder.mkdir(parents=True, exist_ok=True)
        # JSON has the shortest decimal of a float that reads back exactly.
        _write_json(folder / f"{index:06d}.json", row.tolist())

    def _write(self) -> None:
        _write_json(self.path, self._content, indent=1)


def _write_json(path: Path, content: Any, indent: int | None = None) -> None:
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(content, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")
