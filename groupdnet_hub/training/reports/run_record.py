"""``OUTPUT_DIR/train_config.yaml``: every setting of a run as used, and what each of its starts had to do with.

``--args_file`` takes the file back and repeats the run; the section ``provenance`` is not for flags but for
:mod:`groupdnet_hub.training.reports.repeats`, which compares.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from groupdnet_hub.io.atomic import atomic_write
from groupdnet_hub.runs.args_file import PROVENANCE, flag_values, flags_text, read_args_file, yaml_text
from groupdnet_hub.training.config import ResolvedTrainConfig, TrainConfig

RECORD_FILE = "train_config.yaml"
# Flags of a start, not of the run: a repeated run is a new one, which removes nothing.
_OF_A_START = ("resume_from_checkpoint", "allow_changes", "overwrite_output_dir")
_HEAD = """\
# Every setting of this run as used. This repeats it:
#
#   accelerate launch --num_processes {processes} train/train.py --args_file {file} --output_dir OTHER
#
# Paths are absolute: give on the command line what lies elsewhere now. The section "provenance" holds no flags: it says
# what each start of the run had to do with. The digest of the data covers the names and sizes of its files.
"""


@dataclass(frozen=True)
class RunRecord:
    """What the file of a run says.

    Attributes:
        flags: values of all flags, by name, in plain YAML types.
        identity: a word that no other run has.
        starts: facts of each start, the first one first, with ``step``, the updates that were made before it; a later
            one has ``changed``, flags that were others then.
        repeats: which run this one repeats, and the names of what differs; None for none.
    """

    flags: Mapping[str, Any]
    identity: str
    starts: Sequence[Mapping[str, Any]]
    repeats: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, path: Path) -> RunRecord | None:
        """Return what a file of flags says of the run that it is from; None for one that a person wrote.

        Raises:
            ValueError: if it cannot be read, or holds something else.
        """
        flags = read_args_file(path)
        if PROVENANCE not in flags:
            return None
        section = flags.pop(PROVENANCE)
        if isinstance(section, dict):
            starts, identity, repeats = (section.get(name) for name in ("starts", "run", "repeats"))
            if (
                isinstance(starts, list)
                and starts
                and all(isinstance(start, dict) and type(start.get("step")) is int for start in starts)
                and isinstance(identity, str)
                and (repeats is None or isinstance(repeats, dict))
            ):
                return cls(flags, identity, starts, repeats)
        raise ValueError(
            f"{path}: its section {PROVENANCE} is not what a run writes: restore it, or take the section out"
        )

    def text(self, path: Path) -> str:
        """Return the file's text, for a file at ``path``."""
        section: dict[str, Any] = {"run": self.identity}
        if self.repeats is not None:
            section["repeats"] = self.repeats
        section["starts"] = list(self.starts)
        head = _HEAD.format(processes=self.starts[0].get("processes", 1), file=path.resolve())
        return f"{head}{flags_text(TrainConfig, self.flags)}\n{yaml_text({PROVENANCE: section})}"

    def write(self, path: Path) -> None:
        """Write the file, atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial:
            partial.write_text(self.text(path), encoding="utf-8")

    def resumed(self, flags: Mapping[str, Any], facts: Mapping[str, Any]) -> RunRecord:
        """Return the record with one more start, of a run that resumes with these flags."""
        changed = {
            name: value
            for name, value in flags.items()
            if name != "output_dir" and name in self.flags and value != self.flags[name]
        }
        return replace(self, starts=[*self.starts, {**facts, **({"changed": changed} if changed else {})}])


def recorded_flags(settings: ResolvedTrainConfig) -> dict[str, Any]:
    """Return the flags that repeat a run with these settings."""
    complete = {one.name: getattr(settings, one.name) for one in fields(TrainConfig)}
    left_open = inspect.get_annotations(ResolvedTrainConfig)
    values = complete | dict.fromkeys(left_open)
    # Not all that the system adds may be given, such as more parts of a batch than it has pictures.
    for name in left_open:
        with suppress(ValueError):
            TrainConfig(**values | {name: complete[name]})
            values[name] = complete[name]
    return flag_values(TrainConfig, TrainConfig(**values), unset=_OF_A_START)
