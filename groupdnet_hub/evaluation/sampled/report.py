"""The metrics of several pictures of each label map as people read them, each beside its value for photos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from groupdnet_hub.metrics.estimates import NONE, estimate_text


class Cell(NamedTuple):
    """A metric of a model, and of photos."""

    value: str
    photos: str


# Titles of ratios to the value of photos, which is 1.
_RATIOS = {
    "sharpness": "Sharpness, of photos' (1 is right)",
    "faces": "Faces found, of photos' ↑",
    "memory": "Memory: distance to training photos, of new photos' (1 is right)",
    "tone": "Tone: face and skin apart, of photos' (1 is right)",
}


def sampled_rows(results: Mapping[str, Any]) -> dict[str, Cell]:
    """Return the cells of the finished metrics by title.

    Args:
        results: results of the finished parts.
    """
    rows: dict[str, Cell] = {}
    for part in ("kid", "kid_inception"):
        if results.get(part):
            found = results[part]
            rows[f"{found['name']} ↓"] = Cell(distance_text(found), distance_text(found["photos"]))
    for part, title in _RATIOS.items():
        if results.get(part):
            rows[title] = Cell(estimate_text(results[part]["ratio"], 2), _photos(part, results[part]))
    pattern = results.get("fixed_pattern") or {"pattern": {}}
    for name in pattern["pattern"]:
        mean, single, photos = (
            estimate_text(pattern[kind][name], 1) for kind in ("pattern", "single", "photos")
        )
        rows[f"Fixed pattern of {name} ↓"] = Cell(f"{mean}; single {single}", f"single {photos}")
    if results.get("chroma"):
        found = results["chroma"]
        cell = Cell(*(f"{estimate_text(found[kind], 1, 100)} %" for kind in ("pictures", "photos")))
        rows["Garments of clear colour"] = cell
    return rows


def _photos(part: str, found: Mapping[str, Any]) -> str:
    """Return 1, and the value that it stands for."""
    if part == "sharpness":
        return f"1 ({found['photos']:.1f} of 255)"
    value = found["photos"]["value"]
    return f"1 ({100 * value:.0f} % of heads)" if part == "faces" else f"1 ({value:.3g})"


def distance_text(found: Mapping[str, Any] | None) -> str:
    """Return a kernel distance with its standard error; empty for none.

    Args:
        found: fields of :class:`groupdnet_hub.metrics.KernelDistance`.
    """
    if found is None:
        return NONE
    error = found["standard_error"]
    return f"{found['value']:.4f}" + ("" if error is None else f" ± {error:.4f}")
