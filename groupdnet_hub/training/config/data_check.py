"""Settings of what is checked of the data before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from groupdnet_hub.data.checks.items import Level
from groupdnet_hub.runs.settings import Settings, option


@dataclass(frozen=True, kw_only=True)
class DataCheckSettings(Settings):
    """Checks of the data before the first step.

    Attributes:
        left_out: indices of the items of each split that are left out, once the data are checked.
    """

    check_data: Literal["full", "headers", "none"] | None = option(
        None,
        "check all items before anything is built, and name all bad ones at once: headers looks at the headers and the "
        "ends of files, and reads what is in doubt; full reads every file as training does, and so finds wrong values "
        "too; by default headers, and none for a stream, whose items are not known beforehand",
        on_resume="free",
    )
    skip_bad_items: bool = option(
        False,
        "leave bad items out; OUTPUT_DIR/skipped_items.jsonl says which, and what is wrong with them",
        on_resume="free",  # whether other items are left is compared
    )
    left_out: Mapping[str, tuple[int, ...]] = field(default_factory=dict, metadata={"on_resume": "free"})

    @property
    def check_level(self) -> Level:
        """How the data are checked, if they are not streamed."""
        return self.check_data or "headers"

    def check(self) -> None:
        """Refuse to leave out what nobody looks for."""
        super().check()
        if self.skip_bad_items and self.check_data == "none":
            raise ValueError(
                "--skip_bad_items has no effect with --check_data none, which finds no bad items: leave one out"
            )
