"""Going on with what a run began: only with the same settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def refuse_other_settings(
    before: Mapping[str, Any], now: Mapping[str, Any], place: Path | str, otherwise: str
) -> None:
    """Refuse to go on with what was started with other settings.

    Args:
        place: what was begun, for the message.
        otherwise: what to do if these settings are meant, for the message.

    Raises:
        ValueError: naming the first setting that differs.
    """
    for key in {**now, **before}:
        if before.get(key) != now.get(key):
            raise ValueError(
                f"{place} was started with {_shown(key, before.get(key))}, not {_shown(key, now.get(key))}: give the "
                f"same again, or {otherwise}"
            )


def _shown(key: str, value: Any) -> str:
    if isinstance(value, str) and len(value) == 64:  # a digest says nothing to people
        return f"{key.replace('_', ' ')} {value[:8]}..."
    return f"{key} {json.dumps(value, ensure_ascii=False)}"
