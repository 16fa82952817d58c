"""A morph as a film: GIF by Pillow, MP4 (H.264) by PyAV."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .actions import MORPH_SPAN
from .served_files import served_folder

FRAMES_PER_SECOND = 12
# Positions from A to B; the film goes there and back.
_STEPS = 20
_PORTION = 5


def film_positions(full_range: bool) -> list[list[float]]:
    """Return positions of a film's pictures, from 0 to 1 or over the full range, in portions to be drawn at once."""
    start, end = MORPH_SPAN if full_range else (0.0, 1.0)
    steps = round(_STEPS * (end - start))
    positions = [start + (end - start) * i / steps for i in range(steps + 1)]
    return [positions[i : i + _PORTION] for i in range(0, len(positions), _PORTION)]


def write_film(pictures: Sequence[Image.Image], kind: str) -> Path:
    """Write the pictures there and back again as a film, a file of its own in the temporary folder.

    Args:
        pictures: RGB, of one size with even sides.
        kind: ``gif`` or ``mp4``.

    Raises:
        ValueError: for another kind.
    """
    if kind not in ("gif", "mp4"):
        raise ValueError(f"a film is gif or mp4, not {kind!r}.")
    frames = [*pictures, *reversed(pictures[1:-1])]
    path = Path(tempfile.mkdtemp(prefix="film-", dir=served_folder())) / f"morph.{kind}"
    if kind == "gif":
        options: dict[str, Any] = {"duration": round(1000 / FRAMES_PER_SECOND), "loop": 0, "optimize": False}
        frames[0].save(path, save_all=True, append_images=frames[1:], **options)
    else:
        _write_mp4(frames, path)
    return path


def _write_mp4(frames: Sequence[Image.Image], path: Path) -> None:
    import av  # only here: it brings a library of 30 MB

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"crf": "16"})
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"  # what every browser plays
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame), format="rgb24")))
        container.mux(stream.encode())
