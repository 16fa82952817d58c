"""The figures of several pictures of each label map as people read them, each beside its value for photos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Cell(NamedTuple):
    """A figure of a model, and of photos."""

    value: str
    photos: str


def sampled_rows(results: Mapping[str, Any]) -> dict[str, Cell]:
    """By title, those that are done.

    Args:
        results: of the parts that are done.
    """
    rows: dict[str, Cell] = {}
    for part in ("kid", "kid_inception"):
        if results.get(part):
            found = results[part]
            rows[f"{found['name']} ↓"] = Cell(_distance(found), _distance(found["photos"]))
    return rows


def _distance(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "-"
    error = found["standard_error"]
    return f"{found['value']:.4f}" + ("" if error is None else f" ± {error:.4f}")
