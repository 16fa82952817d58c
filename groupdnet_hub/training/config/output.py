"""Settings of what a run writes: checkpoints, sample grids and the final model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from groupdnet_hub.runs.resuming import ResumeSettings
from groupdnet_hub.runs.settings import at_least, option, path_if_there


@dataclass(frozen=True, kw_only=True)
class OutputSettings(ResumeSettings):
    """Checkpoints, samples and the final model."""

    output_dir: str = option(
        "runs/groupdnet",
        "where checkpoints, samples and the final model go",
        on_resume="free",
        check=path_if_there,
    )
    checkpointing_steps: int = option(500, "steps between checkpoints", check=at_least(1), on_resume="free")
    checkpoints_total_limit: int | None = option(
        None, "keep at most this many checkpoints", check=at_least(1), on_resume="free"
    )
    validation_steps: int = option(500, "steps between sample grids", check=at_least(1), on_resume="free")
    logging_steps: int = option(20, "steps between logged losses", check=at_least(1), on_resume="free")
    push_to_hub: bool = option(False, "upload the final model", on_resume="free")
    hub_model_id: str | None = option(None, "its name on the Hub, user/name", on_resume="free")
    hub_private: bool = option(False, "make that repository private", on_resume="free")
    hub_token: str | None = option(
        None,
        "token of the Hub, to upload and to read private models and data; by default the one of `hf auth login` or "
        "HF_TOKEN, which other users of the machine do not see as they see a command line",
        on_resume="free",
        secret=True,
    )

    @property
    def output_path(self) -> Path:
        """``output_dir`` as a path."""
        return Path(self.output_dir)

    def check(self) -> None:
        """Refuse an upload without a name, and a name without an upload."""
        super().check()
        if self.hub_private and not self.push_to_hub:
            raise ValueError("--hub_private has no effect without --push_to_hub: leave it out")
        if self.push_to_hub != bool(self.hub_model_id):
            raise ValueError("--push_to_hub and --hub_model_id user/name belong together")
