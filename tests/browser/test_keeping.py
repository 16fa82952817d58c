"""Work is kept: what a visitor made is back after a reload, another server, or on another computer."""

from __future__ import annotations

import base64
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page.core.memory.model_identity import ModelIdentity
from page.core.memory.picture_files import look_of_picture

from groupdnet_hub import GroupDNetPipeline
from tests.browser.conftest import chromium_with, serve
from tests.browser.visitor import (
    canvas_map,
    changed_by,
    click,
    draw_seed,
    is_shown,
    keep,
    message,
    open_page,
    paint,
    pixels,
    source,
    sources,
    status,
    upload,
    wait_for,
    wait_until_idle,
)

pytestmark = pytest.mark.browser


def told(browser: Any, sentence: str) -> None:
    wait_for(lambda: sentence in status(browser), f"the sentence {sentence!r}")


def texts(browser: Any, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)"
    return browser.execute_script(script, selector)


def state(browser: Any) -> dict[str, Any]:
    """Return all that is to come back."""
    return {
        "picture": pixels(browser).tolist(),
        "map": canvas_map(browser).tolist(),
        "history": sources(browser, "#history"),
        "step": browser.execute_script(
            "return [...document.querySelectorAll('#history .pick')].map((one) => one.ariaPressed)"
        ),
        "shelf": list(zip(texts(browser, "#shelf .name span"), sources(browser, "#shelf"), strict=True)),
        "locks": browser.execute_script(
            "return [...document.querySelectorAll('#painter [data-tool=lock]')].map((one) => one.ariaPressed)"
        ),
        "seed": browser.find_element("css selector", "#seed input").get_attribute("value"),
    }


def wait_until_kept(browser: Any) -> None:
    """Wait until the browser has stored what the page shows."""
    wait_until_idle(browser)
    script = """
      const kept = document.querySelector('.keeper').dataset.kept ?? '';
      const shown = [...document.querySelectorAll('#history .pick img[data-of=src], #shelf .pick img')];
      const locks = document.querySelectorAll('#painter [data-tool=lock][aria-pressed=true]').length;
      return shown.every((one) => kept.includes(one.dataset.look)) && (!locks || kept.split(' ').includes('hair'));
    """
    wait_for(lambda: browser.execute_script(script), "the work in the browser's store")


def work(browser: Any) -> dict[str, Any]:
    """Do some of everything, and return what the page shows then."""
    draw_seed(browser, 3)
    keep(browser)
    changed_by(browser, lambda: paint(browser, (0.2, 0.2), (0.8, 0.2)))
    wait_until_idle(browser)
    click(browser, "#painter [data-class='1'] [data-tool=lock]")
    told(browser, "New samples keep hair as it is.")
    draw_seed(browser, 5)
    keep(browser)
    draw_seed(browser, 6)
    changed_by(browser, lambda: click(browser, "#undo"))
    wait_until_kept(browser)
    return state(browser)


def go_on(browser: Any) -> None:
    wait_for(lambda: is_shown(browser, "#keeper .main"), "the offer")
    changed_by(browser, lambda: click(browser, "#keeper .main"))
    told(browser, "Everything is back: 5 pictures, 2 looks on the shelf.")
    wait_until_idle(browser)


def offered(browser: Any) -> bool:
    return is_shown(browser, "#keeper .main")


def reload(browser: Any, address: str) -> None:
    open_page(browser, address, known=True)


def rewrite_works(browser: Any, change: str) -> None:
    """Run a line of JavaScript on every ``work`` in the browser's store."""
    script = """
      const done = arguments[arguments.length - 1];
      const asked = indexedDB.open('groupdnet');
      asked.onsuccess = () => {
        const transaction = asked.result.transaction('works', 'readwrite');
        const works = transaction.objectStore('works');
        works.getAll().onsuccess = ({ target }) => {
          for (const work of target.result) { CHANGE; works.put(work); }
        };
        transaction.oncomplete = () => { asked.result.close(); done(); };
      };
    """
    browser.execute_async_script(script.replace("CHANGE", change))


def test_a_reload_loses_nothing(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    made = work(browser)
    reload(browser, page_address)
    assert state(browser)["shelf"] == []
    go_on(browser)
    assert state(browser) == {**made, "seed": "5"}
    # What comes after it belongs to the same work.
    draw_seed(browser, 8)
    wait_until_kept(browser)
    made = state(browser)
    reload(browser, page_address)
    click(browser, "#keeper .main")
    told(browser, "Everything is back: 5 pictures, 2 looks on the shelf.")
    wait_until_idle(browser)
    assert state(browser) == made


@pytest.mark.slow
def test_work_of_another_day_or_model(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    draw_seed(browser, 3)
    wait_until_kept(browser)
    made = pixels(browser)
    rewrite_works(browser, "work.model.digest = work.model.digest.replace(/^/, 'x')")
    reload(browser, page_address)
    click(browser, "#earlier-work")
    note = "There is no other work of this model in this browser."
    wait_for(lambda: texts(browser, "#keeper p") == [note], "the sentence")
    rewrite_works(browser, "work.model.digest = work.model.digest.slice(1); work.changed -= 864e5")
    reload(browser, page_address)
    wait_for(lambda: offered(browser), "the offer")
    assert "2 pictures, 0 looks on the shelf, on " in texts(browser, "#keeper p")[0]
    # A wrong press loses nothing: not even where other work is begun after it.
    click(browser, "#keeper .main ~ button")
    click(browser, "#keeper .shut")
    draw_seed(browser, 4)
    wait_until_kept(browser)
    click(browser, "#earlier-work")
    _, back = changed_by(browser, lambda: click(browser, "#keeper li [data-work]"))
    assert np.array_equal(back, made)
    click(browser, "#earlier-work")
    wait_for(lambda: len(texts(browser, "#keeper li")) == 1, "the work that was begun after it")


@pytest.mark.slow
def test_two_tabs_do_not_eat_each_others_work(browser: Any, page_address: str) -> None:
    open_page(browser, page_address)
    draw_seed(browser, 11)
    keep(browser)
    wait_until_kept(browser)
    first, one = browser.current_window_handle, state(browser)
    browser.switch_to.new_window("tab")
    try:
        reload(browser, page_address)
        wait_for(lambda: offered(browser), "the offer of the other tab's work")
        draw_seed(browser, 12)
        wait_until_kept(browser)
        other = state(browser)
        reload(browser, page_address)
        wait_for(lambda: "2 pictures, 0 looks" in texts(browser, "#keeper p")[0], "its own work")
        changed_by(browser, lambda: click(browser, "#keeper .main"))
        told(browser, "Everything is back")
        assert state(browser) == other
    finally:
        browser.close()
        browser.switch_to.window(first)
    reload(browser, page_address)
    wait_for(lambda: "2 pictures, 1 look on" in texts(browser, "#keeper p")[0], "the first tab's work")
    changed_by(browser, lambda: click(browser, "#keeper .main"))
    told(browser, "Everything is back")
    wait_until_idle(browser)
    assert state(browser) == one


@pytest.mark.slow
def test_a_killed_server_loses_nothing(model_folder: Path, examples: Path, tmp_path: Path) -> None:
    with chromium_with(tmp_path / "profile") as browser:
        with serve(model_folder, examples, tmp_path) as (address, process):
            open_page(browser, address)
            made = {**work(browser), "seed": "5"}
            os.kill(process, signal.SIGKILL)
        port = int(address.rstrip("/").rpartition(":")[2])
        with serve(model_folder, examples, tmp_path, port=port):
            # The page was left open: what is done on it goes on from the server's empty session.
            click(browser, "#new-sample")
            wait_for(lambda: offered(browser), "the offer")
            assert texts(browser, "#keeper p")[0].startswith("The server was started again")
            go_on(browser)
            assert state(browser) == made
            wait_until_kept(browser)
            reload(browser, address)
            go_on(browser)
            assert state(browser) == made


WITHOUT = [
    ("delete Object.getPrototypeOf(window).indexedDB; delete window.indexedDB", "This browser keeps no work"),
    (
        "IDBObjectStore.prototype.put = () => { throw new DOMException('', 'QuotaExceededError') }",
        "This browser has no room left for your work",
    ),
]


@pytest.mark.parametrize(("before", "said"), WITHOUT, ids=["private", "full"])
def test_a_browser_that_keeps_nothing_says_so(
    browser: Any, page_address: str, before: str, said: str
) -> None:
    added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": before})
    try:
        open_page(browser, page_address)
        draw_seed(browser, 3)
        wait_for(lambda: any(one.startswith(said) for one in texts(browser, "#keeper p")), "the sentence")
        click(browser, "#keeper .shut")
        keep(browser)
        wait_until_idle(browser)
        assert texts(browser, "#keeper p") == []
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


DOWNLOADS = """
  window.saved = [];
  HTMLAnchorElement.prototype.click = function () {
    const name = this.download;
    fetch(this.href).then((answer) => answer.blob()).then((blob) => {
      const reader = new FileReader();
      reader.onload = () => window.saved.push([name, reader.result]);
      reader.readAsDataURL(blob);
    });
  };
"""


@pytest.mark.slow
def test_work_is_saved_and_opened(browser: Any, page_address: str, tmp_path: Path) -> None:
    open_page(browser, page_address)
    made = {**work(browser), "seed": "5"}
    browser.execute_script(DOWNLOADS)
    click(browser, "#save-work")
    name, address = wait_for(lambda: (browser.execute_script("return window.saved") or [None])[0], "the file")
    assert name == "groupdnet-work.zip"
    file = tmp_path / name
    file.write_bytes(base64.b64decode(address.partition(",")[2]))

    open_page(browser, page_address)  # as on another computer
    draw_seed(browser, 9)
    wait_until_kept(browser)
    upload(browser, file, "#work")
    told(browser, "Your work is open: 5 pictures, 2 looks on the shelf.")
    wait_until_idle(browser)
    assert state(browser) == made
    click(browser, "#earlier-work")
    wait_for(lambda: len(texts(browser, "#keeper li")) == 1, "the work that was on the page before")

    (tmp_path / "look.zip").write_bytes(b"no zip")
    upload(browser, tmp_path / "look.zip", "#work")
    assert message(browser).startswith("Look.zip is not a zip archive")
    assert state(browser) == made


def test_a_picture_that_is_dropped_is_back(
    browser: Any, page_address: str, model_folder: Path, tmp_path: Path
) -> None:
    open_page(browser, page_address)
    changed_by(browser, lambda: paint(browser, (0.2, 0.2), (0.8, 0.2)))
    _, drawn = draw_seed(browser, 3)
    painted, address = canvas_map(browser), source(browser, "#picture")
    saved = base64.b64decode(address.partition(",")[2])
    pipeline = GroupDNetPipeline.from_pretrained(model_folder)
    identity = ModelIdentity.of(str(model_folder), pipeline.model.config)
    look = look_of_picture(saved, identity, pipeline.model.config)
    assert (look.seed, look.mask.tolist()) == (3, painted.tolist())
    assert np.array_equal(np.asarray(look.image), drawn)
    assert np.array_equal(np.asarray(pipeline.edit(look, look.mask).image), drawn)

    open_page(browser, page_address)
    drop(browser, "picture.png", saved)
    told(browser, "This is the picture's look: go on from here.")
    wait_until_idle(browser)
    assert np.array_equal(pixels(browser), drawn)
    assert np.array_equal(canvas_map(browser), painted)
    assert len(sources(browser, "#history .pick")) == 4  # two steps, each with its map
    at = saved.index(b"digest") + 12
    drop(browser, "other.png", saved[:at] + b"0000" + saved[at + 4 :])
    assert "This picture is of another model" in message(browser)


def drop(browser: Any, name: str, content: bytes) -> None:
    """Drop a file on the picture."""
    script = """
      const [name, content] = arguments;
      const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([bytes], name, { type: 'image/png' }));
      const dropped = new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer });
      document.querySelector('#picture').dispatchEvent(dropped);
    """
    browser.execute_script(script, name, base64.b64encode(content).decode())
