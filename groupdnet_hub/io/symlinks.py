"""Symbolic links in untrusted folders: they are not followed out of the folder."""

from __future__ import annotations

import os
from pathlib import Path


def check_link(path: Path, folder: Path, source: str) -> None:
    """Refuse a file that is a link out of its folder.

    The files of a Hub cache are links too, to ``blobs`` of their repository or of the entire cache. These are allowed
    for a folder ``models--.../snapshots/REVISION``.

    Args:
        path: path of the file, which need not exist.
        folder: folder that the file must be in, at any depth.
        source: folder or Hub id in messages.

    Raises:
        ValueError: for such a link.
    """
    folder = folder.resolve()
    allowed = [folder]
    if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--"):
        repository = folder.parent.parent
        allowed += [repository / "blobs", repository.parent / "blobs"]
    target = Path(os.path.realpath(path))  # unlike Path.resolve it accepts circular links
    if not any(target.is_relative_to(place) for place in allowed):
        raise ValueError(
            f"{path.name} of {source} is a link out of its folder, which is not followed: put the file itself there"
        )
