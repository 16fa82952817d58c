"""The records of checkpoints whose files a test has made or changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

RECORD = "progress.json"


def write_record(folder: Path, progress: Mapping[str, int]) -> None:
    """Write where a checkpoint stands, with the checksums that its files have now."""
    files = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != RECORD
    }
    (folder / RECORD).write_text(json.dumps({"progress": dict(progress), "files": files}))
