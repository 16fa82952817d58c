"""Settings of what follows a run: TensorBoard, Weights & Biases and others, as accelerate knows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from groupdnet_hub.runs.settings import Settings, option

# It lies in the folder of the run.
_LOGS = "logs"


def _trackers(name: str, given: str) -> str | None:
    """Check that trackers are known and installed: accelerate leaves out those that are not, and says nothing."""
    if given == "none":
        return None
    from accelerate.tracking import get_available_trackers
    from accelerate.utils import LoggerType

    known = [str(one) for one in LoggerType]
    there = [str(one) for one in get_available_trackers()]
    for tracker in given.split(","):
        if tracker not in known:
            return f"{name}: there is no tracker {tracker!r}; these are known: {', '.join(known)}"
        if tracker == "all" and not there:
            return f"{name}: no tracker is installed: pip install tensorboard, or give --report_to none"
        if tracker not in ("all", *there):
            package = tracker.replace("_", "-")
            return f"{name}: {tracker} is not installed: pip install {package}, or leave it out"
    return None


def _folder_name(name: str, given: str) -> str | None:
    """Check that TensorBoard's files can lie in a folder of this name."""
    if given.strip() in ("", ".", "..") or any(sign in given for sign in "/\\\0"):
        return f"{name} is {given!r}; it names a folder, and so must not be empty, .., or hold a slash"
    return None


@dataclass(frozen=True, kw_only=True)
class TrackerSettings(Settings):
    """Trackers: curves, pictures and tables."""

    report_to: str = option(
        "tensorboard",
        "tensorboard, wandb or another tracker known to accelerate, several separated by commas; all that are "
        "installed; or none",
        on_resume="free",
        check=_trackers,
    )
    tracker_project_name: str = option(
        "groupdnet", "project that the run belongs to", on_resume="free", check=_folder_name
    )
    run_name: str | None = option(
        None,
        "name of the run in its project; by default that of the folder --output_dir",
        on_resume="free",
        check=_folder_name,
    )
    logging_dir: str = option(
        _LOGS,
        "where trackers that write files put them: in --output_dir, or wherever an absolute path says, which several "
        "runs may share",
        on_resume="free",
    )

    def check(self) -> None:
        """Refuse names for trackers that there are not."""
        super().check()
        if self.report_to == "none":
            named = ("tracker_project_name", "run_name", "logging_dir")
            self.refuse_given(named, "with --report_to none")

    def tensorboard_folder(self, output: Path) -> Path:
        """Return where TensorBoard's files go: ``LOGGING_DIR/PROJECT``, or a folder of the run's name in there.

        It has one if it was given a name, or if others may be there.
        """
        folder = output / self.logging_dir / self.tracker_project_name
        if self.run_name is None and not self.shares_logs:
            return folder
        return folder / self.name_of(output)

    @property
    def shares_logs(self) -> bool:
        """Whether other runs may have their logs in the same place."""
        return Path(self.logging_dir).is_absolute()

    def name_of(self, output: Path) -> str:
        """Return the name of the run whose folder is ``output``."""
        return self.run_name or output.resolve().name
