"""Links in folders that may come from anyone: they are not followed out of the folder."""

from __future__ import annotations

from pathlib import Path


def check_link(path: Path, source: str) -> None:
    """Refuse a file that is a link out of its folder.

    The files of a Hub cache are links as well: to ``blobs`` of their repository or of the whole cache. So these are
    allowed for a folder ``models--.../snapshots/REVISION``.

    Args:
        path: a file in a folder, or below a folder that holds it.
        source: folder or Hub id, for messages.

    Raises:
        ValueError: for such a link.
    """
    folder = path.parent.resolve()
    allowed = [folder]
    if folder.parent.name == "snapshots" and folder.parent.parent.name.startswith("models--"):
        repository = folder.parent.parent
        allowed += [repository / "blobs", repository.parent / "blobs"]
    target = path.resolve()
    if not any(target.is_relative_to(place) for place in allowed):
        raise ValueError(
            f"{path.name} of {source} is a link out of its folder, which is not followed: put the file itself there"
        )
