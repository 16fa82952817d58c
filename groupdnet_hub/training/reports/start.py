"""What is told when a run starts, before its first step: its trackers get the settings."""

from __future__ import annotations

from groupdnet_hub.training.run import Run
from groupdnet_hub.training.state.checkpoints import Checkpoint


def start_reports(run: Run, checkpoint: Checkpoint | None) -> None:
    """Start the trackers of a run.

    Args:
        run: the run, of which no step was made and nothing was loaded.
        checkpoint: what it resumes from; None for a new run.

    Raises:
        ValueError: for a tracker that cannot start.
    """
    settings = run.settings
    run.trackers.start(settings, settings.output_path, "")
