"""What a run computes with, recorded in its checkpoints: one that resumes does so with the same, or says what changed.

``conditions.json`` of a checkpoint holds :class:`Conditions`. A :class:`Comparison` refuses other classes and another
network, and other settings and data unless ``--allow_changes`` names them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from groupdnet_hub import LabelSet
from groupdnet_hub.baselines import system_from_file, system_from_json
from groupdnet_hub.hub.files import CONFIG_FILE
from groupdnet_hub.io.strict_json import read_json, shown
from groupdnet_hub.runs.resuming import DATA, ResumeSettings, compared_values
from groupdnet_hub.training.state.checkpoints import Checkpoint

_FILE = "conditions.json"
# Fields of a network's configuration that are compared as classes and settings, or say nothing of it.
_NOT_SHAPE = ("class_names", "palette", "ignore", "format_version")
# Settings that are counted for all processes together.
_BATCH, _NORMS, _STEPS, _EPOCHS, _IGNORED = (
    "train_batch_size",
    "batch_norm_parts",
    "max_train_steps",
    "num_train_epochs",
    "ignore_id",
)
_SHOWN = 3


@dataclass(frozen=True)
class Conditions:
    """What a run computes with, in plain JSON types.

    Attributes:
        network: the model's configuration, with ``class_names`` and ``palette``.
        settings: settings that change the result, complete, by name.
        data: facts of the data, such as the number of items and a digest.
        steps: updates of the whole run.
        processes: processes that train together.
    """

    network: Mapping[str, Any]
    settings: Mapping[str, Any]
    data: Mapping[str, Any]
    steps: int
    processes: int

    def write(self, folder: Path) -> None:
        """Write them into the folder of a checkpoint."""
        (folder / _FILE).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Conditions | None:
        """Return those of a checkpoint; None for one of an earlier version, which has none.

        Raises:
            ValueError: for a file that is not a record of conditions.
        """
        path = folder / _FILE
        if not path.is_file():
            return None
        try:
            found = cls(**read_json(path, str(path)))
            parts = (found.network, found.settings, found.data)
            if (
                all(isinstance(part, dict) for part in parts)
                and type(found.steps) is type(found.processes) is int
                and all(isinstance(found.network.get(key), list) for key in ("class_names", "palette"))
            ):
                return found
        except TypeError:
            pass
        raise ValueError(f"{path} is not a record of what a run computes with: is it a file of ours?")


@dataclass(frozen=True)
class Change:
    """A setting that differs: its name, what the checkpoint has, and what this run has."""

    name: str
    before: str
    now: str


class Comparison:
    """Compares a run with the checkpoint that it resumes from, part by part, as soon as each is known.

    Args:
        checkpoint: the checkpoint; None for a new run, of which nothing is refused.
        settings: say which changes are allowed.
        tell: prints a line.
        model: name of the folder of the checkpoint's model, whose configuration is that of a system; None for others.
    """

    def __init__(
        self,
        checkpoint: Checkpoint | None,
        settings: ResumeSettings,
        tell: Callable[[str], Any],
        model: str | None = None,
    ) -> None:
        self.folder = None if checkpoint is None else checkpoint.folder
        self.allowed, self.tell = settings.allow_changes, tell
        self.saved = None if self.folder is None else Conditions.read(self.folder)
        self.network: Mapping[str, Any] | None = None if self.saved is None else self.saved.network
        if self.folder is not None and model is not None:
            config = self.folder / model / CONFIG_FILE
            if self.network is not None:  # completed by what later versions add
                self.network = system_from_json(json.dumps(self.network)).to_dict()
            elif config.is_file():
                self.network = system_from_file(config).to_dict()
        if self.folder is not None and self.saved is None:
            told = "only its classes and network are" if self.network else "nothing is"
            tell(f"{self.folder} has no record of its settings and data: {told} compared with this run")

    def check_classes(self, labels: LabelSet) -> None:
        """Refuse other classes.

        Raises:
            ValueError: naming those that differ.
        """
        if self.network is None:
            return
        before, now = list(self.network["class_names"]), list(labels.names)
        problems = [
            f"the checkpoint's class {shown(old)} is {shown(new)} now"
            for old, new in zip(before, now, strict=False)
            if old != new
        ]
        problems += [f"the checkpoint's class {shown(name)} is missing now" for name in before[len(now) :]]
        problems += [f"the class {shown(name)} is new" for name in now[len(before) :]]
        if not problems:
            colours = zip(now, self.network["palette"], labels.palette, strict=True)
            problems = [
                f"the colour of class {shown(name)} was {tuple(old)} and is {tuple(new)} now"
                for name, old, new in colours
                if tuple(old) != tuple(new)
            ]
        if problems:
            raise ValueError(
                f"{self.folder} was trained with other classes: {_some(problems)}; give the data and the classes.json "
                "that it was trained with, or start a new run from its model by --pretrained_model_name_or_path"
            )

    def check_network(self, network: Mapping[str, Any]) -> None:
        """Refuse another network.

        Args:
            network: configuration of this run's model.

        Raises:
            ValueError: naming what differs.
        """
        if self.network is None:
            return
        before, now = (
            {k: v for k, v in one.items() if k not in _NOT_SHAPE} for one in (self.network, network)
        )
        problems = [
            f"{name} was {shown(old)} and is {shown(new)} now" for name, old, new in differing(before, now)
        ]
        if problems:
            raise ValueError(
                f"{self.folder} holds another network: {_some(problems)}; give the flags that it was started with, or "
                "start a new run from its model by --pretrained_model_name_or_path"
            )

    def check_settings(self, settings: ResumeSettings, labels: LabelSet, processes: int) -> None:
        """Refuse other settings that change the result, unless they are allowed.

        Args:
            settings: complete settings of this run.
            labels: its label set.
            processes: processes that train together.

        Raises:
            ValueError: naming them, after a table of all.
        """
        if self.saved is None:
            if self.network is not None:
                ignored = [list(self.network.get("ignore", ())), _plain(labels.ignore)]
                self._refuse([Change(_IGNORED, *map(_text, ignored))] if ignored[0] != ignored[1] else [])
            return
        now = recorded_settings(settings, labels)
        # A setting that the checkpoint's version did not have was at its default there.
        before = {**_defaults(settings), **self.saved.settings}
        changes = _length_changes(before, now, self.saved.steps)
        counts = (self.saved.processes, processes)
        apart = [not values.get("sync_batch_norm", True) for values in (before, now)]
        for name in (*now, *(name for name in before if name not in now)):
            old, new = before.get(name), now.get(name)
            factors = counts if name == _BATCH else (1, 1)
            if name == _NORMS:  # parts of all processes together, unless these are one anyway
                factors = (counts[0] if apart[0] else 1, counts[1] if apart[1] else 1)
            if name in (_STEPS, _EPOCHS) or _times(old, factors[0]) == _times(new, factors[1]):
                continue
            changes.append(Change(name, _text(old, factors[0]), _text(new, factors[1])))
        self._refuse(changes)

    def check_data(self, data: Mapping[str, Any]) -> None:
        """Refuse other data, unless they are allowed.

        Raises:
            ValueError: after a table.
        """
        if self.saved is not None and dict(self.saved.data) != dict(data):
            self._refuse([Change(DATA, _data_text(self.saved.data), _data_text(data))])

    def _refuse(self, changes: Sequence[Change]) -> None:
        if not changes:
            return
        refused = [change for change in changes if change.name not in self.allowed]
        if not refused:
            self.tell(f"resuming with what --allow_changes names:\n{table(changes)}")
            return
        self.tell(table(changes))
        told = "; ".join(f"{change.name} was {change.before} and is {change.now} now" for change in refused)
        raise ValueError(
            f"{self.folder} was trained otherwise: {told}. Give the same again, or resume with the change by "
            f"--allow_changes {' '.join(dict.fromkeys((*self.allowed, *(change.name for change in refused))))}"
        )


def recorded_settings(settings: ResumeSettings, labels: LabelSet) -> dict[str, Any]:
    """Return the settings that are compared, in plain JSON types; ``ignore_id`` with what ``classes.json`` ignores."""
    return {**compared_values(settings), _IGNORED: _plain(labels.ignore)}


def _defaults(settings: ResumeSettings) -> dict[str, Any]:
    values = {name: getattr(type(settings), name, None) for name in compared_values(settings)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def table(changes: Sequence[Change], before: str = "checkpoint") -> str:
    """Return changes as a table; ``before`` is what had the values before."""
    rows = [("setting", before, "now"), *((one.name, one.before, one.now) for one in changes)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join(cell.ljust(n) for cell, n in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _length_changes(before: Mapping[str, Any], now: Mapping[str, Any], steps: int) -> list[Change]:
    """Compare the number of steps, which is told as such or follows from passes over the data."""
    wanted = now.get(_STEPS)
    epochs = [f"{values.get(_EPOCHS)} epochs" for values in (before, now)]
    if wanted is not None:
        return [] if wanted == steps else [Change(_STEPS, str(steps), str(wanted))]
    if before.get(_STEPS) is not None:
        return [Change(_STEPS, str(steps), epochs[1])]
    return [Change(_EPOCHS, *(text.split()[0] for text in epochs))] if epochs[0] != epochs[1] else []


def differing(before: Any, now: Any, name: str = "") -> list[tuple[str, Any, Any]]:
    """Return (name, before, now) of the innermost values that differ."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        found = []
        for key in {**before, **now}:
            found += differing(before.get(key), now.get(key), f"{name}.{key}" if name else str(key))
        return found
    both_lists = isinstance(before, list) and isinstance(now, list) and len(before) == len(now)
    if both_lists and any(isinstance(value, Mapping) for value in before):
        pairs = enumerate(zip(before, now, strict=True))
        return [one for i, (old, new) in pairs for one in differing(old, new, f"{name}[{i}]")]
    return [] if before == now else [(name, before, now)]


def _some(problems: Sequence[str]) -> str:
    more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return "; ".join(problems[:_SHOWN]) + more


def _plain(values: Sequence[Any]) -> list[Any]:
    return [list(value) if isinstance(value, tuple) else value for value in values]


def _times(value: Any, factor: int) -> Any:
    return value * factor if type(value) is int else value


def _text(value: Any, factor: int = 1) -> str:
    if isinstance(value, list):
        text = " ".join(map(str, value)) or "nothing"
    else:
        text = "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return text if factor == 1 else f"{text} x {factor} processes"


def _data_text(data: Mapping[str, Any]) -> str:
    """Return facts of data for people: of digests and revisions the beginning."""
    parts = []
    for name, value in data.items():
        if name == "items":
            parts.append(f"{value} items")
        elif name == "revisions":
            parts += [f"revision {str(one)[:8]}" for one in value]
        elif name == "digest":
            parts.append(f"digest {str(value)[:8]}")
        elif name != "version" or value != "None":
            parts.append(" ".join(map(str, value)) if isinstance(value, list) else str(value))
    return ", ".join(parts)
