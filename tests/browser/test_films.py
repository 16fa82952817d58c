"""A film of a morph on the page, and as programs order it: made beside other work, stopped, and offered no longer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page.core import film as films
from page.core.studio import Studio

from tests.browser.conftest import free_port
from tests.browser.visitor import (
    changed_by,
    click,
    draw_seed,
    is_shown,
    leave,
    message,
    open_page,
    open_tab,
    severe_entries,
    status,
    wait_for,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow]


class Held:
    """Holds films open between two pictures, and counts what was drawn of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.going = 0, threading.Event()
        prepare = films._prepare

        def held(*arguments: Any) -> Any:
            self.count += 1
            assert self.going.wait(60)
            return prepare(*arguments)

        monkeypatch.setattr(films, "_prepare", held)

    def wait_for(self, count: int) -> None:
        wait_for(lambda: self.count >= count, f"{count} pictures of films")


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    holding = Held(monkeypatch)
    yield holding
    holding.going.set()


@pytest.fixture(scope="module")
def address(model_folder: Path, examples: Path) -> Iterator[str]:
    """Of a page in this process, whose films can be held open."""
    pytest.importorskip("gradio", reason="the page needs gradio")
    import app
    from page.ui.theme import STYLES, proportions, theme

    studio, port = Studio(str(model_folder), examples), free_port()
    page = app.build_page(studio)
    page.queue(max_size=32)
    looks: dict[str, Any] = {"theme": theme(), "css_paths": STYLES, "css": proportions(studio.size)}
    where: dict[str, Any] = {"server_name": "127.0.0.1", "server_port": port}
    page.launch(prevent_thread_lock=True, quiet=True, **where, **looks)
    yield f"http://127.0.0.1:{port}/"
    page.close()


@pytest.fixture
def client(address: str, tmp_path: Path) -> Any:
    gradio_client = pytest.importorskip("gradio_client", reason="the endpoints need gradio")
    return gradio_client.Client(address, verbose=False, download_files=str(tmp_path), analytics_enabled=False)


FILM = ("current", "example 2", None, "mp4", False)


def test_a_sample_is_answered_while_a_film_is_made(client: Any, held: Held) -> None:
    job = client.submit(*FILM, api_name="/film")
    held.wait_for(1)
    assert client.predict(5, api_name="/sample")[1] == "Drawn with seed 5."
    assert held.count == 1
    assert not job.done()
    held.going.set()
    assert Path(job.result(timeout=60)).suffix == ".mp4"
    assert held.count == 21


def test_a_program_sees_how_far_its_film_is_and_cancels_it(client: Any, held: Held) -> None:
    job = client.submit(*FILM, api_name="/film")
    held.wait_for(1)
    progress = wait_for(lambda: job.status().progress_data, "how far the film is")
    assert (progress[0].index, progress[0].length, progress[0].unit) == (0, 21, "pictures")
    job.cancel()
    held.going.set()
    # The place is free, and of the film no more is drawn.
    assert Path(client.predict(*FILM, api_name="/film")).suffix == ".mp4"
    assert held.count <= 21 + 2


def test_a_film_of_a_program_that_has_gone_is_stopped(address: str, client: Any, held: Held) -> None:
    import httpx

    # As clients do: a session lasts as long as its heartbeat is listened to.
    with httpx.stream(
        "GET", f"{address}gradio_api/heartbeat/gone-before-it-is-done", timeout=60
    ) as heartbeat:
        beats = heartbeat.iter_lines()
        assert next(beats)
        call = {"data": FILM, "session_hash": "gone-before-it-is-done"}
        httpx.post(f"{address}gradio_api/call/film", json=call).raise_for_status()
        held.wait_for(1)
    held.going.set()
    assert Path(client.predict(*FILM, api_name="/film")).suffix == ".mp4"
    assert held.count < 2 * 21


def open_films(browser: Any, address: str) -> None:
    open_page(browser, address)
    open_tab(browser, "Morph")
    wait_for(lambda: is_shown(browser, "#film-make"), "the tab")


def can_press(browser: Any, selector: str) -> bool:
    return browser.find_element("css selector", selector).is_enabled()


def told(browser: Any, text: str) -> None:
    wait_for(lambda: text in status(browser, "#film-status"), f"{text!r} beside the film")


def test_a_film_says_how_far_it_is_and_is_cancelled(browser: Any, address: str, held: Held) -> None:
    open_films(browser, address)
    click(browser, "#film-make")
    told(browser, "The film is being drawn")
    assert browser.find_element("css selector", "#film-status small").text == "0 of 21 pictures"
    wait_for(lambda: not can_press(browser, "#film-make"), "one film at a time")
    # Meanwhile everything else goes on.
    changed_by(browser, lambda: click(browser, "#keep"), "#shelf")
    click(browser, "#film-cancel")
    held.going.set()
    told(browser, "Cancelled: the film was stopped after 1 of 21 pictures.")
    wait_for(lambda: can_press(browser, "#film-make") and not can_press(browser, "#film-cancel"), "the end")
    assert not can_press(browser, "#film")
    assert held.count == 1
    leave(browser)


def test_a_film_is_offered_until_something_changes(browser: Any, address: str, held: Held) -> None:
    held.going.set()
    open_films(browser, address)
    for change in (
        lambda: click(browser, "#film-format input[value=MP4]"),
        lambda: click(browser, "#morph-classes input[name=hair]"),
        lambda: draw_seed(browser, 3),
        lambda: click(browser, "#film-whole input"),
    ):
        click(browser, "#film-make")
        told(browser, "The film is ready.")
        wait_for(lambda: can_press(browser, "#film"), "the download")
        change()
        wait_for(lambda: not can_press(browser, "#film"), "no stale download")
        told(browser, "make the film again")
    leave(browser)


def test_a_film_that_is_refused_leaves_the_buttons_as_they_were(browser: Any, address: str) -> None:
    open_films(browser, address)
    click(browser, "#morph-classes input")  # all of them
    click(browser, "#film-make")
    assert message(browser).endswith("hoose at least one class that changes.")
    told(browser, "The film was not made.")
    wait_for(lambda: can_press(browser, "#film-make") and not can_press(browser, "#film-cancel"), "the end")
    click(browser, "#morph-classes input")  # the picture, which was refused too, is drawn again
    leave(browser)


def test_a_film_whose_file_is_gone_says_so_and_is_made_again(
    browser: Any, address: str, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, write = list[Path](), films.write_film
    monkeypatch.setattr(films, "write_film", lambda *film: made.append(write(*film)) or made[-1])
    held.going.set()
    open_films(browser, address)
    click(browser, "#film-make")
    wait_for(lambda: can_press(browser, "#film"), "the download")
    kept = made[0].rename(made[0].with_suffix(".away"))
    click(browser, "#film")
    told(browser, "The film is no longer on the server: make it again.")
    severe_entries(browser)  # the browser's own, about the file that is not there
    # A film that is there is downloaded: what is told does not change.
    kept.rename(made[0])
    click(browser, "#film-make")
    told(browser, "The film is ready.")
    wait_for(lambda: can_press(browser, "#film"), "the download")
    fetched = (
        "return performance.getEntriesByType('resource').filter(one => one.name.includes('morph.gif')).length"
    )
    before = browser.execute_script(fetched)
    click(browser, "#film")
    wait_for(lambda: browser.execute_script(fetched) > before, "the download")
    told(browser, "The film is ready.")
    leave(browser)


def test_a_film_that_is_stale_before_it_is_made_is_stopped(browser: Any, address: str, held: Held) -> None:
    open_films(browser, address)
    click(browser, "#film-make")
    told(browser, "The film is being drawn")
    held.wait_for(1)
    draw_seed(browser, 4)
    held.going.set()
    told(browser, "have changed: the film was stopped after")
    assert not can_press(browser, "#film")
    assert held.count <= 2
    leave(browser)


def test_a_film_of_a_page_that_was_left_is_stopped(browser: Any, address: str, held: Held) -> None:
    open_films(browser, address)
    click(browser, "#film-whole input")
    click(browser, "#film-make")
    told(browser, "The film is being drawn")
    held.wait_for(1)
    browser.get("about:blank")
    severe_entries(browser)  # gradio's own, about the answer that is not waited for
    held.going.set()
    open_films(browser, address)
    click(browser, "#film-make")
    told(browser, "The film is ready.")
    assert held.count < 21 + 21
    leave(browser)
