"""A run that repeats another one from its ``train_config.yaml``: what differs is told, whatever it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from groupdnet_hub.io.strict_json import shown
from groupdnet_hub.runs.args_file import flag_fields
from groupdnet_hub.training.config import TrainConfig
from groupdnet_hub.training.reports.run_record import RunRecord
from groupdnet_hub.training.state.conditions import Change, differing, table

# Facts of a start on which the result depends. Of the date, the command and the system it does not.
_COMPARED = (
    *("data", "network", "weights"),
    *("processes", "threads", "device", "hardware", "step_form"),
    *("commit", "versions"),
)


def differences(before: RunRecord, flags: Mapping[str, Any], facts: Mapping[str, Any]) -> list[Change]:
    """Return in what a run differs from one that it repeats, where the result depends on it.

    Settings that say which data and network there are, and from which model they start, are compared by these
    themselves: folders may have been moved.

    Args:
        before: the run that is repeated, as it was first started.
        flags: flags of the new run.
        facts: what it starts with.
    """
    first = before.starts[0]
    pairs = []
    for name, how in _effective_flags().items():
        if name not in before.flags:  # it is newer than that run
            continue
        values = [before.flags[name], flags[name]]
        if how == "file_name":
            values = [None if value is None else Path(str(value)).name for value in values]
        pairs.append((name, *values))
    found = [pair for pair in pairs if pair[1] != pair[2]]
    for name in _COMPARED:
        found += differing(first.get(name), facts.get(name), name)
    return [Change(name, _text(old), _text(new)) for name, old, new in found]


def report(before: RunRecord, changes: list[Change], source: str) -> str:
    """Return what a person is told of a run that repeats another one.

    Args:
        before: the run that is repeated.
        changes: in what the new one differs from its first start.
        source: file of that run.
    """
    lines = []
    if changes:
        lines += [table(changes, source), f"repeats {source}, but for this: the result may be another"]
    else:
        lines.append(
            f"repeats {source}: settings, data, starting weights, versions, hardware and processes are the same"
        )
    first = before.starts[0]
    if first["step"]:
        place = first.get("checkpoint", "a checkpoint")
        lines.append(f"that run started at step {first['step']}, from {place}, and this one starts at step 0")
    for start in before.starts[1:]:
        others = [one for name in _COMPARED for one in differing(first.get(name), start.get(name), name)]
        changed = [name for name in start.get("changed", ()) if name in _effective_flags()]
        names = [*changed, *(name for name, _, _ in others)]
        if names:
            lines.append(
                f"that run was resumed at step {start['step']} with other values of {', '.join(names)}: they are not "
                "repeated"
            )
    return "\n".join(lines)


def _effective_flags() -> dict[str, str]:
    """Return how the flags that change the result by themselves are compared, by name."""
    found = {one.name: one.metadata["on_resume"] for one in flag_fields(TrainConfig)}
    return {name: how for name, how in found.items() if how in ("same", "file_name")}


def _text(value: Any) -> str:
    """Return a value for people, of a digest the beginning."""
    if value is None:
        return "none"
    if isinstance(value, str):
        return value[:8] if len(value) == 64 else value
    return shown(value)
