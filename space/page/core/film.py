"""A morph as a film: GIF by Pillow, MP4 (H.264) by PyAV. Films are drawn a picture at a time, and others pass them."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from groupdnet_hub.io.strict_json import shown

from .actions import MORPH_SPAN, morph_frames
from .gpu import IS_LENT
from .served_files import cannot_write, served_folder
from .session import Session

FRAMES_PER_SECOND = 12
# Films that take turns; those that were ordered later wait until one of them is done.
AT_ONCE = 2
# Films that are drawn or wait, of all visitors.
MOST_FILMS = 8
# Positions from A to B; the film goes there and back.
_STEPS = 20
# How many pictures are a piece of work. A lent GPU takes its time to come, so that more of them are drawn with it.
_PORTION = 5 if IS_LENT else 1


@dataclass(frozen=True)
class Film:
    """What is filmed, and how.

    Attributes:
        first, second: names of the looks.
        classes: those that change; None for all.
        kind: ``gif`` or ``mp4``.
        full_range: whether it shows what lies beyond the two looks.

    Raises:
        ValueError: for another kind.
    """

    first: str
    second: str
    classes: Sequence[str] | None
    kind: str
    full_range: bool

    def __post_init__(self) -> None:
        if self.kind not in ("gif", "mp4"):
            raise ValueError(f"a film is gif or mp4, not {shown(self.kind)}.")

    @property
    def positions(self) -> list[float]:
        """Those of its pictures from the first to the last; the film goes back by the same."""
        start, end = MORPH_SPAN if self.full_range else (0.0, 1.0)
        steps = round(_STEPS * (end - start))
        return [start + (end - start) * i / steps for i in range(steps + 1)]


@dataclass(frozen=True)
class FilmProgress:
    """How far a film is.

    Attributes:
        drawn, total: pictures.
        before: how many films must be done before its first picture is drawn.
        path: the film, once it is there.
        stopped: why it was stopped, if it was.
    """

    drawn: int
    total: int
    before: int = 0
    path: Path | None = None
    stopped: str = ""


@dataclass(eq=False)
class _Order:
    owner: str
    stopped: str = ""
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class Films:
    """The films of all visitors, drawn in turns. Its methods belong to one event loop, the page's.

    Args:
        submit_piece: :meth:`LazyModel.submit_piece`.
    """

    def __init__(self, submit_piece: Callable[..., Future[Any]]) -> None:
        self._submit_piece = submit_piece
        self._line: list[_Order] = []

    def make(self, owner: str, session: Session, film: Film) -> AsyncGenerator[FilmProgress, None]:
        """Draw and write a film; how far it is comes before each piece. Closing the iterator ends the work.

        Args:
            owner: who may stop it.
            session: with the looks, as they are now: what is changed later is not filmed.
            film: what is drawn.

        Yields:
            How far it is; the last one has its path, or says why it was stopped.

        Raises:
            ValueError: if too many films are being made.
            gradio.Error: while they are drawn, as :meth:`LazyModel.run`.
        """
        if len(self._line) >= MOST_FILMS:
            raise ValueError(f"{MOST_FILMS} films are being made already: try again a little later.")
        return self._made(_Order(owner), session, film)

    def stop(self, owner: str, why: str) -> None:
        """Stop the films that are being made for someone, each before its next piece.

        Args:
            owner: for whom they are.
            why: what is told of it; not empty.
        """
        for order in self._line:
            if order.owner == owner:
                order.stopped = why
        self._tell_line()

    async def _made(self, order: _Order, session: Session, film: Film) -> AsyncGenerator[FilmProgress, None]:
        self._line.append(order)
        try:
            async for progress in self._steps(order, session, film):
                yield progress
        finally:
            self._line.remove(order)
            self._tell_line()

    async def _steps(self, order: _Order, session: Session, film: Film) -> AsyncGenerator[FilmProgress, None]:
        positions, pictures = film.positions, list[Image.Image]()
        while (before := self._line.index(order) - AT_ONCE + 1) > 0 and not order.stopped:
            yield FilmProgress(0, len(positions), before)
            order.changed.clear()
            await order.changed.wait()
        while len(pictures) < len(positions) and not order.stopped:
            yield FilmProgress(len(pictures), len(positions))
            portion = positions[len(pictures) : len(pictures) + _PORTION]
            drawn = await self._draw(session, film, portion)
            pictures += await asyncio.to_thread(_prepare, drawn, film.kind)
        progress = FilmProgress(len(pictures), len(positions), stopped=order.stopped)
        yield progress
        if not progress.stopped:
            try:
                path = await asyncio.to_thread(write_film, pictures, film.kind)
            except OSError as error:
                raise cannot_write(error) from error
            yield replace(progress, path=path, stopped=order.stopped)

    async def _draw(self, session: Session, film: Film, positions: Sequence[float]) -> list[Image.Image]:
        # In another thread: it may have to load the model first.
        future = await asyncio.to_thread(
            self._submit_piece, morph_frames, session, film.first, film.second, positions, film.classes
        )
        return await asyncio.wrap_future(future)

    def _tell_line(self) -> None:
        for order in self._line:
            order.changed.set()


def write_film(pictures: Sequence[Image.Image], kind: str) -> Path:
    """Write the pictures there and back again as a film, a file of its own in the temporary folder.

    Args:
        pictures: RGB, of one size with even sides; of a GIF also with palettes.
        kind: ``gif`` or ``mp4``.

    Raises:
        OSError: if it cannot be written; nothing is left of it.
    """
    frames = [*pictures, *reversed(pictures[1:-1])]
    path = Path(tempfile.mkdtemp(prefix="film-", dir=served_folder())) / f"morph.{kind}"
    try:
        (_write_gif if kind == "gif" else _write_mp4)(frames, path)
    except BaseException:
        shutil.rmtree(path.parent, ignore_errors=True)
        raise
    return path


def _prepare(pictures: Sequence[Image.Image], kind: str) -> list[Image.Image]:
    """Return pictures as they are written; palettes are chosen here, since Pillow would do it for the way back too."""
    if kind == "gif":
        return [picture.convert("P", palette=Image.Palette.ADAPTIVE) for picture in pictures]
    return list(pictures)


def _write_gif(frames: Sequence[Image.Image], path: Path) -> None:
    options: dict[str, Any] = {"duration": round(1000 / FRAMES_PER_SECOND), "loop": 0, "optimize": False}
    frames[0].save(path, save_all=True, append_images=frames[1:], **options)


def _write_mp4(frames: Sequence[Image.Image], path: Path) -> None:
    import av  # only here: it brings a library of 30 MB

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"crf": "16"})
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = "yuv420p"  # what every browser plays
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame), format="rgb24")))
        container.mux(stream.encode())
