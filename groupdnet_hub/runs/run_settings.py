"""Resuming a run only with the same settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def refuse_other_settings(
    before: Mapping[str, Any], now: Mapping[str, Any], place: Path | str, otherwise: str
) -> None:
    """Refuse to resume a run that was started with other settings.

    Args:
        before, now: settings of the run, and of this one.
        place: output of the run, in the message.
        otherwise: advice for new settings, in the message.

    Raises:
        ValueError: for different settings; the message names the first one.
    """
    for key in {**now, **before}:
        if before.get(key) != now.get(key):
            raise ValueError(
                f"{place} was started with {_shown(key, before.get(key))}, not {_shown(key, now.get(key))}: give the "
                f"same again, or {otherwise}"
            )


def _shown(key: str, value: Any) -> str:
    if isinstance(value, str) and len(value) == 64:  # a digest means nothing to people
        return f"{key.replace('_', ' ')} {value[:8]}..."
    return f"{key} {json.dumps(value, ensure_ascii=False)}"
