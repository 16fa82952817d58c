"""The tables of reproduce.py: our values beside the paper's, and differences in the order of systems."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groupdnet_hub.baselines import SYSTEMS
from groupdnet_hub.evaluation.paper_tables import COLUMNS, PAPER_TABLES
from groupdnet_hub.evaluation.reproduce_plan import Entry, study_row_name
from groupdnet_hub.evaluation.sampled.report import distance_text
from groupdnet_hub.metrics.estimates import NONE

# Metrics that evaluate.py measures together, by part.
_PARTS = {"classes": ("mcsd", "mocd"), "segmentation": ("miou",)}
_STUDY_COLUMNS = ("fid", "mcsd", "mocd", "lpips", "miou", "params")


@dataclass(frozen=True)
class Measured:
    """The results of one trained system.

    Attributes:
        values: values by column of ``COLUMNS``.
        masked: mCSD and mOCD of masked pictures, which depend on no pixel outside a region.
        features: name of the Frechet distance, with the number of pictures.
        kid: name and value of the kernel distance of the same features; None where none was measured.
        metrics: names of evaluate.py's metrics that are finished.
        run: record of its training: flags, commit, machine, seconds.
    """

    values: Mapping[str, float]
    masked: tuple[float, float] | None
    features: str
    kid: tuple[str, str] | None
    metrics: frozenset[str]
    run: Mapping[str, Any]


def measured(folder: Path) -> Measured | None:
    """Return the results in the folder of a system; None if there are none yet."""
    try:
        parts = json.loads((folder / "results.json").read_text(encoding="utf-8"))["parts"]
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    results = {name: part["result"] for name, part in parts.items() if part["result"] is not None}
    values: dict[str, float] = {}
    masked: tuple[float, float] | None = None
    features, kid = "Frechet distance", None
    if "classes" in results:
        for key in ("mcsd", "mocd"):
            values[key] = results["classes"]["image_mean"][key]["value"]
        csd, ocd = (results["classes"]["masked"][key]["value"] for key in ("mcsd", "mocd"))
        masked = csd, ocd
    if "lpips" in results:
        values["lpips"] = results["lpips"]["lpips"]["value"]
    for part in ("frechet", "fid"):
        if part in results:
            values["fid"] = results[part]["value"]
            features = f"{results[part]['name']}, n = {results[part]['images']:,}"
            beside = results[part].get("kid")  # results of earlier versions have none
            kid = (beside["name"], distance_text(beside)) if beside else None
    if "segmentation" in results:
        values["miou"] = 100 * results["segmentation"]["miou"]["value"]
        values["accuracy"] = 100 * results["segmentation"]["pixel_accuracy"]["value"]
    if "fps" in results:
        values["fps"] = results["fps"]["fps"]
    if "params" in results:
        values["params"] = results["params"] / 1e6
    done = {metric for name in results for metric in _PARTS.get(name, (name,))}
    return Measured(values, masked, features, kid, frozenset(done), run)


def system_table(table: int, found: Mapping[Entry, Measured], about: Mapping[str, Any]) -> str:
    """Return Markdown: a table of the paper as measured here, each value with the paper's in brackets.

    Args:
        table: number of the table.
        found: results of the systems.
        about: facts about the run.
    """
    paper = PAPER_TABLES[table]
    columns = [key for key in COLUMNS if any(key in row for row in paper.values())]
    names = {entry.name: SYSTEMS[entry.system].ablation or entry.system for entry in found}
    rows = []
    for entry, result in found.items():
        theirs = paper[entry.name]
        rows.append(
            [names[entry.name]] + [_beside(key, result.values.get(key), theirs.get(key)) for key in columns]
        )
        rows[-1] += [*_ratios(result), *_kid(result, found)]
    titles = ["Model", *(_title(key, found) for key in columns), "mCSD / mOCD", "the same, masked"]
    titles += _kid_title(found)
    ours = {entry.name: result.values for entry, result in found.items()}
    order = [_order(key, ours, paper, names) for key in columns if key in ("fid", "mcsd", "mocd", "lpips")]
    checks = _checks({entry.name: result for entry, result in found.items()})
    head = f"## Table {table}, {about['scale']} scale\n\nOurs, and in brackets the paper's.\n"
    notes = [*checks, *(line for line in order if line)]
    return "\n".join([head, _table(titles, rows), *_bullets(notes), _how(found, about)])


def study_table(found: Mapping[Entry, Measured], about: Mapping[str, Any]) -> str:
    """Return Markdown: layouts of groups and orders of classes.

    Args:
        found: results of the systems.
        about: facts about the run.
    """
    columns = [key for key in _STUDY_COLUMNS if any(key in result.values for result in found.values())]
    rows = [
        [
            study_row_name(entry),
            *(_value(key, result.values.get(key)) for key in columns),
            *_ratios(result),
            *_kid(result, found),
        ]
        for entry, result in found.items()
    ]
    titles = [
        "Schedule and order",
        *(_title(key, found) for key in columns),
        "mCSD / mOCD",
        "the same, masked",
        *_kid_title(found),
    ]
    head = f"## Schedules of groups and orders of classes, {about['scale']} scale\n"
    groups = [f"{study_row_name(entry)}: `{' '.join(entry.flags) or 'as Table 4'}`" for entry in found]
    return "\n".join([head, _table(titles, rows), *_bullets(groups), _how(found, about)])


def _title(key: str, found: Mapping[Entry, Measured]) -> str:
    name, arrow, _ = COLUMNS[key]
    if key == "fid" and found:
        features = next(iter(found.values())).features
        name = features if features.startswith(name) else f"{features} ({name})"
    return f"{name} {arrow}"


def _value(key: str, value: float | None) -> str:
    return "-" if value is None else f"{value:.{COLUMNS[key][2]}f}"


def _beside(key: str, ours: float | None, theirs: float | None) -> str:
    return _value(key, ours) if theirs is None else f"{_value(key, ours)} ({_value(key, theirs)})"


def _ratio(pair: Sequence[float] | None) -> float | None:
    return None if pair is None or not pair[1] else pair[0] / pair[1]


def _plain_ratio(result: Measured) -> float | None:
    if "mocd" not in result.values:
        return None
    return _ratio((result.values["mcsd"], result.values["mocd"]))


def _ratios(result: Measured) -> list[str]:
    ratios = (_plain_ratio(result), _ratio(result.masked))
    return ["-" if ratio is None else f"{ratio:.2f}" for ratio in ratios]


def _kid_title(found: Mapping[Entry, Measured]) -> list[str]:
    """Return the title of a last column of kernel distances, which the paper lacks; empty where there are none."""
    names = {result.kid[0] for result in found.values() if result.kid}
    return [f"{min(names)} ↓"] if names else []


def _kid(result: Measured, found: Mapping[Entry, Measured]) -> list[str]:
    return [result.kid[1] if result.kid else NONE] if _kid_title(found) else []


def _checks(found: Mapping[str, Measured]) -> list[str]:
    """Return sentences about the two findings of Table 1 that a small scale should show too."""
    lines = []
    if {"GroupDNet", "VSPADE"} <= set(found):
        for what, ratio in (("", _plain_ratio), (" of masked pictures", lambda r: _ratio(r.masked))):
            one, other = ratio(found["GroupDNet"]), ratio(found["VSPADE"])
            if one is not None and other:
                lines.append(
                    f"GroupDNet's mCSD / mOCD{what} is {one / other:.1f} times VSPADE's (paper: 48.5 times)."
                )
    if {"GroupEnc", "GroupDec"} <= set(found):
        enc, dec = (found[name].values.get("mocd") for name in ("GroupEnc", "GroupDec"))
        if enc is not None and dec is not None:
            verdict = "lower" if enc < dec else "not lower"
            lines.append(
                f"GroupEnc's mOCD is {enc:.4f}, {verdict} than GroupDec's {dec:.4f} (paper: 0.0065 and 0.0257)."
            )
    return lines


def _order(
    key: str,
    ours: Mapping[str, Mapping[str, float]],
    paper: Mapping[str, Mapping[str, float]],
    names: Mapping[str, str],
) -> str:
    """Return a sentence about the pairs of systems that are not in the paper's order."""
    both = [name for name in ours if key in ours[name] and key in paper[name]]
    swapped, count = [], 0
    for one, other in itertools.combinations(both, 2):
        theirs = paper[one][key] - paper[other][key]
        if theirs:
            count += 1
            if (ours[one][key] - ours[other][key]) * theirs <= 0:
                swapped.append(f"{names[one]} and {names[other]}")
    if not count:
        return ""
    line = f"{COLUMNS[key][0]}: {count - len(swapped)} of {count} pairs of systems are in the paper's order"
    return f"{line}; not so {', '.join(swapped)}." if swapped else f"{line}."


def _how(found: Mapping[Entry, Measured], about: Mapping[str, Any]) -> str:
    """Return lines with command, commit, machine and budget."""
    commits = sorted({result.run["commit"] for result in found.values()})
    machines = sorted({result.run["machine"] for result in found.values()})
    minutes = sum(result.run["seconds"] for result in found.values()) / 60
    height, width = about["size"]
    return "\n".join(
        [
            f"- Command: `{about['command']}`",
            f"- Commit {', '.join(commits)}; {', '.join(machines)}; {minutes:.0f} minutes of training in all.",
            f"- Each system saw {about['budget']} of {height}x{width} in batches of {about['batch']} (seed "
            f"{about['seed']}, perceptual net {about['perceptual_net']}), trained with "
            f"`{' '.join(about['train'])}` and measured with `{' '.join(about['evaluate'])}`.",
            "",
        ]
    )


def _bullets(lines: Sequence[str]) -> list[str]:
    return [f"- {line}" for line in lines]


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
