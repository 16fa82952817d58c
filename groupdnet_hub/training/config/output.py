"""Settings of what a run writes: checkpoints, sample grids, logs and the final model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from groupdnet_hub.runs.settings import Settings, at_least, existing_folder, option


def _checkpoint(name: str, folder: str) -> str | None:
    return None if folder == "latest" else existing_folder(name, folder)


@dataclass(frozen=True, kw_only=True)
class OutputSettings(Settings):
    """Checkpoints, samples, logs and the final model."""

    output_dir: str = option("runs/groupdnet", "where checkpoints, samples and the final model go")
    checkpointing_steps: int = option(500, "steps between checkpoints", check=at_least(1))
    checkpoints_total_limit: int | None = option(
        None, "keep at most this many checkpoints", check=at_least(1)
    )
    resume_from_checkpoint: str | None = option(
        None, "'latest', or the path of a checkpoint folder", check=_checkpoint
    )
    validation_steps: int = option(500, "steps between sample grids", check=at_least(1))
    logging_steps: int = option(20, "steps between logged losses", check=at_least(1))
    report_to: str = option("tensorboard", "tracker(s) known to accelerate, comma-separated, or 'none'")
    push_to_hub: bool = option(False, "upload the final model")
    hub_model_id: str | None = option(None, "its name on the Hub, user/name")
    hub_private: bool = option(False, "make that repository private")

    @property
    def output_path(self) -> Path:
        """``output_dir`` as a path."""
        return Path(self.output_dir)

    def check(self) -> None:
        """Refuse an upload without a name, and a name without an upload."""
        super().check()
        if self.push_to_hub != bool(self.hub_model_id):
            raise ValueError("--push_to_hub and --hub_model_id user/name belong together")
