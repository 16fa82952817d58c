"""Films and other long work are drawn in pieces: what a visitor waits for passes them, and they can be stopped."""

from __future__ import annotations

import asyncio
import errno
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from page.core import film
from page.core.film import AT_ONCE, MOST_FILMS, Film, FilmProgress, Films
from page.core.model_thread import ModelThread
from page.core.session import Session
from PIL import Image

GIF = Film("current", "example 2", None, "gif", full_range=False)


@contextmanager
def busy(thread: ModelThread) -> Iterator[None]:
    """Keep the thread busy, so that what is submitted meanwhile waits."""
    begun, done = threading.Event(), threading.Event()
    thread.submit(lambda: (begun.set(), done.wait(30)))
    assert begun.wait(30)
    try:
        yield
    finally:
        done.set()


def test_short_calls_are_done_before_pieces_and_each_in_the_order_they_came() -> None:
    thread, done = ModelThread(), list[str]()
    with busy(thread):
        futures = [
            thread.submit(lambda name=name: done.append(name), piece=name.startswith("piece"))
            for name in ("piece 1", "short 1", "piece 2", "short 2", "short 3")
        ]
    for future in futures:
        future.result(timeout=30)
    assert done == ["short 1", "short 2", "short 3", "piece 1", "piece 2"]


def test_a_call_that_was_cancelled_is_not_begun_and_errors_reach_their_caller() -> None:
    thread, done = ModelThread(), list[str]()
    with busy(thread):
        cancelled = thread.submit(lambda: done.append("cancelled"))
        failed = thread.submit(lambda: 1 // 0)
        after = thread.submit(lambda: done.append("after"))
        assert cancelled.cancel()
    with pytest.raises(ZeroDivisionError):
        failed.result(timeout=30)
    after.result(timeout=30)
    assert done == ["after"]


class Drawing:
    """Stands in for a model: it draws grey pictures in a thread like the page's, and writes down what it did."""

    def __init__(self) -> None:
        self.thread, self.done = ModelThread(), list[str]()
        self.films = Films(self.submit_piece)

    def submit_piece(self, action: Callable[..., Any], session: Session, *arguments: Any) -> Future[Any]:
        name, _, positions, _ = arguments

        def draw() -> list[Image.Image]:
            self.done.append(name)
            time.sleep(0.01)  # longer than it takes to hand in the next piece
            return [Image.new("RGB", (16, 16), (round(100 + 50 * t),) * 3) for t in positions]

        return self.thread.submit(draw, piece=True)


async def last(steps: AsyncGenerator[FilmProgress, None]) -> FilmProgress:
    return [step async for step in steps][-1]


def test_a_sample_is_drawn_before_the_rest_of_a_film() -> None:
    drawing = Drawing()

    async def visit() -> FilmProgress:
        steps = drawing.films.make("me", Session(), Film("film", "b", None, "mp4", full_range=True))
        async for step in steps:
            if step.drawn == 3:
                sample = drawing.thread.submit(lambda: drawing.done.append("sample"))
                await asyncio.wrap_future(sample)
        return step

    ended = asyncio.run(visit())
    assert ended.path is not None
    assert (ended.drawn, ended.total) == (41, 41)
    assert drawing.done.count("film") == 41
    assert drawing.done.index("sample") == 3


def test_films_take_turns_and_later_ones_wait_in_line() -> None:
    drawing = Drawing()

    async def order() -> list[list[FilmProgress]]:
        films = [Film(name, "b", None, "gif", full_range=False) for name in "abcd"]

        async def all_of(film: Film) -> list[FilmProgress]:
            return [step async for step in drawing.films.make("me", Session(), film)]

        return list(await asyncio.gather(*map(all_of, films)))

    told = asyncio.run(order())
    assert all(steps[-1].path is not None for steps in told)
    assert AT_ONCE == 2
    turns = "".join(drawing.done)
    assert 5 <= turns[:20].count("a") <= 15
    assert set(turns[:20]) == {"a", "b"}
    assert turns.index("c") > 35
    assert [step.before for step in told[1]] == [0] * len(told[1])
    waited = [step.before for step in told[3] if step.before]
    assert waited[0] == 2
    assert waited == sorted(waited, reverse=True)


def test_a_film_stops_at_its_next_piece_and_frees_its_place() -> None:
    drawing = Drawing()

    async def visit() -> tuple[FilmProgress, FilmProgress, FilmProgress]:
        waiting = [asyncio.create_task(last(drawing.films.make("you", Session(), GIF))) for _ in range(2)]
        steps = drawing.films.make("me", Session(), Film("mine", "b", None, "gif", full_range=True))
        first = await anext(steps)
        drawing.films.stop("me", "Cancelled")
        mine = await last(steps)
        return first, mine, (await asyncio.gather(*waiting))[1]

    first, mine, other = asyncio.run(visit())
    assert first.stopped == ""
    assert (mine.stopped, mine.path) == ("Cancelled", None)
    assert drawing.done.count("mine") <= 1
    assert other.path is not None


def test_a_cancelled_task_draws_no_more() -> None:
    """As gradio does it when a program cancels its job."""
    drawing = Drawing()

    async def visit() -> None:
        task = asyncio.create_task(last(drawing.films.make("me", Session(), GIF)))
        while len(drawing.done) < 3:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        drawn = len(drawing.done)
        await asyncio.wrap_future(drawing.thread.submit(lambda: None, piece=True))
        assert len(drawing.done) <= drawn + 1
        assert (await last(drawing.films.make("you", Session(), GIF))).path is not None

    asyncio.run(visit())
    assert len(drawing.done) < 2 * 21


def test_too_many_films_are_refused() -> None:
    drawing = Drawing()

    async def visit() -> None:
        films = [drawing.films.make("me", Session(), GIF) for _ in range(MOST_FILMS)]
        for one in films:
            await anext(one)
        with pytest.raises(ValueError, match=f"{MOST_FILMS} films are being made already"):
            drawing.films.make("you", Session(), GIF)
        await films[0].aclose()
        assert (await anext(drawing.films.make("you", Session(), GIF))).before > 0
        for one in films[1:]:
            await one.aclose()

    asyncio.run(visit())


@pytest.mark.parametrize("kind", ["gif", "mp4"])
def test_a_film_goes_there_and_back(kind: str) -> None:
    if kind == "mp4":
        pytest.importorskip("av", reason="MP4 needs PyAV")
    film = Film("a", "b", ["hair"], kind, full_range=True)
    assert (film.positions[0], film.positions[-1]) == (-0.5, 1.5)
    path = asyncio.run(last(Drawing().films.make("me", Session(), film))).path
    assert isinstance(path, Path)
    if kind == "gif":
        with Image.open(path) as opened:
            assert opened.n_frames == 80
            shades = []
            for frame in range(80):
                opened.seek(frame)
                shades.append(opened.convert("RGB").getpixel((0, 0))[0])
        assert shades[0] < shades[20] < shades[40] > shades[60] > shades[79]
    else:
        assert path.read_bytes()[4:8] == b"ftyp"


def test_another_kind_of_film_is_refused() -> None:
    with pytest.raises(ValueError, match="gif or mp4, not 'avi'"):
        Film("a", "b", None, "avi", full_range=False)


@pytest.mark.parametrize("kind", ["gif", "mp4"])
def test_a_film_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))

    def fail(frames: Any, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(film, f"_write_{kind}", fail)
    with pytest.raises(OSError, match="full"):
        film.write_film([Image.new("RGB", (16, 16))], kind)
    assert not list(tmp_path.iterdir())
