"""What an answer may say to strangers."""

from __future__ import annotations

import json
import re
from typing import Any

from page.server.refusals.calls import FAULT

_SECRETS = re.compile(
    r"Traceback|\.py\b|site-packages|/tmp/|/home/|/work/|/usr/|File \"|0x[0-9a-f]{6}|<class "
)
LONGEST = 2000


def is_sentence(text: Any) -> bool:
    """Return whether this is a sentence of one line, bounded, without paths and traces, for a fault of the caller."""
    return (
        isinstance(text, str)
        and 8 < len(text) <= LONGEST
        and text.isprintable()
        and not _SECRETS.search(text)
        and text != FAULT
    )


def sentence_of(text: str) -> Any:
    """Return the sentence of an answer of HTTP."""
    try:
        content = json.loads(text)
    except ValueError:
        return text
    return content.get("error", content.get("detail")) if isinstance(content, dict) else None
