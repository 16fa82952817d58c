"""Settings of scripts with checkpoints: where a run resumes, and what may have changed since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from groupdnet_hub.runs.settings import Settings, existing_folder, option

# What --allow_changes calls the data, which several flags name.
DATA = "data"


def _checkpoint(name: str, folder: str) -> str | None:
    return None if folder == "latest" else existing_folder(name, folder)


@dataclass(frozen=True, kw_only=True)
class ResumeSettings(Settings):
    """Runs that were stopped or are finished."""

    resume_from_checkpoint: str | None = option(
        None, "'latest', or the path of a checkpoint folder", check=_checkpoint, on_resume="free"
    )
    allow_changes: tuple[str, ...] = option(
        (),
        "settings, by their flags' names without dashes, and 'data', that may be others than those of the checkpoint "
        "that the run resumes from; by default none",
        metavar="NAME",
        on_resume="free",
    )
    overwrite_output_dir: bool = option(
        False,
        "start a new run where --output_dir holds one: its checkpoints, model, samples and logs are removed once "
        "training starts",
        on_resume="free",
    )

    def check(self) -> None:
        """Refuse changes of what is not resumed or not compared, and a run that is resumed and removed."""
        super().check()
        if self.allow_changes and not self.resume_from_checkpoint:
            raise ValueError("--allow_changes has no effect without --resume_from_checkpoint: leave it out")
        if self.overwrite_output_dir and self.resume_from_checkpoint:
            raise ValueError(
                "--overwrite_output_dir removes the run that --resume_from_checkpoint resumes: give one of them"
            )
        known = changeable(self)
        others = {one.name: one.metadata["on_resume"] for one in fields(self) if "flag" in one.metadata}
        why = {
            "network": "it says which network or classes the run has, and these stay",
            "data": f"say {DATA}, which stands for all flags that name them",
            "free": "it may change without being named",
        }
        for name in self.allow_changes:
            if name in others and name not in known:
                raise ValueError(f"--allow_changes does not take {name}: {why[others[name]]}")
            if name not in known:
                raise ValueError(f"--allow_changes: there is no setting {name}; it takes {', '.join(known)}")


def changeable(settings: Settings) -> tuple[str, ...]:
    """Return the names that ``--allow_changes`` takes."""
    flags = (
        one.name
        for one in fields(settings)
        if "flag" in one.metadata and one.metadata["on_resume"] in ("same", "file_name")
    )
    return (DATA, *sorted(flags))


def compared_values(settings: Settings) -> Mapping[str, Any]:
    """Return the settings that change what a run computes, in plain JSON types."""
    values = {}
    for one in fields(settings):
        how, value = one.metadata.get("on_resume", "same"), getattr(settings, one.name)
        if how == "file_name" and value is not None:
            value = Path(value).name
        if how in ("same", "file_name"):
            values[one.name] = list(value) if isinstance(value, tuple) else value
    return values
