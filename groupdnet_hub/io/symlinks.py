"""Links in folders that may come from anyone: they are not followed out of the folder."""

from __future__ import annotations

import os
from pathlib import Path


def check_link(path: Path, folder: Path, source: str) -> None:
    """Refuse a file that is a link out of its folder.

    The files of a Hub cache are links as well: to ``blobs`` of their repository or of the whole cache. So these are
    allowed for a folder ``models--.../snapshots/REVISION``.

    Args:
        path: of the file, which need not exist.
        folder: which the file is to be in, or in a folder of it.
        source: folder or Hub id, for messages.

    Raises:
        ValueError: for such a link.
    """
    folder = folder.resolve()
    allowed = [folder]
    if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--"):
        repository = folder.parent.parent
        allowed += [repository / "blobs", repository.parent / "blobs"]
    target = Path(os.path.realpath(path))  # which, other than Path.resolve, takes links that go in circles
    if not any(target.is_relative_to(place) for place in allowed):
        raise ValueError(
            f"{path.name} of {source} is a link out of its folder, which is not followed: put the file itself there"
        )
