"""Facts by which a resumed run knows its data again: names and sizes of files, or the revision of a data set."""

from __future__ import annotations

import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from groupdnet_hub import PairedImages, StreamedImages
from groupdnet_hub.data.shards.layout import find_shards
from groupdnet_hub.training.config import TrainConfig
from groupdnet_hub.training.data.pictures import Data

# Where the Hub's addresses name a commit.
_REVISION = re.compile(r"@([0-9a-f]{7,64})/")


def data_facts(settings: TrainConfig, data: Data, processes: int = 1) -> dict[str, Any]:
    """Return facts that differ if a run reads other data, or a stream in another order, in plain JSON types.

    Args:
        settings: settings of the run.
        data: its training pictures.
        processes: processes that train together.
    """
    folders = settings.train_data_dir or ()
    facts: dict[str, Any] = {}
    if isinstance(data, StreamedImages):
        workers = settings.dataloader_num_workers
        facts = (
            {"workers": f"{workers} workers in each of {processes} processes"}
            if workers or processes > 1
            else {}
        )
    if not settings.dataset_name:
        if isinstance(data, PairedImages):
            return listing_facts(data, folders, "train")
        shards = [file for folder in folders for file in find_shards(Path(folder), "train")]
        return {**facts, "shards": len(shards), "digest": _digest((file.name, file) for file in shards)}
    columns = [settings.image_column, settings.label_column]
    facts |= {"dataset_name": settings.dataset_name, "columns": columns}
    if isinstance(data, PairedImages):
        facts["items"] = len(data)
    rows = data.rows if not isinstance(data, PairedImages) else getattr(data.given, "rows", None)
    info = getattr(rows, "info", None)
    sources = getattr(info, "download_checksums", None) or {}
    revisions = sorted({found[1] for name in sources if (found := _REVISION.search(str(name)))})
    version = str(getattr(info, "version", None))
    facts |= {"version": version, "revisions": revisions}
    if folders:
        files = sorted(path for path in Path(folders[0]).rglob("*") if path.is_file())
        facts["digest"] = _digest((path.relative_to(folders[0]).as_posix(), path) for path in files)
    return facts


def listing_facts(data: PairedImages, folders: Sequence[str], split: str) -> dict[str, Any]:
    """Return the number of items, and a SHA-256 of the names and sizes of their files, in their order.

    Folders may be moved: names are those in their split.
    """
    roots = [os.path.join(folder, split) + os.sep for folder in folders]

    def name(path: str) -> str:
        return next((path[len(root) :] for root in roots if path.startswith(root)), path)

    files = (os.fspath(file) for item in data.given for file in item if file is not None)
    return {"items": len(data), "digest": _digest((name(file), file) for file in files)}


def _digest(files: Iterable[tuple[str, str | Path]]) -> str:
    total = hashlib.sha256()
    for name, path in files:
        try:
            size = os.stat(path).st_size
        except OSError:  # whoever reads it will say so
            size = None
        entry = [unicodedata.normalize("NFC", name), size]
        total.update(json.dumps(entry).encode() + b"\n")
    return total.hexdigest()
